"""What to train: `TrainConfig`."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from inspect import signature
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from l2l._validation import one_of, rate, schedule, whole
from l2l.adam import OPTIMIZERS, Optimizer
from l2l.methods import METHODS, Loss, Method
from l2l.net import MLP, Network, Params, squared_error

DTYPES = {"float32": torch.float32, "float64": torch.float64}
HELD_OUT_TASKS = 200
"""Tasks on which the history is measured."""
OutputLoss = Callable[[Tensor, Tensor], Tensor]  # (outputs, y) -> scalar
LOSSES: dict[str, OutputLoss] = {"mse": squared_error, "cross_entropy": cross_entropy}


Part = Method | Network | MLP | Optimizer | OutputLoss
"""The kinds of part that a user can supply."""


class Parts(NamedTuple):
    """The objects that a config's names refer to."""

    method: Method
    network: MLP | Network
    loss: Loss
    """(params, x, y) -> scalar: the loss of the network's outputs."""
    optimizer: Optimizer


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run.

    Raises:
        TypeError, ValueError: a value out of range, of the wrong type, or a repeated seed.
    """

    method: str | Method = "maml"
    """"maml", "fomaml" or "pretrain"; or a `Method` of one's own."""
    iterations: int = 15_000
    """Outer updates. The default takes seconds and shows every effect; the paper's released code makes 70,000."""
    tasks: int = 25
    """Tasks in each meta-batch, as in the paper's released code."""
    shots: int = 10
    """n, support points for each task. The paper uses 5 and 10."""
    query: int = 10
    """Q, query points for each task. The paper's released code takes as many as there are shots."""
    alpha: float | tuple[float, ...] = 0.01
    """Inner learning rate α; a sequence gives one for each step, the last of which holds for further steps. The paper's
    value."""
    beta: float = 1e-3
    """Outer learning rate β, of Adam. The value in the paper's released code."""
    steps: int = 1
    """Inner steps during training. The paper's value."""
    sizes: tuple[int, ...] = (1, 40, 40, 1)
    """Widths of the network, input to output, unless `network` is given. The paper's network."""
    network: MLP | Network | None = None
    """Another network; None is `MLP(sizes)`."""
    loss: str | OutputLoss = "mse"
    """"mse" or "cross_entropy" (of labels, or of probabilities in the shape of the outputs); or a function
    (outputs, y) -> scalar, for the points of one task."""
    optimizer: str | Optimizer = "adam"
    """Outer optimiser, "adam" as in the paper's released code, or an `Optimizer` of one's own."""
    seeds: tuple[int, ...] = (0,)
    """One replica for each seed. A seed fixes the initialisation and the stream of tasks, for any method."""
    log_every: int = 250
    """Iterations between two entries of the history, which also has one before the first and after the last update. An
    entry, on 200 held-out tasks, takes as long as ten updates, but is made beside them where a core is idle. Training
    is slower where all cores are at work, or entries are fewer than some twenty iterations apart."""
    checkpoint_at: tuple[int, ...] = ()
    """Iterations after which the parameters are kept; 0 is the initialisation."""
    dtype: str = "float32"
    """"float32" or "float64"."""

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        is_function = callable(self.loss) and not isinstance(self.loss, type)
        if not isinstance(self.loss, str) and is_function and not _takes_two(self.loss):
            raise TypeError(f"loss must be a function (outputs, y) -> scalar, got {part_name(self.loss)}")
        for name, known, own, kind in (
            ("method", METHODS, isinstance(self.method, Method), "a Method"),
            ("loss", LOSSES, is_function, "a function (outputs, y) -> scalar"),
            ("optimizer", OPTIMIZERS, isinstance(self.optimizer, Optimizer), "an Optimizer"),
        ):
            part = getattr(self, name)
            if not own and not (isinstance(part, str) and part in known):
                raise (ValueError if isinstance(part, str) else TypeError)(
                    f"{name} must be one of {', '.join(known)}, or {kind}, got {part!r}"
                )
            if own and part_name(part) in known and part != known[part_name(part)]:
                raise ValueError(f"{name} must not have the name of a built-in one, got {part_name(part)}")
        one_of("dtype", self.dtype, DTYPES)
        for name in ("iterations", "tasks", "shots", "query", "log_every"):
            put(name, whole(name, getattr(self, name), 1))
        put("steps", whole("steps", self.steps, 0))
        alpha = self.alpha.tolist() if isinstance(self.alpha, Tensor | np.ndarray) else self.alpha
        put(
            "alpha",
            tuple(schedule("alpha", alpha, len(alpha))) if isinstance(alpha, list | tuple) else rate("alpha", alpha),
        )
        put("beta", rate("beta", self.beta))
        for name, least in (("sizes", 1), ("seeds", 0), ("checkpoint_at", 0)):
            try:
                values = tuple(getattr(self, name))
            except TypeError:
                raise TypeError(f"{name} must be a sequence of whole numbers, got {getattr(self, name)!r}") from None
            put(name, tuple(whole(f"each of {name}", value, least) for value in values))
        put("checkpoint_at", tuple(sorted(set(self.checkpoint_at))))
        self._check_network()
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be distinct and there must be at least one, got {self.seeds}")
        if max(self.seeds) >= 2**32:
            raise ValueError(f"seeds must be below 2**32, got {max(self.seeds)}")
        if self.checkpoint_at and max(self.checkpoint_at) > self.iterations:
            raise ValueError(f"checkpoint_at must not exceed iterations = {self.iterations}, got {self.checkpoint_at}")

    def _check_network(self) -> None:
        if self.network is None:
            MLP(self.sizes)
        elif not isinstance(self.network, MLP | Network):
            raise TypeError(
                f"network must be an MLP or a Network, got {_shown(self.network)}; from_module makes a Network from "
                "a module"
            )
        elif self.sizes != type(self).sizes:
            raise ValueError(f"sizes must be left out where a network is given, got {self.sizes}")

    @property
    def parts(self) -> Parts:
        """The method, the network, the loss and the outer optimiser themselves."""
        method = self.method if isinstance(self.method, Method) else METHODS[self.method]
        network = MLP(self.sizes) if self.network is None else self.network
        of_outputs = LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        optimizer = self.optimizer if isinstance(self.optimizer, Optimizer) else OPTIMIZERS[self.optimizer]

        def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
            return of_outputs(network.apply(params, x), y)

        return Parts(method, network, loss, optimizer)

    def initial_parameters(self, seed: int) -> Params:
        """Return the initial meta-parameters of a seed: the network's parameters, and what the method adds to them.

        Raises:
            TypeError: the initial meta-parameters are not all tensors of this config's dtype.
        """
        method, network, *_ = self.parts
        params = network.init(torch.Generator().manual_seed(seed), DTYPES[self.dtype])
        theta = method.init(params, self.alpha)
        for name, p in theta.items():
            if not isinstance(p, Tensor) or p.dtype != DTYPES[self.dtype]:
                raise TypeError(
                    f"initial parameters must be tensors of {self.dtype}, got {name}: {getattr(p, 'dtype', p)}"
                )
        return theta

    def described(self) -> dict:
        """Return all settings as numbers and strings, for a run file: parts by their names, an MLP by its fields."""
        about = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("method", "loss", "optimizer", "network"):
            about[name] = None if about[name] is None else part_name(about[name])
        return about | ({"network": vars(self.network)} if isinstance(self.network, MLP) else {})


def _shown(value: object) -> str:
    """Return how an error message shows a value: by its repr, or by its class if the repr has several lines."""
    return repr(value) if "\n" not in repr(value) else f"an object of class {type(value).__name__}"


def _takes_two(function: Callable) -> bool:
    try:
        signature(function).bind(None, None)
    except ValueError:  # a built-in function without a signature
        return True
    except TypeError:
        return False
    return True


def part_name(part: str | Part) -> str:
    """Return the name of a part in a run file; that of a function is the one in its definition."""
    if isinstance(part, str):
        return part
    return getattr(part, "name", "") or getattr(part, "__name__", type(part).__name__)
