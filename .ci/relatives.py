"""Methods of the stored runs that the library doesn't have, each as the chapter that is about it writes it."""

from functools import partial

import torch
from torch.func import grad, grad_and_value, vjp, vmap
from torch.nn.functional import layer_norm, relu

import l2l
from l2l.net import flatten, unflatten


def only(*moving):
    """Let the inner loop move only the tensors named here."""

    def loop(theta, x, y, *, loss, **settings):
        still = {n: p for n, p in theta.items() if n not in moving}
        some = {n: theta[n] for n in moving}
        on_task = lambda some, x, y: loss(still | some, x, y)  # noqa: E731
        for phi in l2l.inner_loop(some, x, y, loss=on_task, **settings):
            yield still | phi

    return loop


def adapting(name, *moving):
    """MAML that adapts those tensors alone, in training and at meta-test."""
    loop = only(*moving)
    return l2l.Method(name, partial(l2l.maml, inner_loop=loop), loop)


def own_rates(theta, x, y, *, alpha, steps, loss):
    """Meta-SGD: every parameter has a rate, whose logarithm is trained too."""
    phi = {n: p for n, p in theta.items() if not n.startswith("log_rate.")}
    yield phi
    for _ in range(steps):
        slope = grad(loss)(phi, x, y)
        phi = {n: p - theta[f"log_rate.{n}"].exp() * slope[n] for n, p in phi.items()}
        yield phi


def with_rates(params, alpha):
    rates = {f"log_rate.{n}": torch.full_like(p, alpha).log() for n, p in params.items()}
    return params | rates


def reptile(theta, batch, *, alpha, steps, loss):
    """Reptile: (θ - φ)/α, the mean over tasks, each adapted to all of its points."""
    x = torch.cat([batch.x_support, batch.x_query], dim=1)
    y = torch.cat([batch.y_support, batch.y_query], dim=1)

    def task(x, y):
        phi = l2l.adapt(theta, x, y, alpha=alpha, steps=steps, loss=loss)
        return loss(phi, x, y), {n: (p - phi[n]) / alpha for n, p in theta.items()}

    values, grads = vmap(task)(x, y)
    return l2l.MetaGrad(values.mean(), {n: g.mean(0) for n, g in grads.items()})


def conjugate_gradients(product, b, rounds):
    """Solve M v = b for a symmetric positive definite M, of which only products M p are needed."""
    v, left, way = torch.zeros_like(b), b, b
    for _ in range(rounds):
        turned = product(way)
        bend = way @ turned
        size = torch.where(bend > 0, left @ left / (bend + 1e-30), 0.0)
        v, after = v + size * way, left - size * turned
        left, way = after, after + after @ after / (left @ left + 1e-30) * way
    return v


def linearised(theta, x, y, alpha, loss):
    """The gradient of a task's loss at a vector of parameters, and there the product v -> (I + αH)v."""

    def at(phi):
        slope, hessian = vjp(grad(lambda v: loss(unflatten(v, theta), x, y)), phi)
        return slope, lambda v: v + alpha * hessian(v)[0]

    return at


def implicit_step(theta, x, y, *, alpha, steps, loss, rounds=5):
    """φ = θ - α ∇L(φ), which minimises L(φ) + ‖φ - θ‖²/2α, by Newton's method."""
    at, start = linearised(theta, x, y, alpha, loss), flatten(theta)
    phi = start
    yield theta
    for _ in range(steps):
        slope, matrix = at(phi)
        phi = phi - conjugate_gradients(matrix, phi - start + alpha * slope, rounds)
        yield unflatten(phi, theta)


def implicit_maml(theta, batch, *, alpha, steps, loss, rounds=5):
    """(I + αH)⁻¹ ∇L^q(φ), the mean over tasks, H taken at φ."""

    inner_loop = partial(implicit_step, rounds=rounds)

    def task(xs, ys, xq, yq):
        settings = {"alpha": alpha, "steps": steps, "loss": loss}
        phi = l2l.adapt(theta, xs, ys, inner_loop=inner_loop, **settings)
        g, value = grad_and_value(loss)(phi, xq, yq)
        _, matrix = linearised(theta, xs, ys, alpha, loss)(flatten(phi))
        v = conjugate_gradients(matrix, flatten(g), rounds)
        return value, unflatten(v, theta)

    values, grads = vmap(task)(*batch[:4])
    return l2l.MetaGrad(values.mean(), {n: g.mean(0) for n, g in grads.items()})


