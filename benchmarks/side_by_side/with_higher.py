"""higher: a stateless copy of the module takes differentiable steps."""

import higher
import torch
from torch import nn
from torch.nn.functional import mse_loss


def meta_gradient(theta, batch, alpha, steps):
    layers = [nn.Linear(*theta[W].shape) for W in ("W1", "W2", "W3")]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    parameters = list(net.to(theta["W1"]).parameters())
    for p, start in zip(parameters, theta.values(), strict=True):
        p.data = start.detach().t().clone()  # nn.Linear has W as [out, in]
    sgd = torch.optim.SGD(parameters, lr=alpha)
    for xs, ys, xq, yq in zip(*batch[:4], strict=True):
        # Unless copy_initial_weights is False, the copy is cut off from θ.
        with higher.innerloop_ctx(net, sgd, copy_initial_weights=False) as (f, opt):
            for _ in range(steps):
                opt.step(mse_loss(f(xs), ys))
            loss = mse_loss(f(xq), yq)
        (loss / len(batch[0])).backward()  # to .grad of θ, still in net
    return {name: p.grad.t() for name, p in zip(theta, parameters, strict=True)}
