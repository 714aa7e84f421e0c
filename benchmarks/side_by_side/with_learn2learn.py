"""learn2learn: a wrapper around the module, of which every task takes a clone."""

from learn2learn.algorithms.maml import MAML
from torch import nn
from torch.nn.functional import mse_loss


def meta_gradient(theta, batch, alpha, steps):
    layers = [nn.Linear(*theta[W].shape) for W in ("W1", "W2", "W3")]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).to(theta["W1"])
    parameters = list(net.parameters())
    for p, start in zip(parameters, theta.values(), strict=True):
        p.data = start.detach().t().clone()  # nn.Linear keeps its weight as [out, in]; t() leaves a bias as it is
    maml = MAML(net, lr=alpha)
    for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
        learner = maml.clone()  # adapt replaces parameters in place; the clone's are functions of θ
        for _ in range(steps):
            learner.adapt(mse_loss(learner(x_support), y_support))
        loss = mse_loss(learner(x_query), y_query)
        (loss / len(batch[0])).backward()  # through the clone, to .grad of θ
    return {name: p.grad.t() for name, p in zip(theta, parameters, strict=True)}
