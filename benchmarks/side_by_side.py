"""Line 10 in eight libraries, compared: `make side-by-side`. Writes side_by_side.md beside this file, for a page of the book.

Each file of the folder side_by_side has one function, `meta_gradient(theta, batch, alpha, steps)`. On the same problems,
in float64, each is compared with `l2l.maml`, with finite differences of the outer loss and with the others; then once
more with the edit that makes it first-order, and with the edit that makes a common mistake.
"""

import importlib.metadata
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import l2l
from l2l import check
from l2l.check.cases import batch_case, seeded
from l2l.check.line_10 import chain
from l2l.check.mistakes import carried_on_gradient
from l2l.net import flatten, unflatten

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-6
STEPS = (0, 1, 2, 3, 5)
Edit = tuple[tuple[str, str], ...]  # (text, what stands in its place), each found once


class Side(NamedTuple):
    title: str
    package: str
    first_order: Edit
    mistake: Edit
    computes: str
    """What the mistake computes, by its name in SAID."""


CONSTANT = ("g[name]", "g[name].detach()")
KEPT = (".backward()", ".backward(retain_graph=True)")  # as the message advises that says what is wrong
SIDES = {
    "by_product": Side(
        title="numpy, by the product",
        package="numpy",
        first_order=(("reversed(path)", "()"),),
        mistake=(("reversed(path)", "path"),),
        computes="reversed",
    ),
    "torch_func": Side(
        title="`torch.func`",
        package="torch",
        first_order=(CONSTANT,),
        mistake=(("phi = {name", "with torch.no_grad(): phi = {name"),),
        computes="zero",
    ),
    "autograd_grad": Side(
        title="`torch.autograd.grad`",
        package="torch",
        first_order=(("create_graph=True", "create_graph=False"),),
        mistake=((", create_graph=True", ""),),
        computes="first-order",
    ),
    "functional_call": Side(
        title="`nn.Module`, `functional_call`",
        package="torch",
        first_order=(CONSTANT,),
        mistake=(("(net, p, x, strict=True)", '(net, {"0.weight": p["0.weight"]}, x)'),),
        computes="W1 alone",
    ),
    "with_higher": Side(
        title="higher",
        package="higher",
        first_order=(("f(xs), ys))", "f(xs), ys), grad_callback=lambda g: [d.detach() for d in g])"),),
        mistake=((", copy_initial_weights=False)", ")"),),
        computes="none",
    ),
    "with_learn2learn": Side(
        title="learn2learn",
        package="learn2learn",
        first_order=(("lr=alpha", "lr=alpha, first_order=True"),),
        mistake=(("maml.clone()", "maml"), KEPT),
        computes="carried on",
    ),
    "with_torchopt": Side(
        title="TorchOpt",
        package="torchopt",
        first_order=(
            ("MetaSGD(net, lr=alpha)", "MetaOptimizer(net, torchopt.chain(constant, torchopt.sgd(lr=alpha)))"),
            ("    inner =", "    constant = torchopt.register_hook(lambda g: 0 * g)\n    inner ="),
        ),
        mistake=(("torchopt.recover_state_dict(net, at_theta)", "# torchopt.recover_state_dict(net, at_theta)"), KEPT),
        computes="carried on",
    ),
    "with_jax": Side(
        title="JAX",
        package="jax",
        first_order=(("alpha * d,", "alpha * jax.lax.stop_gradient(d),"),),
        mistake=(('"jax_enable_x64", True', '"jax_enable_x64", False'),),
        computes="single",
    ),
}
SAID = {  # what a mistake computes, in words
    "reversed": "the product in the opposite order",
    "zero": "zeros",
    "first-order": "first-order MAML",
    "W1 alone": "zeros, but for `W1`",
    "none": "`None` in `.grad` of θ",
    "carried on": "that of tasks which start where the one before ended",
    "single": "the same, in single precision",
    "another": "something else",
}


def source(name: str) -> str:
    return (HERE / "side_by_side" / f"{name}.py").read_text(encoding="utf-8")


def lines_of_code(name: str) -> int:
    """Lines of a file but for comments, docstrings of one line, and empty ones."""
    return sum(not line.strip().startswith(("#", '"""')) for line in source(name).splitlines() if line.strip())


def edited(name: str, edit: Edit) -> str:
    text = source(name)
    for old, new in edit:
        if text.count(old) != 1:
            raise ValueError(f"{name}.py must hold {old!r} once, and holds it {text.count(old)} times")
        text = text.replace(old, new)
    return text


