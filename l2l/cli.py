"""The command line: `python -m l2l train`, `evaluate`, `check` and `verify`."""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

from l2l._validation import one_of, rate, whole
from l2l.check import EXERCISES, Failed, verify
from l2l.check.conformance import GIVEN, PROBLEMS
from l2l.check.golden import verify_answers
from l2l.check.sandbox import from_file
from l2l.config import TrainConfig, part_name
from l2l.evaluate import OPTIMIZERS
from l2l.methods import METHODS
from l2l.run import Run, check_writable
from l2l.training import SHARDS, speaks, train

DIVERGED, WRONG, BAD_INPUT, INTERRUPTED = 1, 1, 2, 130
MOST_SEEDS = 10_000  # in one range; a larger range is taken for a typing error


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read "0-4", "3" or "0,2,5-7"."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (
            first.isdecimal() and (last or first).isdecimal() and 0 <= int(last or first) - int(first) < MOST_SEEDS
        ):
            raise argparse.ArgumentTypeError(
                f"seeds must look like 0-4 or 0,2,5, with at most {MOST_SEEDS:,} in a range, got {text!r}"
            )
        seeds += range(int(first), int(last or first) + 1)
    return tuple(seeds)


def parse_numbers(text: str) -> tuple[int, ...]:
    """Read "1,40,40,1"."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers separated by commas, got {text!r}") from None


def parser() -> argparse.ArgumentParser:
    formats: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    top = argparse.ArgumentParser(
        prog="python -m l2l",
        description="Train MAML, first-order MAML or joint pre-training on sinusoids; test how fast they adapt.",
        epilog="examples:\n"
        "  python -m l2l train maml --iterations 15000 --seeds 0-4 --out runs/maml.safetensors\n"
        "  python -m l2l evaluate runs/*.safetensors --figures figures\n"
        "  python -m l2l check meta_gradient answers.py:my_meta_gradient\n"
        "  python -m l2l verify my_package.maml:meta_gradient\n"
        "exit status: 0 done, 1 training diverged or an answer is wrong, 2 bad input, 130 interrupted",
        **formats,
    )
    commands = top.add_subparsers(dest="command", required=True)

    t = commands.add_parser(
        "train",
        help="train one method, one replica for each seed",
        description="Train one method. The defaults are the settings that the book explains.",
        epilog="With --out, checkpoints are written during training: after an interruption, the same command with\n"
        "--resume gives the same result, bit for bit, as an uninterrupted run.",
        **formats,
    )
    t.add_argument("method", choices=METHODS)
    help_texts = {
        "iterations": "outer updates",
        "tasks": "tasks in each meta-batch",
        "shots": "support points for each task",
        "query": "query points for each task",
        "alpha": "inner learning rate",
        "beta": "outer learning rate, of Adam",
        "steps": "inner steps",
        "sizes": "widths of the network, such as 1,40,40,1",
        "seeds": "such as 0-4 or 0,2,5",
        "log_every": "iterations between two entries of the history",
        "checkpoint_at": "iterations whose parameters are kept, such as 0,1000",
        "dtype": "float32 or float64",
    }
    for setting in fields(TrainConfig):
        if setting.name not in help_texts:  # a method is an argument; parts of one's own need Python
            continue
        kind = type(setting.default)
        parse = {"seeds": parse_seeds}.get(setting.name, parse_numbers if kind is tuple else kind)
        shown = ",".join(map(str, setting.default)) or "none" if isinstance(setting.default, tuple) else setting.default
        t.add_argument(
            f"--{setting.name.replace('_', '-')}",
            type=parse,
            default=setting.default,
            metavar="X",
            help=f"{help_texts[setting.name]} (default {shown})",
        )
    t.add_argument("--out", type=Path, metavar="FILE", help="file to write the run to; missing folders are created")
    t.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out, if there is one")
    t.add_argument("--overwrite", action="store_true", help="replace an existing --out file")
    t.add_argument(
        "--workers", type=int, metavar="X", help="threads, each training one seed at a time (default: one per core)"
    )
    t.add_argument("--shard", choices=SHARDS, default="seeds", help="what the processes that torchrun starts divide")
    t.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")

    e = commands.add_parser(
        "evaluate",
        help="adapt stored runs to unseen tasks; print a table, draw figures",
        description="Adapt each run to unseen tasks and print the mean squared error on the support points and on\n"
        "unseen query points of each task: mean ± half-width of the 95 % interval [median over tasks and seeds].\n"
        "Intervals are over seeds, or over tasks where a run has a single seed.",
        **formats,
    )
    e.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="files that train wrote")
    e.add_argument("--shots", type=int, default=10, help="support points for each task (default 10)")
    e.add_argument("--steps", type=int, default=10, help="adaptation steps (default 10)")
    e.add_argument("--tasks", type=int, default=1000, help="unseen tasks (default 1000)")
    e.add_argument("--alpha", type=float, help="learning rate of the adaptation (default: the run's own alpha)")
    e.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd", help="optimiser of the adaptation (default sgd)")
    e.add_argument("--half-axis", action="store_true", help="draw support points from the right half of the axis only")
    e.add_argument("--figures", type=Path, metavar="DIR", help="also save the three figures in this folder")
    e.add_argument("--json", action="store_true", help="print JSON instead of the table")

    c = commands.add_parser(
        "check",
        help="check an answer to an exercise of the book",
        description="Check a function that answers an exercise, as `check.NAME(function)` does in a notebook.\n"
        "Without a name, list the exercises.",
        **formats,
    )
    c.add_argument("exercise", nargs="?", metavar="NAME", help="such as meta_gradient")
    c.add_argument("function", nargs="?", metavar="FILE:FUNCTION", help="such as answers.py:my_meta_gradient")
    c.add_argument("--seed", type=int, metavar="X", help="seed of the test cases, to repeat an earlier check")

    width = max(map(len, PROBLEMS))
    v = commands.add_parser(
        "verify",
        help="verify somebody's implementation of MAML's meta-gradient",
        description="Verify an implementation of MAML's meta-gradient: is it right, and if not, which mistake is it?\n"
        "FUNCTION(theta, batch, alpha, steps) returns the gradient with respect to theta, in the form of theta,\n"
        "of the mean over tasks of the query loss after `steps` steps of gradient descent with learning rate alpha\n"
        "on each task's support loss. theta is a dict W1 [in, out], b1, W2, …; batch has x_support\n"
        "[tasks, points, in], y_support, x_query, y_query.",
        epilog="problems:\n"
        + "".join(f"  {name:{width}}  {p.network}; {p.loss_in_words}\n" for name, p in PROBLEMS.items())
        + "For other languages, l2l/data/golden.json holds test cases and their gradients; --answers checks yours.",
        **formats,
    )
    v.add_argument("function", nargs="?", metavar="MODULE:FUNCTION", help="or FILE.py:FUNCTION")
    v.add_argument("--problem", choices=PROBLEMS, default="relu", help="network and loss (default relu)")
    v.add_argument("--arrays", choices=GIVEN, help="arrays in theta and batch (default: torch; numpy if that fails)")
    v.add_argument("--seed", type=int, metavar="X", help="seed of the test cases, to repeat an earlier check")
    v.add_argument(
        "--answers", type=Path, metavar="FILE", help="JSON of gradients of the golden cases, {problem: [gradient, …]}"
    )
    return top


def there(stream: TextIO | None) -> bool:
    """Return whether a standard stream can be written to: it may be closed, or missing from the start."""
    return stream is not None and not getattr(stream, "closed", False)


def say(text: str) -> None:
    if speaks() and there(sys.stdout):
        print(text)


def note(text: str, error: BaseException | None = None) -> None:
    if speaks(error) and there(sys.stderr):
        print(text, file=sys.stderr)


def run_train(args: argparse.Namespace) -> None:
    given = {
        setting.name: getattr(args, setting.name) for setting in fields(TrainConfig) if hasattr(args, setting.name)
    }
    config, start = TrainConfig(**given), time.monotonic()
    where = {"out": args.out, "resume": args.resume, "overwrite": args.overwrite}
    run = train(config, **where, device=args.device, workers=args.workers, shard=args.shard)
    losses = run.history["loss"].mean(dim=1).tolist()
    say(
        f"{config.method}: {config.iterations:,} iterations, {len(config.seeds)} seed{'s' * (len(config.seeds) > 1)}, "
        f"{run.engine}, {time.monotonic() - start:.1f} s; loss on held-out tasks {losses[0]:.3f} → {losses[-1]:.3f}"
        + (f"; saved in {args.out}" if args.out else "")
    )


def run_evaluate(args: argparse.Namespace) -> None:
    from l2l.report import draw_figures, meta_test, meta_test_batch, summary, table  # matplotlib: not for training

    whole("shots", args.shots, 1)
    whole("tasks", args.tasks, 2)
    whole("steps", args.steps, 0)
    if args.alpha is not None:
        rate("alpha", args.alpha)
    loaded = {path: Run.load(path) for path in dict.fromkeys(args.runs)}
    if args.figures:
        check_writable(args.figures / "gradient-norms.png", "figures")
    shown = sorted({k for k in (0, 1, 5, 10) if k <= args.steps} | {args.steps})
    results, summaries = {}, {}
    first: dict[str, Run] = {}
    for path, run in loaded.items():
        method = part_name(run.config.method)
        if run.iteration < run.config.iterations:
            note(f"{path} holds {run.iteration:,} of {run.config.iterations:,} iterations")
        name = method if sum(r.config.method == method for r in loaded.values()) == 1 else f"{method} ({path})"
        batch = meta_test_batch(run, args.tasks, args.shots, args.half_axis)
        alpha = run.config.alpha if args.alpha is None else args.alpha
        result = meta_test(run, batch, alpha=alpha, steps=args.steps, optimizer=args.optimizer)
        summaries[name] = {"file": str(path), **summary(result, shown)}
        if first.setdefault(method, run) is run:
            results[method] = result
        elif args.figures:
            note(f"{path} is not drawn: the figures show one run of each method")
    if args.json:
        settings = {k: getattr(args, k) for k in ("shots", "steps", "tasks", "alpha", "optimizer", "half_axis")}
        say(json.dumps({"settings": settings, "runs": summaries}, indent=2, allow_nan=False))
    else:
        say(table(summaries, shown))
        say(
            "mean squared error: mean ± half-width of the 95 % interval [median]; "
            f"{args.tasks:,} unseen tasks, {args.shots} shots"
        )
    if args.figures:
        for path in draw_figures(args.figures, first, results, args.alpha):
            note(f"drew {path}")


def run_check(args: argparse.Namespace) -> int:
    if args.exercise is None:
        width = max(map(len, EXERCISES))
        for name, exercise in EXERCISES.items():
            say(f"{name:{width}}  {exercise.doc.partition(chr(10))[0].removeprefix('Check ')}")
        return 0
    exercise = EXERCISES[one_of("the exercise", args.exercise, EXERCISES)]
    if args.function is None:
        raise ValueError(f"check {args.exercise} needs a function, such as answers.py:my_{args.exercise}")
    function = from_file(args.function)
    return verdict(lambda: exercise.grade(function, seed=args.seed))


def run_verify(args: argparse.Namespace) -> int:
    if (args.function is None) == (args.answers is None):
        raise ValueError(
            "verify needs either a function, such as my_package.maml:meta_gradient, or --answers FILE, and not both"
        )
    if args.answers:
        return verdict(lambda: verify_answers(args.answers))
    function = from_file(args.function)
    return verdict(lambda: verify(function, problem=args.problem, arrays=args.arrays, seed=args.seed))


def verdict(checked: Callable[[], None]) -> int:
    """Run a check, print its verdict if it fails, and return the exit status."""
    try:
        checked()
    except Failed as failure:
        say(str(failure))
        return WRONG
    return 0


COMMANDS: dict[str, Callable] = {
    "train": run_train,
    "evaluate": run_evaluate,
    "check": run_check,
    "verify": run_verify,
}


def main(argv: list[str] | None = None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper) and there(sys.stdout):
        sys.stdout.reconfigure(errors="replace")  # a terminal that can't show ± must not be an error
    args = parser().parse_args(argv)
    try:
        status = COMMANDS[args.command](args) or 0
        if there(sys.stdout):
            sys.stdout.flush()  # a failed write is reported here, not when Python exits
        return status
    except FloatingPointError as error:
        note(f"l2l: {error}")
        return DIVERGED
    except BrokenPipeError:  # the process that read our output has closed the pipe
        sys.stdout = None
        return 0
    except (ValueError, TypeError, OSError, RuntimeError, MemoryError, OverflowError) as error:
        note(f"l2l: {str(error).strip().partition(chr(10))[0] or type(error).__name__}", error)
        return BAD_INPUT
    except KeyboardInterrupt:
        resumable = args.command == "train" and args.out
        note("l2l: interrupted" + (f"; --resume continues from {args.out}" if resumable else ""))
        return INTERRUPTED
