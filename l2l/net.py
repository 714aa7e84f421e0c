"""The network: a multilayer perceptron whose parameters are a plain dict of tensors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from l2l._validation import one_of, whole

Params = dict[str, Tensor]
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


def init_params(
    sizes: Sequence[int] = (1, 40, 40, 1),
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    bias: bool = True,
) -> Params:
    """Draw initial parameters, from the distribution that `torch.nn.Linear` has by default::

        W_l, b_l ~ U[-s, s]   elementwise, s = 1/sqrt(sizes[l-1])

    Args:
        sizes: widths from input to output; the paper's network is (1, 40, 40, 1).
        generator: source of randomness; its state advances.
        dtype: torch.float32 or torch.float64.
        bias: False leaves b1, b2, … out; the weights are then drawn one after the other.

    Returns:
        W1 [in, out], b1 [out], W2, b2, … in this order, on the generator's device.

    Raises:
        TypeError, ValueError: fewer than two sizes, or a size that is not a whole number ≥ 1.

    Source: network of Finn et al. (2017), section 5.1; the distribution is PyTorch's, not the paper's.
    """
    sizes = [whole("each of sizes", size, 1) for size in sizes]
    if len(sizes) < 2:
        raise ValueError(f"sizes must name an input and an output width, got {tuple(sizes)}")

    def uniform(*shape: int, inputs: int) -> Tensor:
        bound = 1 / math.sqrt(inputs)
        return (2 * torch.rand(shape, generator=generator, dtype=dtype, device=generator.device) - 1) * bound

    params = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        params[f"W{layer}"] = uniform(inputs, outputs, inputs=inputs)
        if bias:
            params[f"b{layer}"] = uniform(outputs, inputs=inputs)
    return params


def flatten(params: Params, axes: int = 0) -> Tensor:
    """Return parameters as one vector: W1 row by row, b1, W2, b2, …

    Args:
        params: a dict of tensors of one dtype, in any shapes.
        axes: number of leading axes, such as a replica axis, that all tensors share; these axes are kept.

    Returns:
        The vector, [..., P], with P the number of parameters (1,761 in the paper's network).
    """
    return torch.cat([p.flatten(axes) if p.ndim > axes else p[..., None] for p in params.values()], dim=-1)


def unflatten(vector: Tensor, like: Params) -> Params:
    """Undo `flatten`: return parameters with the names and shapes of `like`, as views of the vector.

    Args:
        vector: parameters as one vector, [..., P]; its leading axes are kept.
        like: parameters without those leading axes, of which only the names and shapes are used.

    Raises:
        ValueError: the vector does not have as many entries as `like`.
    """
    lengths = [p.numel() for p in like.values()]
    if vector.shape[-1] != sum(lengths):
        raise ValueError(f"vector must have {sum(lengths)} entries, as {', '.join(like)} have, got {vector.shape[-1]}")
    parts = zip(like.items(), vector.split(lengths, dim=-1), strict=True)
    return {name: part.unflatten(-1, p.shape) if p.ndim else part[..., 0] for (name, p), part in parts}


def mlp(params: Params, x: Tensor, activation: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """Apply the network: `h_l = activation(h_{l-1} W_l + b_l)`, linear in its last layer.

    Args:
        params: W1, b1, …, WL, bL as `init_params` gives them, or W1, …, WL without biases.
        x: inputs [..., sizes[0]].
        activation: elementwise; the paper's is ReLU.

    Returns:
        Outputs [..., sizes[-1]].

    Raises:
        ValueError: the parameters' names or shapes do not form a network (parameters with a leading replica axis do
            not), or the last axis of `x` does not have the network's input width.
        TypeError: `x` and the parameters differ in dtype.
    """
    layers = sum(name.startswith("W") for name in params)
    _check_params(params, layers)
    if x.ndim == 0 or x.shape[-1] != params["W1"].shape[-2]:
        raise ValueError(
            f"x must have {params['W1'].shape[-2]} values in its last axis, the network's input width, "
            f"got shape {tuple(x.shape)}"
        )
    if x.dtype != params["W1"].dtype:
        raise TypeError(f"x and the parameters must have one dtype, got {x.dtype} and {params['W1'].dtype}")
    for layer in range(1, layers + 1):
        x = x @ params[f"W{layer}"]
        if f"b{layer}" in params:
            x = x + params[f"b{layer}"]
        if layer < layers:
            x = activation(x)
    return x


def _check_params(params: Params, layers: int) -> None:
    names = {f"{kind}{layer}" for kind in ("Wb" if "b1" in params else "W") for layer in range(1, layers + 1)}
    if not names or set(params) != names:
        raise ValueError(f"params must be named W1, b1, W2, b2, …, got {', '.join(params) or 'none'}")
    for layer in range(1, layers + 1):
        W, b, before = params[f"W{layer}"], params.get(f"b{layer}"), params.get(f"W{layer - 1}")
        fits = W.ndim == 2 and (b is None or b.shape == W.shape[1:])
        if not fits or (before is not None and before.shape[1:] != W.shape[:1]):
            shapes = {name: tuple(p.shape) for name, p in params.items()}
            hint = "; Run.replica gives the parameters of one replica" if W.ndim == 3 else ""
            raise ValueError(f"params must have shapes W [in, out] and b [out] that fit together, got {shapes}{hint}")
        dtypes = {p.dtype for p in (params["W1"], W, b) if p is not None}
        if len(dtypes) > 1:
            raise TypeError(f"params must have one dtype, got {' and '.join(map(str, dtypes))} in layer {layer}")


def mse(params: Params, x: Tensor, y: Tensor, activation: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """Mean squared error, `L(f_params, D) = mean_j (f_params(x_j) - y_j)^2`.

    Args:
        params: parameters of `mlp`.
        x: inputs [..., sizes[0]].
        y: targets [..., sizes[-1]], in exactly the shape of the outputs.
        activation: as for `mlp`.

    Returns:
        A scalar, in squared units of y.

    Raises:
        ValueError: `y` differs from the outputs in shape (broadcasting would hide the mistake).
        TypeError: dtypes differ.

    Source: Finn et al. (2017), equation 2, averaged over points.
    """
    return squared_error(mlp(params, x, activation), y)


def squared_error(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean squared error, `mean (outputs - y)^2`, a scalar.

    Raises:
        ValueError: `y` differs from the outputs in shape (broadcasting would hide the mistake).
        TypeError: dtypes differ.
    """
    if y.shape != outputs.shape:
        hint = "" if y.is_floating_point() else '; for labels, set loss="cross_entropy"'
        raise ValueError(f"y must have the outputs' shape {tuple(outputs.shape)}, got {tuple(y.shape)}{hint}")
    if y.dtype != outputs.dtype:
        raise TypeError(f"y and the outputs must have one dtype, got {y.dtype} and {outputs.dtype}")
    return ((outputs - y) ** 2).mean()


