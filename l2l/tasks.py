"""The task distribution: sinusoids with random amplitude and phase, and what is known about them in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from l2l._validation import interval, rate, whole


class Batch(NamedTuple):
    """A batch of T tasks, each with n support and Q query points, of any family.

    Inputs have the dtype of the parameters; targets have the same dtype, or are int64 (class labels).
    """

    x_support: Tensor  # [T, n, …], here [T, n, 1]
    y_support: Tensor  # [T, n, …]
    x_query: Tensor  # [T, Q, …]
    y_query: Tensor  # [T, Q, …]


class SineBatch(NamedTuple):
    """A `Batch` of sinusoids, with the true amplitude and phase of each in two more fields, which `train` omits."""

    x_support: Tensor  # [T, n, 1]
    y_support: Tensor  # [T, n, 1]
    x_query: Tensor  # [T, Q, 1]
    y_query: Tensor  # [T, Q, 1]
    amplitude: Tensor  # [T]
    phase: Tensor  # [T], radians


class TaskFamily(Protocol):
    """A distribution of tasks, as `train` needs it: any object with this method will do.

    `sample` draws T tasks with n support and Q query points each, with no randomness but the generator's. A run file
    stores the name of the family's class and, if it is a dataclass, the values of its fields.
    """

    def sample(
        self, tasks: int, shots: int, query: int, *, generator: torch.Generator, dtype: torch.dtype
    ) -> "Batch | SineBatch":
        """Draw a batch, on the generator's device.

        Returns:
            Batch of x_support and y_support, [T, n, …], and of x_query and y_query, [T, Q, …]; in place of … stand the
            axes of one point, in the book one axis of length 1.
        """


def check_family(family: object) -> None:
    """Raise a TypeError if this is no task family."""
    if isinstance(family, type) or not callable(getattr(family, "sample", None)):
        raise TypeError(f"task_family must be an object with a method sample, got {family!r}")


def tensors_of(batch: Batch | SineBatch, origin: str = "batch") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the four tensors of a batch; raise a TypeError if one is missing. `origin` names it in the message."""
    found = {field: getattr(batch, field, None) for field in Batch._fields}
    wrong = [f"{field}: {type(x).__name__}" for field, x in found.items() if not isinstance(x, Tensor)]
    if wrong:
        got = ", ".join(wrong) if hasattr(batch, "x_support") else f"a {type(batch).__name__}"
        raise TypeError(f"{origin} must be a Batch of tensors, got {got}")
    return batch.x_support, batch.y_support, batch.x_query, batch.y_query


F = TypeVar("F", bound=Callable)


def by_rows(sample: F) -> F:
    """Decorator: declare that a family's `sample` draws the same tasks in one call as one at a time.

    Many meta-batches are then drawn at once, which is faster. A `sample` that overrides another must be decorated too.
    """
    sample.by_rows = True  # type: ignore[attr-defined]  # any function takes attributes
    return sample


