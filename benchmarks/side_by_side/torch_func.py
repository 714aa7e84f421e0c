"""torch.func: a function of one task, under vmap for all and grad for line 10."""

import torch
from torch.func import grad, vmap


def mse(p, x, y):
    h = torch.relu(x @ p["W1"] + p["b1"])
    h = torch.relu(h @ p["W2"] + p["b2"])
    return ((h @ p["W3"] + p["b3"] - y) ** 2).mean()


def meta_gradient(theta, batch, alpha, steps):
    def after_adaptation(theta, xs, ys, xq, yq):
        phi = theta
        for _ in range(steps):
            g = grad(mse)(phi, xs, ys)  # differentiated by the outer grad
            phi = {name: p - alpha * g[name] for name, p in phi.items()}
        return mse(phi, xq, yq)

    def meta_loss(theta):  # in_dims: all tasks start from the same θ
        of_tasks = vmap(after_adaptation, in_dims=(None, 0, 0, 0, 0))
        return of_tasks(theta, *batch[:4]).mean()

    return grad(meta_loss)(theta)
