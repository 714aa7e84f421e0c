"""higher: within its context a stateless copy of the module takes differentiable steps."""

import higher
import torch
from torch import nn
from torch.nn.functional import mse_loss


def meta_gradient(theta, batch, alpha, steps):
    layers = [nn.Linear(*theta[W].shape) for W in ("W1", "W2", "W3")]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).to(theta["W1"])
    parameters = list(net.parameters())
    for p, start in zip(parameters, theta.values(), strict=True):
        p.data = start.detach().t().clone()  # nn.Linear keeps its weight as [out, in]; t() leaves a bias as it is
    inner = torch.optim.SGD(parameters, lr=alpha)
    for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
        # copy_initial_weights=False, or the copy starts from detached weights and no gradient reaches θ.
        with higher.innerloop_ctx(net, inner, copy_initial_weights=False) as (learner, optimiser):
            for _ in range(steps):
                optimiser.step(mse_loss(learner(x_support), y_support))
            loss = mse_loss(learner(x_query), y_query)
        (loss / len(batch[0])).backward()  # adds to .grad of θ, which lives on in net
    return {name: p.grad.t() for name, p in zip(theta, parameters, strict=True)}
