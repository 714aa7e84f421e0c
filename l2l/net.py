"""The network: a multilayer perceptron whose parameters are a plain dict of tensors."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from l2l.validation import whole

Params = dict[str, Tensor]
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


def init_params(
    sizes: Sequence[int] = (1, 40, 40, 1), *, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Params:
    """Draw initial parameters, from the distribution that `torch.nn.Linear` has by default::

        W_l, b_l ~ U[-1/sqrt(n), 1/sqrt(n)]   elementwise, n = sizes[l-1] inputs of layer l

    Args:
        sizes: widths from input to output; the paper's network is (1, 40, 40, 1).
        generator: source of randomness; its state advances.
        dtype: torch.float32 or torch.float64.

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
        params[f"b{layer}"] = uniform(outputs, inputs=inputs)
    return params


def flatten(params: Params) -> Tensor:
    """Return parameters as one vector: W1 row by row, b1, W2, b2, …

    Args:
        params: as `init_params` gives them, or with leading axes that all of them share.

    Returns:
        [..., P], P the number of parameters (1,761 in the paper's network).
    """
    leading = params["b1"].ndim - 1
    return torch.cat([p.flatten(leading) for p in params.values()], dim=-1)


def unflatten(vector: Tensor, sizes: Sequence[int]) -> Params:
    """Undo `flatten`, for a network of these widths; the parameters are views of the vector.

    Raises:
        ValueError: the vector does not have as many entries as the network has parameters.
    """
    pieces = [shape for inputs, outputs in pairwise(sizes) for shape in ((inputs, outputs), (outputs,))]
    lengths = [math.prod(shape) for shape in pieces]
    if vector.shape[-1] != sum(lengths):
        raise ValueError(f"a network of widths {tuple(sizes)} has {sum(lengths)} parameters, got {vector.shape[-1]}")
    names = [f"{kind}{layer}" for layer in range(1, len(sizes)) for kind in "Wb"]
    parts = zip(names, vector.split(lengths, dim=-1), pieces, strict=True)
    return {name: part.unflatten(-1, shape) for name, part, shape in parts}


def mlp(params: Params, x: Tensor, activation: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """Apply the network: `h_l = activation(h_{l-1} W_l + b_l)`, linear in its last layer.

    Args:
        params: W1, b1, …, WL, bL as `init_params` gives them.
        x: inputs [..., sizes[0]].
        activation: elementwise; the paper's is ReLU.

    Returns:
        Outputs [..., sizes[-1]].

    Raises:
        ValueError: the parameters' names or shapes do not make a network (a leading replica axis does not), or
            the last axis of `x` is not its input width.
        TypeError: `x` and the parameters differ in dtype.
    """
    layers = len(params) // 2
    _check_params(params, layers)
    if x.ndim == 0 or x.shape[-1] != params["W1"].shape[-2]:
        raise ValueError(f"x must have {params['W1'].shape[-2]} values in its last axis, got shape {tuple(x.shape)}")
    if x.dtype != params["W1"].dtype:
        raise TypeError(f"x and the parameters must have one dtype, got {x.dtype} and {params['W1'].dtype}")
    for layer in range(1, layers):
        x = activation(x @ params[f"W{layer}"] + params[f"b{layer}"])
    return x @ params[f"W{layers}"] + params[f"b{layers}"]


def _check_params(params: Params, layers: int) -> None:
    names = {f"{kind}{layer}" for kind in "Wb" for layer in range(1, layers + 1)}
    if not names or set(params) != names:
        raise ValueError(f"params must be named W1, b1, W2, b2, …, got {', '.join(params) or 'none'}")
    for layer in range(1, layers + 1):
        W, b, before = params[f"W{layer}"], params[f"b{layer}"], params.get(f"b{layer - 1}")
        if W.ndim != 2 or b.shape != W.shape[1:] or (before is not None and before.shape != W.shape[:1]):
            shapes = {name: tuple(p.shape) for name, p in params.items()}
            raise ValueError(f"params must have shapes W [in, out] and b [out] that fit together, got {shapes}")
        if not W.dtype == b.dtype == params["W1"].dtype:
            raise TypeError(f"params must have one dtype, got {W.dtype} and {b.dtype} in layer {layer}")


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
        ValueError: `y` has another shape than the outputs (broadcasting would hide the mistake).
        TypeError: dtypes differ.

    Source: Finn et al. (2017), equation 2, averaged over points.
    """
    outputs = mlp(params, x, activation)
    if y.shape != outputs.shape:
        raise ValueError(f"y must have the outputs' shape {tuple(outputs.shape)}, got {tuple(y.shape)}")
    if y.dtype != outputs.dtype:
        raise TypeError(f"y and the outputs must have one dtype, got {y.dtype} and {outputs.dtype}")
    return ((outputs - y) ** 2).mean()
