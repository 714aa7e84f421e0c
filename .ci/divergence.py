"""Count the tasks that diverge when adapted further: `python .ci/divergence.py [--out FOLDER]`, after `make paper`.

A page can't take the time for 100,000 tasks of each setting, so chapter 8 reads what this writes: divergence.json, with
counts for each seed, and the sharpness of the tasks that diverged and of a random sample of the others.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch.func import grad, jvp, vmap
from tqdm import tqdm

import l2l
from l2l.engine.workers import cores
from l2l.net import flatten, unflatten
from l2l.run import DATA
from l2l.tasks import META_TEST, stream

RUNS = {
    "MAML, 15,000": ("paper-maml", 15_000),
    "MAML, 70,000": ("paper-maml", None),
    "FOMAML, 70,000": ("paper-fomaml", None),
    "MAML, 2 steps in training": ("maml-2-steps", None),
    "MAML, 5 steps in training": ("maml-5-steps", None),
}
POINTS = {"5 shots": (5, None), "10 shots": (10, None), "10 shots, half axis": (10, (0.0, 5.0))}
LATER = {"same": 1.0, "halved": 0.5}  # the rate of steps 2 to 10, as a multiple of that of the first
SEEDS, TASKS, QUERY = 10, 10_000, 20
OTHERS = 200  # tasks that did not diverge, of each seed, whose sharpness is measured as well


def after_ten(theta, x_support, y_support, x_query, y_query, alpha: float, later: float) -> torch.Tensor:
    """Query error of one task after a step at rate `alpha` and nine at `later` times that."""
    phi = l2l.adapt(theta, x_support, y_support, alpha=alpha, steps=1)
    phi = l2l.adapt(phi, x_support, y_support, alpha=later * alpha, steps=9)
    return l2l.mse(phi, x_query, y_query)


def sharpness(theta, x, y, rounds: int = 20) -> torch.Tensor:
    """Largest eigenvalue of one task's support Hessian at θ, by power iteration."""
    vector = flatten(theta)
    slope = grad(lambda v: l2l.mse(unflatten(v, theta), x, y))
    direction = slope(vector)
    for _ in range(rounds):
        direction = direction / direction.norm()
        product = jvp(slope, (vector,), (direction,))[1]
        eigenvalue, direction = direction @ product, product
    return eigenvalue


def count(name: str, points: str, r: int) -> dict:
    """Adapt replica `r` of a run to new tasks; return how many diverged, and what a regression needs."""
    torch.set_num_threads(1)
    stored, iteration = RUNS[name]
    run = l2l.Run.stored(stored)
    params = run.theta if iteration is None else run.checkpoints[iteration]
    theta, alpha = {n: p[r] for n, p in params.items()}, run.config.alpha
    shots, side = POINTS[points]
    batch = run.task_family.sample(TASKS, shots, QUERY, generator=stream(META_TEST, 1_000 + r), support_range=side)
    found: dict = {"seed": run.config.seeds[r]}
    with torch.no_grad():
        before = vmap(l2l.mse, (None, 0, 0))(theta, batch.x_query, batch.y_query).mean()
        for label, later in LATER.items():
            errors = torch.cat(
                [
                    vmap(after_ten, (None, 0, 0, 0, 0, None, None))(theta, *part, alpha, later)
                    for part in zip(*(x.split(500) for x in batch[:4]), strict=True)
                ]
            )
            gone = ~(errors < 100 * before)  # also where it has overflowed
            found[label] = {"diverged": int(gone.sum())}
            if label == "same" and name == "MAML, 70,000":
                others = (~gone).nonzero()[:OTHERS, 0]  # tasks are in no order
                chosen = torch.cat([gone.nonzero()[:, 0], others])
                points_of = batch.x_support[chosen], batch.y_support[chosen]
                curved = vmap(sharpness, (None, 0, 0))(theta, *points_of)
                found["cases"] = {
                    "diverged": gone[chosen].int().tolist(),
                    "sharpness": [round(v, 1) for v in curved.tolist()],
                    "amplitude": [round(v, 3) for v in batch.amplitude[chosen].tolist()],
                    "weight": [1.0] * int(gone.sum()) + [round(int((~gone).sum()) / len(others), 3)] * len(others),
                }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to (default: that of the package)")
    out = parser.parse_args().out / "divergence.json"
    settings = [(name, points, r) for name in RUNS for points in POINTS for r in range(SEEDS)]
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        results = list(tqdm(pool.map(count, *zip(*settings, strict=True)), total=len(settings), mininterval=10))
    about = {"tasks for each seed": TASKS, "diverged": "query error above 100 times the mean before adapting"}
    found = [{"run": n, "points": p, **result} for (n, p, _), result in zip(settings, results, strict=True)]
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps({"about": about, "results": found}) + "\n", encoding="utf-8")
    os.replace(temporary, out)


if __name__ == "__main__":
    main()
