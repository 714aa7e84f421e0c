"""What to train: `TrainConfig`."""

import functools
from dataclasses import dataclass

import torch

from l2l.methods import METHODS, Loss
from l2l.net import ACTIVATIONS, mse
from l2l.validation import one_of, rate, whole

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run.

    Raises:
        TypeError, ValueError: a value out of range, of the wrong type, or a repeated seed.
    """

    method: str = "maml"
    """"maml", "fomaml" or "pretrain"."""
    iterations: int = 15_000
    """Outer updates, enough to see every effect in seconds. The paper's released code makes 70,000."""
    tasks: int = 25
    """Tasks in each meta-batch, as in the paper's released code."""
    shots: int = 10
    """K, support points for each task. The paper uses 5 and 10."""
    query: int = 10
    """Q, query points for each task. The paper's released code takes as many as there are shots."""
    alpha: float = 0.01
    """Inner learning rate α. The paper's value."""
    beta: float = 1e-3
    """Outer learning rate β, of Adam. The value in the paper's released code."""
    steps: int = 1
    """Inner steps during training. The paper's value."""
    sizes: tuple[int, ...] = (1, 40, 40, 1)
    """Widths of the network, input to output. The paper's network."""
    activation: str = "relu"
    """"relu", as in the paper, or "tanh"."""
    seeds: tuple[int, ...] = (0,)
    """One replica for each seed. A seed fixes the initialisation and the stream of tasks, for any method."""
    log_every: int = 250
    """Iterations between two entries of the history. Every quantity is logged at the first and last iteration too."""
    checkpoint_at: tuple[int, ...] = ()
    """Iterations after which the parameters are kept; 0 is the initialisation."""
    dtype: str = "float32"
    """"float32" or "float64"."""

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        one_of("method", self.method, METHODS)
        one_of("dtype", self.dtype, DTYPES)
        one_of("activation", self.activation, ACTIVATIONS)
        for name in ("iterations", "tasks", "shots", "query", "log_every"):
            put(name, whole(name, getattr(self, name), 1))
        put("steps", whole("steps", self.steps, 0))
        for name in ("alpha", "beta"):
            put(name, rate(name, getattr(self, name)))
        for name, least in (("sizes", 1), ("seeds", 0), ("checkpoint_at", 0)):
            try:
                values = tuple(getattr(self, name))
            except TypeError:
                raise TypeError(f"{name} must be a sequence of whole numbers, got {getattr(self, name)!r}") from None
            put(name, tuple(whole(f"each of {name}", value, least) for value in values))
        put("checkpoint_at", tuple(sorted(set(self.checkpoint_at))))
        if len(self.sizes) < 2 or self.sizes[0] != 1 or self.sizes[-1] != 1:
            raise ValueError(f"sizes must begin and end with 1, as x and y are numbers, got {self.sizes}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be distinct and at least one, got {self.seeds}")
        if max(self.seeds) >= 2**32:
            raise ValueError(f"seeds must be below 2**32, got {max(self.seeds)}")
        if self.checkpoint_at and max(self.checkpoint_at) > self.iterations:
            raise ValueError(f"checkpoint_at must not exceed iterations = {self.iterations}, got {self.checkpoint_at}")

    @property
    def loss(self) -> Loss:
        """Mean squared error of this network, that is `mse` with its activation."""
        return functools.partial(mse, activation=ACTIVATIONS[self.activation])
