"""torch.func: a function of one task, differentiated by grad and mapped over tasks by vmap."""

import torch
from torch.func import grad, vmap


def mse(p, x, y):
    h = torch.relu(x @ p["W1"] + p["b1"])
    h = torch.relu(h @ p["W2"] + p["b2"])
    return ((h @ p["W3"] + p["b3"] - y) ** 2).mean()


def meta_gradient(theta, batch, alpha, steps):
    def after_adaptation(theta, x_support, y_support, x_query, y_query):
        phi = theta
        for _ in range(steps):
            g = grad(mse)(phi, x_support, y_support)  # the outer grad differentiates through this one
            phi = {name: p - alpha * g[name] for name, p in phi.items()}
        return mse(phi, x_query, y_query)

    def meta_loss(theta):  # every task starts from the same θ, so θ has no axis to map over
        return vmap(after_adaptation, in_dims=(None, 0, 0, 0, 0))(theta, *batch[:4]).mean()

    return grad(meta_loss)(theta)
