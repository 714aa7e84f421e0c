"""Parts of the stored runs that the library doesn't have, each as the chapter that is about it writes it."""

from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn
from torch.func import grad, grad_and_value, vjp, vmap
from torch.nn.functional import affine_grid, grid_sample, layer_norm, relu

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
    """Solve product(v) = b, where `product` multiplies by a symmetric positive definite matrix."""
    v, residual, direction = torch.zeros_like(b), b, b
    for _ in range(rounds):
        image = product(direction)
        curvature, size = direction @ image, residual @ residual
        step = torch.where(curvature > 0, size / (curvature + 1e-30), 0.0)
        v, residual = v + step * direction, residual - step * image
        direction = residual + residual @ residual / (size + 1e-30) * direction
    return v


def linearised(phi, theta, x, y, alpha, loss):
    """The gradient of a task's loss at the flat vector φ, and v -> (I + αH)v with H taken at φ."""
    gradient, hessian = vjp(grad(lambda v: loss(unflatten(v, theta), x, y)), phi)
    return gradient, lambda v: v + alpha * hessian(v)[0]


def implicit_step(theta, x, y, *, alpha, steps, loss, rounds=5):
    """φ = θ - α ∇L(φ), which minimises L(φ) + ‖φ - θ‖²/2α, by Newton's method."""
    phi = start = flatten(theta)
    yield theta
    for _ in range(steps):
        gradient, matrix = linearised(phi, theta, x, y, alpha, loss)
        phi = phi - conjugate_gradients(matrix, phi - start + alpha * gradient, rounds)
        yield unflatten(phi, theta)


def implicit_maml(theta, batch, *, alpha, steps, loss, rounds=5):
    """The mean over tasks of (I + αH)⁻¹ ∇L^q(φ), with H taken at φ."""
    inner_loop = partial(implicit_step, rounds=rounds)

    def task(xs, ys, xq, yq):
        settings = {"alpha": alpha, "steps": steps, "loss": loss}
        phi = l2l.adapt(theta, xs, ys, inner_loop=inner_loop, **settings)
        g, value = grad_and_value(loss)(phi, xq, yq)
        _, matrix = linearised(flatten(phi), theta, xs, ys, alpha, loss)
        v = conjugate_gradients(matrix, flatten(g), rounds)
        return value, unflatten(v, theta)

    values, grads = vmap(task)(*batch[:4])
    return l2l.MetaGrad(values.mean(), {n: g.mean(0) for n, g in grads.items()})


def linear(params, name, x):
    return x @ params[f"{name}.W"] + params[f"{name}.b"]


def linear_maps(generator, dtype, **sizes):
    """Initial parameters of linear maps, by name."""
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
    z = torch.cat([x, params["summary"].expand(len(x), -1)], dim=-1)
    z = relu(linear(params, "dec2", relu(linear(params, "dec1", z))))
    return linear(params, "out", z)


def summarise(theta, x, y, *, alpha, steps, loss):
    """The encoder, in place of an inner loop: the mean of the codes of the points."""
    yield theta | {"summary": torch.zeros_like(theta["enc2.b"])}
    for _ in range(steps):
        z = relu(linear(theta, "enc1", torch.cat([x, y], dim=-1)))
        yield theta | {"summary": linear(theta, "enc2", z).mean(0)}


WIDTH, BLOCKS = 32, 2


def transformer_init(generator, dtype):
    maps = {"token": (3, WIDTH), "lift": (WIDTH, WIDTH), "out": (WIDTH, 1)}
    for i in range(BLOCKS):
        maps |= {f"qkv{i}": (WIDTH, 3 * WIDTH), f"mix{i}": (WIDTH, WIDTH)}
        maps |= {f"up{i}": (WIDTH, 2 * WIDTH), f"down{i}": (2 * WIDTH, WIDTH)}
    return linear_maps(generator, dtype, **maps)


def normed(z):
    return layer_norm(z, z.shape[-1:])


def transformer_apply(params, x):
    """Outputs at x: one query token for each input, attending to the stored tokens."""
    asked = torch.cat([x, torch.zeros_like(x), torch.zeros_like(x)], dim=-1)
    tokens, known = torch.cat([params["read"], asked]), len(params["read"])
    z = linear(params, "lift", relu(linear(params, "token", tokens)))
    for i in range(BLOCKS):
        q, k, v = linear(params, f"qkv{i}", normed(z)).chunk(3, dim=-1)
        attention = torch.softmax(q @ k[:known].mT / WIDTH**0.5, dim=-1)
        z = z + linear(params, f"mix{i}", attention @ v[:known])
        z = z + linear(params, f"down{i}", relu(linear(params, f"up{i}", normed(z))))
    return linear(params, "out", normed(z[known:]))


def read(theta, x, y, *, alpha, steps, loss):
    """In place of an inner loop: store the support points as tokens (x, y, 1)."""
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


# ---------------------------------------------------------------------------------- of the chapter on your own problem
def span(*ends):
    """All characters from the first to the last of each pair."""
    return [chr(c) for first, last in ends for c in range(ord(first), ord(last) + 1)]


ALPHABETS = {
    "Latin": span("AZ", "az"),
    "Greek": span("ΑΡ", "ΣΩ", "αω"),
    "Cyrillic": span("Ая"),
    "Georgian": span("აჰ"),
    "Armenian": span("ԱՖ", "աֆ"),
}
PARTS = {"train": ("Latin", "Greek", "Cyrillic"), "validation": ("Georgian",), "test": ("Armenian",)}
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono")


