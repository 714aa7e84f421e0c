"""torch.autograd.grad: for each task a graph from θ to its query loss."""

import torch


def mse(p, x, y):
    W1, b1, W2, b2, W3, b3 = p
    h = torch.relu(torch.relu(x @ W1 + b1) @ W2 + b2)
    return ((h @ W3 + b3 - y) ** 2).mean()


def meta_gradient(theta, batch, alpha, steps):
    start = list(theta.values())
    mean = [torch.zeros_like(p) for p in start]
    for xs, ys, xq, yq in zip(*batch[:4], strict=True):
        phi = start
        for _ in range(steps):
            # Without create_graph these gradients would be constants.
            g = torch.autograd.grad(mse(phi, xs, ys), phi, create_graph=True)
            # New tensors: a step in place would move θ.
            phi = [p - alpha * d for p, d in zip(phi, g, strict=True)]
        # Task by task, so that only one graph is held at a time.
        g = torch.autograd.grad(mse(phi, xq, yq) / len(batch[0]), start)
        mean = [m + d for m, d in zip(mean, g, strict=True)]
    return dict(zip(theta, mean, strict=True))
