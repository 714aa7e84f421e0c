"""Train the stored runs of the book again: `python .ci/paper.py [NAME ...] [--out FOLDER]`; all of them by default.

`RUNS` says what each of them is; the tests compare the files in l2l/data with it. Seeds are trained one by one, as many
at once as there are cores. A seed whose training diverges is left out and named in paper.json: it is never replaced by
another. Interrupted, the same command goes on where it was.
"""

import argparse
import json
import math
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm import tqdm

import l2l
from l2l.engine.workers import cores
from l2l.run import DATA

import relatives  # isort: skip  # of this folder
from relatives import BODY, HEAD, IMPLICIT, META_SGD, PROCESS, REPTILE, TRANSFORMER  # isort: skip

TEN, SINES = tuple(range(10)), l2l.SineTasks()
LONG = {"iterations": 70_000, "checkpoint_at": (0, 1_000, 5_000, 15_000, 40_000)}  # the paper's released code


def setting(
    method: str | l2l.Method, family: l2l.TaskFamily = SINES, **changed
) -> tuple[l2l.TrainConfig, l2l.TaskFamily]:
    return l2l.TrainConfig(method=method, **{"seeds": TEN, "log_every": 1_000} | changed), family


RUNS = {f"paper-{method}": setting(method, **LONG) for method in l2l.METHODS}
RUNS["maml-long"] = setting("maml", iterations=200_000, log_every=5_000, checkpoint_at=(100_000,))
for method in ("maml", "fomaml"):  # one thing changed at a time; 15,000 iterations where not said otherwise
    for alpha in (0.0025, 0.005, 0.02, 0.04):
        RUNS[f"{method}-alpha-{alpha}"] = setting(method, alpha=alpha)
    for steps, seeds in ((2, TEN), (5, tuple(range(40)))):  # many seeds, as some of them diverge
        RUNS[f"{method}-{steps}-steps"] = setting(method, steps=steps, seeds=seeds)
RUNS |= {
    "maml-alpha-0.001": setting("maml", alpha=0.001, iterations=70_000, checkpoint_at=(15_000,)),
    "maml-alpha-0.04-long": setting("maml", alpha=0.04, iterations=70_000),
    "maml-alpha-0.1": setting("maml", alpha=0.1),
    "maml-5-shots": setting("maml", shots=5, query=5),
    "maml-20-shots": setting("maml", shots=20, query=20),
    "maml-width-100": setting("maml", sizes=(1, 100, 100, 1)),
    "maml-width-5": setting("maml", sizes=(1, 5, 5, 1), iterations=70_000),
    "maml-one-layer": setting("maml", sizes=(1, 100, 1), iterations=70_000),
    "maml-three-layers": setting("maml", sizes=(1, 40, 40, 40, 1)),
    "maml-tanh": setting("maml", network=l2l.MLP(activation="tanh")),
    "maml-full-turn": setting("maml", l2l.SineTasks(phase=(0.0, 2 * math.pi))),
    "maml-one-amplitude": setting("maml", l2l.SineTasks(amplitude=(1.0, 1.1))),
    # The README's baseline: one step of Adam for each of the 375,000 tasks, one after the other.
    "task-by-task": setting("pretrain", tasks=1, beta=0.01, iterations=375_000, log_every=25_000),
}
LEARNED = {f"maml-learned-alpha-{start}": setting("maml", alpha=start) for start in (0.001, 0.01, 0.03)}
"""MAML with one inner rate that is trained too (Meta-SGD with a scalar), from these first values."""
RUNS |= LEARNED
for part in (HEAD, BODY):  # which adapts alone
    RUNS[f"maml-{part.name}"] = setting(part, iterations=70_000, checkpoint_at=(15_000,))
moments = (0, 500, 1_000, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 25_000, 40_000)
RUNS["reptile"] = setting(REPTILE, steps=5, iterations=70_000, checkpoint_at=moments)
RUNS["implicit-maml"] = setting(IMPLICIT, steps=2, iterations=70_000, checkpoint_at=(15_000,))
LEARNERS = {"maml": {"method": "maml"}, "fomaml": {"method": "fomaml"}, "meta-sgd": {"method": META_SGD}}
LEARNERS |= {"neural-process": PROCESS, "in-context": TRANSFORMER}
for name, parts in LEARNERS.items():
    if name not in l2l.METHODS:  # those are above
        RUNS[name] = setting(**parts, iterations=70_000)
    RUNS[f"{name}-noise"] = setting(family=l2l.SineTasks(noise=0.5), **parts, iterations=70_000)
GLYPHS = {"network": relatives.CNN, "loss": "cross_entropy", "tasks": 8, "shots": 5, "query": 15, "steps": 5}
GLYPHS |= {"alpha": 0.4, "iterations": 5_000}
SHORTER = {"alpha": 0.1, "iterations": 2_000}
for method in ("maml", "fomaml"):  # letters, five ways, one shot
    RUNS[f"glyphs-{method}"] = setting(method, relatives.Glyphs(), **GLYPHS)
    RUNS[f"glyphs-{method}-alpha-0.1"] = setting(method, relatives.Glyphs(), **GLYPHS | SHORTER)
RUNS["glyphs-batch-norm"] = setting("fomaml", relatives.Glyphs(), **GLYPHS | {"network": relatives.NORMALISED})
RUNS["glyphs-classifier"] = setting(
    "pretrain", relatives.Letters(), **GLYPHS | {"network": relatives.CLASSIFIER, "tasks": 1, "shots": 80, "query": 80}
)
for method in l2l.METHODS:  # heights along a line
    RUNS[f"profiles-{method}"] = setting(method, relatives.Profiles())