def draw(letter, font, size=28):
    """A letter in a font that comes with matplotlib, [size, size], from 0 to 1."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    image, middle = Image.new("L", (size, size)), (size / 2, size / 2)
    face = ImageFont.truetype(str(path), 20)
    ImageDraw.Draw(image).text(middle, letter, 255, face, anchor="mm")
    return torch.tensor(bytearray(image.tobytes())).view(size, size) / 255


def likeness(image, others):
    """Correlation of an image's pixels with each other image's, [fonts, others]; images are [fonts, 28, 28]."""
    rows = torch.stack([image, *others]).flatten(2)  # [1 + others, fonts, pixels]
    return torch.stack([torch.corrcoef(rows[:, f])[0, 1:] for f in range(len(FONTS))])


@cache
def in_fonts(letter):
    return torch.stack([draw(letter, font) for font in FONTS])


@cache
def classes():
    """Images [classes, fonts, 28, 28] for each part; no two classes look alike, within a part or across parts."""
    kept = {part: [] for part in PARTS}
    for part, alphabets in PARTS.items():
        for letter in (letter for name in alphabets for letter in ALPHABETS[name]):
            image = in_fonts(letter)
            before = [other for images in kept.values() for other in images]
            if not before or likeness(image, before).max() < 0.9:
                kept[part].append(image)
    return {part: torch.stack(images) for part, images in kept.items()}


def distorted(images, generator):
    """Images [..., 28, 28], rotated, scaled, sheared and shifted at random, [..., 1, 14, 14]."""
    lead, dtype = images.shape[:-2], images.dtype
    u = 2 * torch.rand(5, *lead, generator=generator, dtype=dtype) - 1
    turn, scale, slant = 0.3 * u[0], 1 + 0.2 * u[1], 0.3 * u[2]
    right, down, cos, sin = 0.15 * u[3], 0.15 * u[4], turn.cos(), turn.sin()
    rows = (
        [scale * cos, scale * (slant * cos - sin), right],
        [scale * sin, scale * (slant * sin + cos), down],
    )
    maps = torch.stack([torch.stack(row, -1) for row in rows], -2).view(-1, 2, 3)
    grid = affine_grid(maps, [len(maps), 1, 14, 14], align_corners=False)
    flat = grid_sample(images.reshape(-1, 1, 28, 28), grid, align_corners=False)
    return flat.view(*lead, 1, 14, 14)


def as_batch(x, y, shots):
    return l2l.Batch(x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:])


@dataclass(frozen=True)
class Glyphs:
    """Which of five letters is this? Every class has equally many points."""

    part: str = "train"
    ways: int = 5

    def sample(self, tasks, shots, query, *, generator, dtype):
        assert shots % self.ways == 0, "as many shots of each class"
        images = classes()[self.part]
        chosen = torch.rand(tasks, len(images), generator=generator).argsort(1)
        numbers = [torch.arange(n) % self.ways for n in (shots, query)]
        labels = torch.cat(numbers).expand(tasks, -1)
        font = torch.randint(len(FONTS), labels.shape, generator=generator)
        x = distorted(images[chosen.gather(1, labels), font].to(dtype), generator)
        return as_batch(x, labels, shots)


@dataclass(frozen=True)
class Letters:
    """Which of all training letters is this? Ordinary classification, to train features."""

    def sample(self, tasks, shots, query, *, generator, dtype):
        images, size = classes()["train"], (tasks, shots + query)
        labels = torch.randint(len(images), size, generator=generator)
        font = torch.randint(len(FONTS), size, generator=generator)
        x = distorted(images[labels, font].to(dtype), generator)
        return as_batch(x, labels, shots)


def cnn(outputs=5, norm=nn.Identity):
    """Three convolutions, each of which halves width and height, and a linear layer."""
    layers = []
    for before in (1, 16, 16):
        conv = nn.Conv2d(before, 16, kernel_size=3, stride=2, padding=1)
        layers += [conv, norm(16), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 2 * 2, outputs))


LETTERS = 96  # classes of the training part; to count them here would draw all letters at every import
CNN = replace(l2l.from_module(cnn), name="cnn")
NORMALISED = replace(l2l.from_module(partial(cnn, norm=nn.BatchNorm2d), batch_norm="batch"), name="cnn-batch-norm")
CLASSIFIER = replace(l2l.from_module(partial(cnn, outputs=LETTERS)), name="cnn-classifier")


@cache
def elevation():
    """Heights in Tennessee, [north to south, west to east], in units of 100 m, minus their mean."""
    name = "jacksboro_fault_dem.npz"  # of matplotlib
    metres = torch.tensor(matplotlib.cbook.get_sample_data(name)["elevation"]).double()
    return (metres - metres.mean()) / 100


@dataclass(frozen=True)
class Profiles:
    """Height along 60 cells from west to east, for x from -5 to 5."""

    half: str = "west"

    def sample(self, tasks, shots, query, *, generator, dtype):
        land = elevation()[:, :201] if self.half == "west" else elevation()[:, 201:]
        row = torch.randint(len(land), (tasks, 1), generator=generator)
        first = torch.randint(land.shape[1] - 60, (tasks, 1), generator=generator)
        u = torch.rand(tasks, shots + query, generator=generator, dtype=torch.float64)
        place = first + 59 * u
        left, part = place.long(), place.frac()
        y = land[row, left].lerp(land[row, left + 1], part)
        x, y = (10 * u - 5)[..., None].to(dtype), y[..., None].to(dtype)
        return as_batch(x, y, shots)