@dataclass(frozen=True)
class SineTasks:
    """Tasks `y = A sin(x + b)`, plus normal noise if `noise` > 0, with A, b and x uniform on the ranges below.

    Raises:
        TypeError, ValueError: a range that is reversed, not finite, or not a pair of numbers; noise below 0.

    Source: Finn et al. (2017), section 5.1, whose text gives these ranges.
    """

    amplitude: tuple[float, float] = (0.1, 5.0)
    """Range of A. The paper's value; it makes tasks differ fiftyfold in size."""
    phase: tuple[float, float] = (0.0, math.pi)
    """Range of b in radians. The paper's value; half a turn, so that the mean over tasks is not zero."""
    x_range: tuple[float, float] = (-5.0, 5.0)
    """Range of the inputs. The paper's value; a little over one and a half periods."""

    noise: float = 0.0
    """Standard deviation of the noise on every y, support and query. The paper has none."""

    def __post_init__(self):
        for name in ("amplitude", "phase", "x_range"):
            object.__setattr__(self, name, interval(name, getattr(self, name)))
        object.__setattr__(self, "noise", rate("noise", self.noise))

    @by_rows
    def sample(
        self,
        tasks: int,
        shots: int,
        query: int,
        *,
        generator: torch.Generator,
        support_range: tuple[float, float] | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> SineBatch:
        """Draw a batch of tasks.

        Each task uses one row of uniform numbers, in order: amplitude, phase, support inputs, query inputs, and if
        there is noise, that of the support and of the query points. So tasks drawn in one call equal the same tasks
        drawn one at a time. They are drawn in double precision and rounded to `dtype`, so every dtype has the same
        tasks.

        Args:
            tasks: T, number of tasks.
            shots: n, support points for each task.
            query: Q, query points for each task, always drawn from all of `x_range`.
            generator: source of randomness; its state advances.
            support_range: range of the support inputs, `x_range` unless given; (0, 5) is half the axis.
            dtype: torch.float32 or torch.float64.
            device: where the batch is put. Drawing happens on the generator's device.

        Returns:
            SineBatch, with points [T, n, 1] and [T, Q, 1], amplitude and phase [T].

        Raises:
            TypeError, ValueError: a count below 1 or not whole, or a bad `support_range`.
        """
        tasks, shots, query = whole("tasks", tasks, 1), whole("shots", shots, 1), whole("query", query, 1)
        support_range = self.x_range if support_range is None else interval("support_range", support_range)
        points = shots + query
        columns = 2 + (2 * points if self.noise else points)
        u = torch.rand(tasks, columns, generator=generator, dtype=torch.float64, device=generator.device)

        def between(bounds: tuple[float, float], u: Tensor) -> Tensor:
            return bounds[0] + (bounds[1] - bounds[0]) * u

        amplitude, phase = between(self.amplitude, u[:, 0]), between(self.phase, u[:, 1])  # [T], [T]
        x_support = between(support_range, u[:, 2 : 2 + shots, None])  # [T, n, 1]
        x_query = between(self.x_range, u[:, 2 + shots : 2 + points, None])  # [T, Q, 1]

        def sinusoid(x: Tensor) -> Tensor:
            return amplitude[:, None, None] * torch.sin(x + phase[:, None, None])

        y_support, y_query = sinusoid(x_support), sinusoid(x_query)
        if self.noise:
            normal = self.noise * torch.special.ndtri(u[:, 2 + points :, None].clamp(min=2**-54))  # the quantile of u
            y_support, y_query = y_support + normal[:, :shots], y_query + normal[:, shots:]
        exact = x_support, y_support, x_query, y_query, amplitude, phase
        return SineBatch(*(values.to(device, dtype) for values in exact))

    def conditional_mean(self, x: Tensor) -> Tensor:
        """E[y | x] over all tasks, which joint training on the mean squared error converges to::

            E[y|x] = E[A] · sin(w/2)/(w/2) · sin(x + m)

        with m and w the middle and width of the phase range: (2/π) E[A] cos x for [0, π].

        Args:
            x: inputs, any shape.

        Returns:
            Means in the shape of `x`.
        """
        x = torch.as_tensor(x)
        middle, width = sum(self.phase) / 2, self.phase[1] - self.phase[0]
        return sum(self.amplitude) / 2 * float(np.sinc(width / (2 * math.pi))) * torch.sin(x + middle)

    def joint_mse_floor(self) -> float:
        """The least mean squared error that one function can have on the points of all tasks; without noise::

            E_x[Var(y|x)] = E[A²] (1 - sin(w)/w · c) / 2  -  (E[A] sin(w/2)/(w/2))² (1 - c) / 2
            c = E_x[cos 2(x + m)] = cos 2(x̄ + m) · sin(d)/d

        m, w are the middle and width of the phase range, x̄, d those of the x range. The variance of the noise is added.

        Returns:
            The floor in squared units of y; 3.0057 for the default ranges.
        """
        low, high = self.amplitude
        mean_square = (low**2 + low * high + high**2) / 3
        middle, width = sum(self.phase) / 2, self.phase[1] - self.phase[0]
        c = math.cos(sum(self.x_range) + 2 * middle) * np.sinc((self.x_range[1] - self.x_range[0]) / math.pi)
        second_moment = mean_square * (1 - np.sinc(width / math.pi) * c) / 2
        squared_mean = ((low + high) / 2 * np.sinc(width / (2 * math.pi))) ** 2 * (1 - c) / 2
        return float(second_moment - squared_mean + self.noise**2)


TRAIN, HELD_OUT, META_TEST = 1, 2, 3


def stream(purpose: int, seed: int) -> torch.Generator:
    """Return the task generator of one purpose (TRAIN, HELD_OUT or META_TEST) and seed.

    Streams of different purposes or seeds are independent, so no task of meta-test was ever trained on.
    """
    return torch.Generator().manual_seed(int(np.random.SeedSequence((purpose, seed)).generate_state(1)[0]))
