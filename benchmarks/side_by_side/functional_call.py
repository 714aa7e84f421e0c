"""nn.Module and torch.func.functional_call: any module as a function of its parameters."""

from torch import nn
from torch.func import functional_call, grad, vmap


def meta_gradient(theta, batch, alpha, steps):
    layers = [nn.Linear(*theta[W].shape) for W in ("W1", "W2", "W3")]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).to(theta["W1"])
    # nn.Linear keeps its weight as [out, in], hence the transposes; t() leaves a bias as it is.
    # The dict stands in for the module's own parameters, which are never used.
    names = [name for name, _ in net.named_parameters()]
    start = {name: p.t() for name, p in zip(names, theta.values(), strict=True)}

    def loss(p, x, y):
        return nn.functional.mse_loss(functional_call(net, p, x, strict=True), y)  # strict: p must name them all

    def after_adaptation(phi, x_support, y_support, x_query, y_query):
        for _ in range(steps):
            g = grad(loss)(phi, x_support, y_support)
            phi = {name: p - alpha * g[name] for name, p in phi.items()}
        return loss(phi, x_query, y_query)

    def meta_loss(p):
        return vmap(after_adaptation, in_dims=(None, 0, 0, 0, 0))(p, *batch[:4]).mean()

    grads = grad(meta_loss)(start)
    return {name: g.t() for name, g in zip(theta, grads.values(), strict=True)}
