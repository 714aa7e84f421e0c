"""learn2learn: a wrapper around the module, cloned for every task."""

from learn2learn.algorithms.maml import MAML
from torch import nn
from torch.nn.functional import mse_loss


def meta_gradient(theta, batch, alpha, steps):
    layers = [nn.Linear(*theta[W].shape) for W in ("W1", "W2", "W3")]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    parameters = list(net.to(theta["W1"]).parameters())
    for p, start in zip(parameters, theta.values(), strict=True):
        p.data = start.detach().t().clone()  # nn.Linear has W as [out, in]
    maml = MAML(net, lr=alpha)
    for xs, ys, xq, yq in zip(*batch[:4], strict=True):
        learner = maml.clone()  # adapt moves what it is called on, so not net
        for _ in range(steps):
            learner.adapt(mse_loss(learner(xs), ys))
        loss = mse_loss(learner(xq), yq)
        (loss / len(batch[0])).backward()  # through the clone, to .grad of θ
    return {name: p.grad.t() for name, p in zip(theta, parameters, strict=True)}