def linear(params, name, x):
    return x @ params[f"{name}.W"] + params[f"{name}.b"]


def linear_maps(generator, dtype, **sizes):
    """First parameters of linear maps, by name."""
    params = {}
    for name, widths in sizes.items():
        W, b = l2l.init_params(widths, generator=generator, dtype=dtype).values()
        params |= {f"{name}.W": W, f"{name}.b": b}
    return params


def process_init(generator, dtype):
    encoder = {"enc1": (2, 64), "enc2": (64, 64)}
    decoder = {"dec1": (65, 64), "dec2": (64, 64), "out": (64, 1)}
    return linear_maps(generator, dtype, **encoder, **decoder)


def process_apply(params, x):
    """The decoder: outputs at x, given the summary of a support set."""
    h = torch.cat([x, params["summary"].expand(len(x), -1)], dim=-1)
    h = relu(linear(params, "dec2", relu(linear(params, "dec1", h))))
    return linear(params, "out", h)


def summarise(theta, x, y, *, alpha, steps, loss):
    """The encoder, in place of an inner loop: the mean over points of what a network makes of each."""
    yield theta | {"summary": torch.zeros_like(theta["enc2.b"])}
    for _ in range(steps):
        h = relu(linear(theta, "enc1", torch.cat([x, y], dim=-1)))
        yield theta | {"summary": linear(theta, "enc2", h).mean(0)}


WIDTH, BLOCKS = 32, 2


def transformer_init(generator, dtype):
    maps = {"token": (3, WIDTH), "lift": (WIDTH, WIDTH), "out": (WIDTH, 1)}
    for i in range(BLOCKS):
        maps |= {f"qkv{i}": (WIDTH, 3 * WIDTH), f"mix{i}": (WIDTH, WIDTH)}
        maps |= {f"up{i}": (WIDTH, 2 * WIDTH), f"down{i}": (2 * WIDTH, WIDTH)}
    return linear_maps(generator, dtype, **maps)


def normed(h):
    return layer_norm(h, h.shape[-1:])


def transformer_apply(params, x):
    """Outputs at x, one token each, which attend to the tokens that were read."""
    asked = torch.cat([x, torch.zeros_like(x), torch.zeros_like(x)], dim=-1)
    tokens, known = torch.cat([params["read"], asked]), len(params["read"])
    h = linear(params, "lift", relu(linear(params, "token", tokens)))
    for i in range(BLOCKS):
        q, k, v = linear(params, f"qkv{i}", normed(h)).chunk(3, dim=-1)
        attention = torch.softmax(q @ k[:known].mT / WIDTH**0.5, dim=-1)
        h = h + linear(params, f"mix{i}", attention @ v[:known])
        h = h + linear(params, f"down{i}", relu(linear(params, f"up{i}", normed(h))))
    return linear(params, "out", normed(h[known:]))


def read(theta, x, y, *, alpha, steps, loss):
    """In place of an inner loop, the support points are put in front: tokens (x, y, 1)."""
    start = torch.zeros_like(x[:1]).expand(1, 3)
    yield theta | {"read": start}
    for _ in range(steps):
        yield theta | {"read": torch.cat([start, torch.cat([x, y, torch.ones_like(x)], dim=-1)])}


HEAD, BODY = (adapting(name, *moving) for name, moving in (("head", ["W3", "b3"]), ("body", ["W1", "b1", "W2", "b2"])))
META_SGD = l2l.Method("meta-sgd", partial(l2l.maml, inner_loop=own_rates), own_rates, with_rates)
REPTILE = l2l.Method("reptile", reptile)
IMPLICIT = l2l.Method("implicit-maml", implicit_maml, implicit_step)
PROCESS = {
    "method": l2l.Method("neural-process", partial(l2l.maml, inner_loop=summarise), summarise),
    "network": l2l.Network("neural-process", process_init, process_apply),
}
TRANSFORMER = {
    "method": l2l.Method("in-context", partial(l2l.maml, inner_loop=read), read),
    "network": l2l.Network("transformer", transformer_init, transformer_apply),
}