EXPLORERS = {"iterations": 70_000, "seeds": (0,), "checkpoint_at": (0, 100, 500, 1_000, 2_000, 5_000, 15_000, 70_000)}
RUNS |= {method: setting(method, **EXPLORERS) for method in l2l.METHODS}
RUNS["explorer-reptile"] = setting(REPTILE, steps=5, **EXPLORERS)
RUNS |= {f"explorer-{name}": setting(m, **EXPLORERS) for name, m in {"anil": HEAD, "meta-sgd": META_SGD}.items()}


def train_seed(name: str, seed: int, out: Path) -> str | None:
    """Train one seed of a stored run; return why it has no end, if it diverged."""
    config, family = RUNS[name]
    out.parent.mkdir(parents=True, exist_ok=True)
    if name in LEARNED:
        return train_learned(name, seed, out)
    try:
        l2l.train(replace(config, seeds=(seed,)), family, progress=False, out=out, resume=True, workers=1)
    except FloatingPointError as error:
        return str(error)
    return None


def at_learned_rate(theta, x, y, *, alpha, steps, loss):
    """The inner loop at the rate that is among the meta-parameters; `alpha` is its first value."""
    weights = {name: p for name, p in theta.items() if name != "log_alpha"}
    return l2l.inner_loop(weights, x, y, alpha=theta["log_alpha"].exp(), steps=steps, loss=loss)


LEARNED_ALPHA = l2l.Method(
    "maml-learned-alpha",
    partial(l2l.maml, inner_loop=at_learned_rate),
    at_learned_rate,
    init=lambda params, alpha: params | {"log_alpha": torch.tensor(alpha).log()},
)


def train_learned(name: str, seed: int, out: Path) -> None:
    """Train θ and α together; the run's history is that of α."""
    config, family = replace(RUNS[name][0], seeds=(seed,)), RUNS[name][1]
    moments = tuple(range(0, config.iterations + 1, 250))
    run = l2l.train(replace(config, method=LEARNED_ALPHA, checkpoint_at=moments), family, progress=False)
    alphas = torch.stack([run.checkpoints[i]["log_alpha"].exp() for i in moments])
    theta = {name: p for name, p in run.theta.items() if name != "log_alpha"}
    l2l.Run(config, theta, {"iteration": torch.tensor(moments), "alpha": alphas}, {}, family).save(out)


def own_parts(config: l2l.TrainConfig, family: l2l.TaskFamily) -> dict:
    """Return the parts of a run that the library doesn't have, which loading its file needs."""
    own = {"method": l2l.Method, "network": l2l.Network, "optimizer": l2l.Optimizer}
    parts = {name: getattr(config, name) for name, kind in own.items() if isinstance(getattr(config, name), kind)}
    if not isinstance(config.loss, str):
        parts["loss"] = config.loss
    return parts if isinstance(family, l2l.SineTasks) else parts | {"task_family": family}


def side_by_side(config: l2l.TrainConfig, runs: list[l2l.Run]) -> l2l.Run:
    """Make one run of runs of a single seed each."""

    def joined(params: list[l2l.net.Params]) -> l2l.net.Params:
        return {name: torch.cat([p[name] for p in params]) for name in params[0]}

    history = {name: torch.cat([run.history[name] for run in runs], dim=-1) for name in runs[0].history}
    history["iteration"] = runs[0].history["iteration"]
    checkpoints = {i: joined([run.checkpoints[i] for run in runs]) for i in runs[0].checkpoints}
    seeds = tuple(run.config.seeds[0] for run in runs)
    return l2l.Run(
        replace(config, seeds=seeds), joined([run.theta for run in runs]), history, checkpoints, runs[0].task_family
    )


def train_again(names: list[str], folder: Path) -> None:
    """Write the runs of these names into `folder`, with paper.json beside them."""
    parts = folder / "unfinished"
    began = time.monotonic()
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(train_seed, name, seed, parts / name / f"{seed}.safetensors"): (name, seed)
            for name in names
            for seed in RUNS[name][0].seeds
        }
        diverged: dict[str, dict[int, str]] = {name: {} for name in names}
        left = {name: len(RUNS[name][0].seeds) for name in names}
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), unit="seed", disable=not sys.stderr.isatty()):
                name, seed = jobs[job]
                if reason := job.result():
                    diverged[name][seed] = reason
                left[name] -= 1
                if not left[name]:
                    _finish(name, diverged[name], folder)
                    print(f"{time.monotonic() - began:6.0f} s  {name}  {diverged[name] or ''}", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    shutil.rmtree(parts, ignore_errors=True)


def _finish(name: str, diverged: dict[int, str], folder: Path) -> None:
    config, family = RUNS[name]
    files = [folder / "unfinished" / name / f"{seed}.safetensors" for seed in config.seeds if seed not in diverged]
    side_by_side(config, [l2l.Run.load(file, **own_parts(config, family)) for file in files]).save(
        folder / f"{name}.safetensors"
    )
    record, temporary = folder / "paper.json", folder / "paper.json.tmp"
    known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    reasons = {str(seed): diverged[seed] for seed in sorted(diverged)}
    known[name] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "diverged": reasons}
    temporary.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, record)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RUNS)}")
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to (default: that of the package)")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in RUNS]:
        parser.error(f"there is no stored run {', '.join(unknown)}")
    train_again(arguments.names or list(RUNS), arguments.out)