def load(name: str, edit: Edit = ()) -> Callable:
    """Return a file's `meta_gradient`, for tensors: numpy and JAX are given arrays, and their answers made tensors."""
    if name == "with_learn2learn":
        find_learn2learn()
    space: dict = {"__name__": name}
    exec(compile(edited(name, edit), f"{name}.py", "exec"), space)
    function = space["meta_gradient"]
    if SIDES[name].package not in ("numpy", "jax"):
        return function

    def with_arrays(theta, batch, alpha, steps):
        arrays = {k: p.detach().numpy() for k, p in theta.items()}
        grads = function(arrays, l2l.Batch(*(x.numpy() for x in batch[:4])), alpha, steps)
        return {k: torch.tensor(np.asarray(g)) for k, g in grads.items()}

    return with_arrays


def find_learn2learn() -> None:
    """Where 0.2.0 did not install (its data module does not build), import its MAML from the unpacked source."""
    root = Path(sys.prefix) / "learn2learn-0.2.0"
    if "learn2learn" in sys.modules or importlib.util.find_spec("learn2learn") or not root.is_dir():
        return
    for name in ("learn2learn", "learn2learn.algorithms"):  # without their __init__, which imports all there is
        module = sys.modules[name] = types.ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")))]


def version(package: str) -> str:
    if package == "torch":
        return torch.__version__.split("+")[0]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "0.2.0, from its source"  # of learn2learn


def problems() -> Iterator[dict]:
    """Arguments of `meta_gradient`: small networks, tasks, and a rate; 10 of them for every number of steps."""
    for seed in range(10):
        generator = seeded(seed)[1]
        for steps in STEPS:
            yield batch_case(seed, generator) | {"steps": steps}


def deviation(got: dict, expected: dict) -> float:
    """‖got - expected‖₂ / ‖expected‖₂, over all parameters; ‖got‖₂ where zeros are expected."""
    got, expected = (flatten({k: grads[k].detach() for k in expected}) for grads in (got, expected))
    return ((got - expected).norm() / (expected.norm() or 1)).item()


def off_differences(got: dict, theta: dict, batch: l2l.Batch, alpha: float, steps: int, epsilon=1e-6) -> float:
    """|g·v - dL/dv| / ‖g‖ along a random unit vector v, the largest of three, L being the outer loss."""

    def outer_loss(vector):
        start = unflatten(vector, theta)
        tasks = zip(*batch[:4], strict=True)
        losses = [l2l.mse(l2l.adapt(start, x, y, alpha=alpha, steps=steps), xq, yq) for x, y, xq, yq in tasks]
        return torch.stack(losses).mean()

    g, at = flatten({k: got[k].detach() for k in theta}), flatten(theta).detach()
    largest, generator = 0.0, torch.Generator().manual_seed(steps)
    for _ in range(3):
        v = torch.randn(at.shape, generator=generator, dtype=at.dtype)
        v /= v.norm()
        slope = (outer_loss(at + epsilon * v) - outer_loss(at - epsilon * v)) / (2 * epsilon)
        largest = max(largest, ((g @ v - slope).abs() / g.norm()).item())
    return largest


def computes(name: str) -> str:
    """What a file with its mistake computes in two steps, by its name in SAID."""
    given = next(problems()) | {"steps": 2}
    theta, exact = given["theta"], l2l.maml(**given).grads
    try:
        got = load(name, SIDES[name].mistake)(**given)
    except AttributeError as error:  # at the transpose of a gradient that isn't there
        return "none" if "'NoneType'" in str(error) else "another"
    finally:
        load(name)  # which sets JAX's precision again
    if all(not g.any() for k, g in got.items() if k != "W1") and got["W1"].any():
        return "W1 alone"
    if all(g.dtype == torch.float32 for g in got.values()):
        return "single" if deviation(got, exact) < 1e-5 else "another"
    answers = {
        "reversed": unflatten(chain(lambda path: path)(**given), theta),
        "zero": {k: torch.zeros_like(p) for k, p in theta.items()},
        "first-order": l2l.fomaml(**given).grads,
        "carried on": carried_on_gradient(**given),
    }
    return next((answer for answer, expected in answers.items() if deviation(got, expected) < TOLERANCE), "another")


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def passes(checked: Callable[..., None], function: Callable) -> str:
    """What a check says of a function: that it passes, or the line that says why not."""
    try:
        checked(function, seed=0)
    except check.Failed as error:
        said = str(error).splitlines()
        return said[-1].strip() if "random cases" in said[0] else said[0].partition(": ")[2]
    return "passes"


