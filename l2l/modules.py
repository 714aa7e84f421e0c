"""A `torch.nn.Module` as a network of pure functions."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from l2l.net import Network, Params

BATCH_NORM = {"batch": "by the statistics of the points in each call", "frozen": "by its stored, fixed statistics"}


def from_module(make: Callable[[], nn.Module], *, batch_norm: str | None = None) -> Network:
    """Make a `Network` from a module: its parameters keep their names, and `functional_call` applies the module.

    A network here is a function of parameters and inputs alone, so a module may neither keep state between calls nor
    draw random numbers: buffers are constants, batch normalisation needs a mode, and dropout must be off.

    Args:
        make: class or function that takes no arguments and returns the module with fresh parameters at each call, such
            as `lambda: nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 1))`. Each seed has its own parameters.
        batch_norm: for a module with batch normalisation, "batch" (each task's support or query set is normalised by
            its own mean and variance, as in the code released with MAML) or "frozen" (by the module's running mean and
            variance).

    Returns:
        Network, with the name of the module's class; `dataclasses.replace` gives it another name.

    Raises:
        TypeError: `make` is a module, does not return one, or returns one with lazy parameters.
        ValueError: batch normalisation without a mode, a mode without batch normalisation, or dropout that is on.

    Source: `torch.func.functional_call`.
    """
    if isinstance(make, nn.Module):
        raise TypeError(
            f"make must be a function that returns a new module at each call, got a module itself: pass its class, or "
            f"a function that returns a {type(make).__name__}"
        )
    module = _made(make, 0)
    normalised = [name for name, m in module.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    modes = " or ".join(f'"{mode}" ({meaning})' for mode, meaning in BATCH_NORM.items())
    if normalised and batch_norm not in BATCH_NORM:
        raise ValueError(f"{normalised[0]} normalises over a batch: batch_norm must be {modes}, got {batch_norm!r}")
    if batch_norm is not None and not normalised:
        raise ValueError(f"batch_norm is for modules with batch normalisation, got {batch_norm!r}")
    _set_mode(module, batch_norm)

    def init(generator: torch.Generator, dtype: torch.dtype) -> Params:
        seed = int(torch.randint(2**62, (), generator=generator))
        return {name: p.detach().to(dtype) for name, p in _made(make, seed).named_parameters()}

    def apply(params: Params, x: Tensor) -> Tensor:
        buffers = {
            name: b.to(x.dtype) if b.is_floating_point() else b for name, b in module.named_buffers() if b is not None
        }
        return functional_call(module, (params, buffers), (x,))

    return Network(type(module).__name__, init, apply)


def _made(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Call `make` with torch's global generator seeded by `seed`; restore that generator afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make()
    if not isinstance(module, nn.Module):
        raise TypeError(f"make must make a torch.nn.Module, got {module!r}")
    lazy = [name for name, p in module.named_parameters() if nn.parameter.is_lazy(p)]
    if lazy:
        raise TypeError(f"parameters must have shapes from the start, got a lazy {lazy[0]}")
    return module


def _set_mode(module: nn.Module, batch_norm: str | None) -> None:
    """Make the module stateless; raise if it would draw random numbers."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            if batch_norm == "batch":
                part.running_mean = part.running_var = part.num_batches_tracked = None
                part.track_running_stats = False
            else:
                part.eval()
        elif isinstance(part, nn.modules.dropout._DropoutNd) and part.training and part.p > 0:
            raise ValueError(
                f"{name} draws random numbers at each call: set its dropout probability to 0, or put it in eval() mode"
            )