@dataclass(frozen=True)
class Network:
    """Any network, as a pair of pure functions; `TrainConfig(network=…)` trains it.

    `l2l.modules.from_module` makes one from a `torch.nn.Module`.
    """

    name: str
    """Its name in a run file."""
    init: Callable[[torch.Generator, torch.dtype], Params]
    """(generator, dtype) -> initial parameters, a dict of tensors of that dtype. Only this generator is used."""
    apply: Callable[[Params, Tensor], Tensor]
    """(params, x [points, ...]) -> outputs [points, ...]."""


@dataclass(frozen=True)
class MLP:
    """The book's network, a multilayer perceptron: `init_params` and `mlp` with these settings.

    Raises:
        TypeError, ValueError: fewer than two widths, a width that is not a whole number ≥ 1, an unknown activation.
    """

    sizes: tuple[int, ...] = (1, 40, 40, 1)
    """Widths from input to output. The paper's network."""
    activation: str = "relu"
    """"relu", as in the paper, or "tanh"."""
    bias: bool = True
    """False leaves the biases out."""

    name = "MLP"

    def __post_init__(self):
        try:
            sizes = tuple(self.sizes)
        except TypeError:
            raise TypeError(f"sizes must be a sequence of whole numbers, got {self.sizes!r}") from None
        object.__setattr__(self, "sizes", tuple(whole("each of sizes", size, 1) for size in sizes))
        if len(sizes) < 2:
            raise ValueError(f"sizes must name an input and an output width, got {sizes}")
        one_of("activation", self.activation, ACTIVATIONS)

    def init(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Draw initial parameters, as `init_params` does."""
        return init_params(self.sizes, generator=generator, dtype=dtype, bias=self.bias)

    def apply(self, params: Params, x: Tensor) -> Tensor:
        """Apply the network, as `mlp` does."""
        return mlp(params, x, ACTIVATIONS[self.activation])
