"""torch.autograd.grad: one graph for each task, from θ through all inner steps to the query loss."""

import torch


def mse(p, x, y):
    W1, b1, W2, b2, W3, b3 = p
    h = torch.relu(torch.relu(x @ W1 + b1) @ W2 + b2)
    return ((h @ W3 + b3 - y) ** 2).mean()


def meta_gradient(theta, batch, alpha, steps):
    start = list(theta.values())
    mean = [torch.zeros_like(p) for p in start]
    for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
        phi = start
        for _ in range(steps):
            # create_graph records the gradient's own computation; without it g would be a constant.
            g = torch.autograd.grad(mse(phi, x_support, y_support), phi, create_graph=True)
            phi = [p - alpha * d for p, d in zip(phi, g, strict=True)]  # new tensors: an in-place step would move θ
        loss = mse(phi, x_query, y_query) / len(batch[0])
        # Task by task, so that one graph is held at a time.
        mean = [m + d for m, d in zip(mean, torch.autograd.grad(loss, start), strict=True)]
    return dict(zip(theta, mean, strict=True))
