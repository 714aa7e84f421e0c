"""TorchOpt: a differentiable optimiser moves the module itself, which is put back after each task."""

import torchopt
from torch import nn
from torch.nn.functional import mse_loss


def meta_gradient(theta, batch, alpha, steps):
    layers = [nn.Linear(*theta[W].shape) for W in ("W1", "W2", "W3")]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).to(theta["W1"])
    parameters = list(net.parameters())
    for p, start in zip(parameters, theta.values(), strict=True):
        p.data = start.detach().t().clone()  # nn.Linear keeps its weight as [out, in]; t() leaves a bias as it is
    inner = torchopt.MetaSGD(net, lr=alpha)
    at_theta, fresh = torchopt.extract_state_dict(net), torchopt.extract_state_dict(inner)
    for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
        for _ in range(steps):
            inner.step(mse_loss(net(x_support), y_support))  # net now holds φ, as a function of θ
        loss = mse_loss(net(x_query), y_query)
        (loss / len(batch[0])).backward()
        torchopt.recover_state_dict(net, at_theta)  # or the next task would start where this one ended
        torchopt.recover_state_dict(inner, fresh)
    return {name: p.grad.t() for name, p in zip(theta, parameters, strict=True)}
