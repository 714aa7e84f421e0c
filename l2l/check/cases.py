"""What a learner's function is called with: each case draws fresh values from a generator."""

import torch
from torch import Tensor

from l2l.net import Params, init_params
from l2l.tasks import SineBatch, SineTasks

SIZES = (1, 8, 8, 1)
CASES = 5
TASKS, SHOTS, QUERY = 3, 5, 7  # all different, so that a factor tells which mean is missing


def seeded(seed: int | None) -> tuple[int, torch.Generator]:
    """Return a generator, and the seed that repeats it."""
    generator = torch.Generator()
    seed = generator.seed() % 10**6 if seed is None else seed
    return seed, generator.manual_seed(seed)


def number(generator: torch.Generator, low: float, high: float) -> float:
    return uniform(generator, low, high).item()


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def draw_theta(generator: torch.Generator) -> Params:
    theta = init_params(SIZES, generator=generator, dtype=torch.float64)
    return {name: p.requires_grad_() for name, p in theta.items()}


def draw_batch(generator: torch.Generator) -> SineBatch:
    return SineTasks().sample(TASKS, SHOTS, QUERY, generator=generator, dtype=torch.float64)


def batch_case(i: int, generator: torch.Generator) -> dict:
    """(theta, batch, alpha, steps), with 1, 2, 3, 1, 2 steps."""
    theta, batch = draw_theta(generator), draw_batch(generator)
    return {"theta": theta, "batch": batch, "alpha": number(generator, 0.02, 0.04), "steps": 1 + i % 3}


def task_case(i: int, generator: torch.Generator) -> dict:
    """(theta, x, y, alpha, steps): the support points of one task."""
    case = batch_case(i, generator)
    batch = case["batch"]
    return {
        "theta": case["theta"],
        "x": batch.x_support[0],
        "y": batch.y_support[0],
        "alpha": case["alpha"],
        "steps": case["steps"],
    }
