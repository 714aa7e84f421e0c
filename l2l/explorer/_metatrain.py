"""The explorer `metatrain`: every method trains in the page."""

import base64
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from l2l.config import HELD_OUT_TASKS, TrainConfig
from l2l.explorer._page import Explorer, joined, line_styles, shipped_runs
from l2l.plots import HOUSE_STYLE, plot_adaptation_curves, plot_gradient_norms
from l2l.report import HALF_AXIS_TASK, half_axis_points, meta_test, meta_test_batch
from l2l.run import Run
from l2l.tasks import HELD_OUT, META_TEST, TRAIN, SineTasks, stream

SEEDS = range(10)  # that the page offers for training
TEST_TASKS = 50
METHODS = ("maml", "fomaml", "pretrain", "reptile", "anil", "meta-sgd")  # that the page can train; three at first
KERNEL = Path(__file__).parent / "kernel" / "kernel.wasm"


def metatrain() -> Explorer:
    """Explore meta-training: every method trains in the page, in a thread of its own, with exact gradients.

    The methods are MAML, FOMAML, joint pre-training, Reptile, ANIL and Meta-SGD; the reader chooses their settings and
    the family's amplitudes and phases. A seed gives the same initial parameters and the same tasks as in `l2l.train`,
    and the gradient norm is the one in a run's history. The page computes in single precision, by a kernel in
    WebAssembly; where a browser or a content security policy forbids WebAssembly, it computes in double precision,
    about ten times slower. Errors are means over TEST_TASKS tasks of the meta-test stream, with 100 query points each.

    Returns:
        Explorer.
    """
    runs = shipped_runs()
    alt = (
        "Left, the norm of the initial adaptation gradient through the training of each method. Right, each method's "
        "query error against the number of adaptation steps."
    )
    return Explorer("metatrain", _settings(), _still(runs), alt)


def _settings() -> dict:
    config, family = TrainConfig(), SineTasks()
    return {
        "styles": line_styles(*METHODS, "truth"),
        "shown": METHODS[:3],
        "family": asdict(family),
        "sizes": config.sizes,
        "defaults": {name: getattr(config, name) for name in ("alpha", "steps", "tasks", "shots", "query", "beta")},
        "streams": [stream(TRAIN, seed).initial_seed() for seed in SEEDS],
        "measured": {
            "heldOut": stream(HELD_OUT, 0).initial_seed(),
            "heldOutTasks": HELD_OUT_TASKS,
            "metaTest": stream(META_TEST, 0).initial_seed(),
            "testTasks": TEST_TASKS,
        },
        "last": config.iterations,
        "task": {
            "A": HALF_AXIS_TASK["amplitude"],
            "b": HALF_AXIS_TASK["phase"],
            "x": half_axis_points(5, family).tolist(),
        },
        "worker": joined("metatrain/worker.js"),
        "kernel": base64.b64encode(KERNEL.read_bytes()).decode(),
        "note": (
            "All methods train on the same batches, from the same initial parameters, each as fast as it can; changing "
            "a setting restarts training. With one inner step Reptile is joint pre-training. "
            f"Errors are mean squared errors, means over {TEST_TASKS} tasks that no training sees. The fit shows one "
            "task, with support points on half of the axis, after the chosen number of steps."
        ),
    }


def _still(runs: Mapping[str, Run]) -> Figure:
    config = TrainConfig()
    batch = meta_test_batch(runs["maml"], TEST_TASKS, config.shots)
    results = {m: meta_test(r, batch, alpha=config.alpha, steps=10, optimizer="sgd") for m, r in runs.items()}
    with plt.rc_context(HOUSE_STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6))
        plot_gradient_norms({method: run.history for method, run in runs.items()}, left)
        plot_adaptation_curves({method: result["query"] for method, result in results.items()}, right)
        right.get_legend().remove()
    return figure