def examine(name: str) -> dict:
    """Compare one file: its gradients, and how far off they are at most."""
    exact, first = load(name), load(name, SIDES[name].first_order)
    grads = [exact(**given) for given in problems()]

    def off(gradients: list[dict], oracle: Callable) -> float:
        return max(deviation(g, oracle(**given).grads) for g, given in zip(gradients, problems(), strict=True))

    return {
        "grads": grads,
        "maml": off(grads, l2l.maml),
        "fomaml": off(grads, l2l.fomaml),
        "differences": max(off_differences(g, **given) for g, given in zip(grads, problems(), strict=True)),
        "first": off([first(**given) for given in problems()], l2l.fomaml),
        "checks": [passes(check.verify, exact), passes(check.fomaml_gradient, first)],
        "computes": computes(name),
        "said": passes(check.verify, load(name, SIDES[name].mistake)),
    }


def failures(name: str, found: dict) -> list[str]:
    limits = {"maml": "l2l.maml", "differences": "finite differences", "first": "l2l.fomaml, made first-order"}
    failed = [
        f"{name}: off {said} by {found[what]:.1e}" for what, said in limits.items() if not found[what] < TOLERANCE
    ]
    failed += [f"{name}: {said}" for said in found["checks"] if said != "passes"]
    if found["computes"] != SIDES[name].computes:
        failed.append(f"{name}: its mistake computes {SAID[found['computes']]}, not {SAID[SIDES[name].computes]}")
    return failed


def apart(found: dict[str, dict]) -> float:
    """The largest relative deviation of any file's gradient from another's."""
    pairs = combinations([about["grads"] for about in found.values()], 2)
    return max((deviation(*grads) for pair in pairs for grads in zip(*pair, strict=True)), default=0.0)


def row(cells: Iterable) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(header: list[str], rows: Iterable[Iterable]) -> list[str]:
    return [row(header), row(["---"] * len(header)), *map(row, rows), ""]


def shown(name: str, edit: Edit) -> str:
    """The lines that an edit leaves changed, without their comments."""
    before = source(name).splitlines()
    changed = [line for line in edited(name, edit).splitlines() if line not in before]
    return "<br>".join(f"`{line.strip().split('  # ')[0]}`" for line in changed)


def size(off: float) -> str:
    return f"{off:.0e}" if off else "0"


def report(found: dict[str, dict], missing: dict[str, str]) -> str:
    """Write the tables, each after a comment by which the page finds it."""

    def measured(name: str, side: Side) -> list:
        if name in missing:
            return [side.title, missing[name], lines_of_code(name), "", "", "", ""]
        about = found[name]
        order = "second" if about["maml"] < TOLERANCE else "first" if about["fomaml"] < TOLERANCE else "neither"
        off = [size(about[what]) for what in ("maml", "differences")]
        return [side.title, version(side.package), lines_of_code(name), order, *off, about["checks"][0]]

    there = [(name, side) for name, side in SIDES.items() if name in found]
    lines = [
        "<!-- Written by make side-by-side. -->",
        "<!-- measured -->",
        *table(
            ["with", "version", "lines", "order", "off `l2l.maml`", "off differences", "`verify`"],
            (measured(name, side) for name, side in SIDES.items()),
        ),
        f"Relative deviations in float64, the largest on {len(list(problems()))} problems, ten for each of K = "
        f"{', '.join(map(str, STEPS))}; torch {version('torch')}, numpy {version('numpy')}. No two files differ by more "
        f"than {size(apart(found))}.",
        "",
        "<!-- first-order -->",
        *table(
            ["with", "what changes", "off `l2l.fomaml`"],
            ([side.title, shown(name, side.first_order), size(found[name]["first"])] for name, side in there),
        ),
        "<!-- mistakes -->",
        *table(
            ["with", "what changes", "what it computes", "what `verify` says"],
            (
                [side.title, shown(name, side.mistake), SAID[found[name]["computes"]], found[name]["said"]]
                for name, side in there
            ),
        ),
        "<!-- end -->",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    torch.set_num_threads(1)
    found, missing, failed = {}, {}, []
    for name in SIDES:
        try:
            load(name)
        except ImportError as error:
            missing[name] = f"does not import here: {first_line(error)}"
            continue
        print(f"{name}:")
        try:
            found[name] = examine(name)
        except Exception as error:
            missing[name] = f"raises {type(error).__name__}: {first_line(error)}"
            failed.append(f"{name} {missing[name]}")
            continue
        failed += failures(name, found[name])
    if not apart(found) < TOLERANCE:
        failed.append(f"two files differ by {apart(found):.1e}")
    text = report(found, missing)
    (HERE / "side_by_side.md").write_text(text, encoding="utf-8")
    print(text)
    for name, said in missing.items():
        print(f"{name} {said}")
    for said in failed:
        print(f"FAILED {said}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
