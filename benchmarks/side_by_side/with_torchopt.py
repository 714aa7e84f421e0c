"""TorchOpt: the module itself is moved, and put back after each task."""

import torchopt
from torch import nn
from torch.nn.functional import mse_loss


def meta_gradient(theta, batch, alpha, steps):
    layers = [nn.Linear(*theta[W].shape) for W in ("W1", "W2", "W3")]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    parameters = list(net.to(theta["W1"]).parameters())
    for p, start in zip(parameters, theta.values(), strict=True):
        p.data = start.detach().t().clone()  # nn.Linear has W as [out, in]
    inner = torchopt.MetaSGD(net, lr=alpha)
    at_theta = torchopt.extract_state_dict(net)
    fresh = torchopt.extract_state_dict(inner)
    for xs, ys, xq, yq in zip(*batch[:4], strict=True):
        for _ in range(steps):
            inner.step(mse_loss(net(xs), ys))  # net now holds φ = φ(θ)
        loss = mse_loss(net(xq), yq)
        (loss / len(batch[0])).backward()
        # Or the next task would start where this one ended.
        torchopt.recover_state_dict(net, at_theta)
        torchopt.recover_state_dict(inner, fresh)
    return {name: p.grad.t() for name, p in zip(theta, parameters, strict=True)}
