"""functional_call: a module as a function of its parameters."""

from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import mse_loss


def meta_gradient(theta, batch, alpha, steps):
    layers = [nn.Linear(*theta[W].shape) for W in ("W1", "W2", "W3")]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    net = net.to(theta["W1"])  # its own parameters are never used
    names = [name for name, _ in net.named_parameters()]
    # nn.Linear has its weight as [out, in]; t() leaves a bias as it is.
    start = {name: p.t() for name, p in zip(names, theta.values(), strict=True)}

    def loss(p, x, y):  # strict: p must name them all
        return mse_loss(functional_call(net, p, x, strict=True), y)

    def after_adaptation(phi, xs, ys, xq, yq):
        for _ in range(steps):
            g = grad(loss)(phi, xs, ys)
            phi = {name: p - alpha * g[name] for name, p in phi.items()}
        return loss(phi, xq, yq)

    def meta_loss(p):
        of_tasks = vmap(after_adaptation, in_dims=(None, 0, 0, 0, 0))
        return of_tasks(p, *batch[:4]).mean()

    g = grad(meta_loss)(start)
    return {name: g[own].t() for name, own in zip(theta, names, strict=True)}
