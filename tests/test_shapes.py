"""Shapes, dtypes and annotations are true: what docstrings promise is compared with what comes out, or is taken.

No two letters have one length, so that an answer the wrong way round has another shape.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from functools import partial, wraps
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

import l2l
from l2l import adam, bayes, check, net, plots, report

WIDTHS = (1, 7, 6, 1)
SIZES = {"T": 3, "Q": 4, "R": 2, "P": 69, "N": 12, "n": 5, "rates": 11, "steps": 8, "logs": 10, "points": 13}
SIZES["sizes"] = WIDTHS
T, Q, R, P, N, n, RATES, STEPS, LOGS, POINTS, _ = SIZES.values()
PROMISE = re.compile(r"(?<![\w\[\]])\[(?!0, π)(?:[^\[\]]|\[[^\[\]]*\])*\]|\bscalar\b|\bshapes? of `\w+`")
"""A shape in brackets (a bracket after a name is an index or a distribution), or in words."""


# ------------------------------------------------------------------------------------------------------ annotations
def agrees(value: object, hint: Any) -> bool:
    """Whether a value is of the type that an annotation names, as far as that can be seen without using it."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in (Any, ArrayLike):
        return True
    if hint is l2l.TaskFamily:
        return callable(getattr(value, "sample", None))
    if origin in (Union, UnionType):
        return any(agrees(value, each) for each in args)
    if origin is tuple and args[1:] != (...,):
        return isinstance(value, tuple) and len(value) == len(args) and all(map(agrees, value, args))
    if origin in (tuple, list, Sequence):
        return isinstance(value, origin) and all(agrees(each, args[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(agrees(k, args[0]) and agrees(v, args[1]) for k, v in value.items())
    if hint is float:
        return isinstance(value, float | int)
    return isinstance(value, origin or hint or NoneType)


called = set()


def typed(name, function):
    """The same function, whose arguments and result must agree with its annotations."""
    hints = get_type_hints(function)

    @wraps(function)
    def call(*args, **kwargs):
        called.add(name)
        result = function(*args, **kwargs)
        given = inspect.signature(function).bind(*args, **kwargs).arguments | {"return": result}
        wrong = {name: value for name, value in given.items() if not agrees(value, hints[name])}
        assert not wrong, f"{function.__name__} is annotated { ({name: hints[name] for name in wrong}) }, got {wrong}"
        return result

    return call


def functions(module, names: Iterable[str]) -> dict:
    return {name: getattr(module, name) for name in names if inspect.isfunction(getattr(module, name))}


def own(module) -> dict:
    names = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return functions(module, [name for name in names if not name.startswith("_")])


PUBLIC = functions(l2l, l2l.__all__)
L = SimpleNamespace(**{name: typed(name, function) for name, function in PUBLIC.items()})


# ------------------------------------------------------------------------------------------------------- the table
class Rotations:
    """2-D inputs, one output."""

    def sample(self, tasks, shots, query, *, generator, dtype):
        x = torch.randn(tasks, shots + query, 2, generator=generator, dtype=dtype)
        y = x.prod(-1, keepdim=True)
        return l2l.Batch(x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:])


class Promised(NamedTuple):
    """What a docstring says, and the values that must be so."""

    text: str
    values: Iterable
    rest: tuple[int, ...]  # the axes that "…" stands for
    dtype: str | None  # that of the parameters if None; "" is any
    like: Any
    letters: dict[str, int]  # those that mean something else here

    def shape(self) -> Any:
        if self.like is not None:
            return shape(self.like)
        if self.text == "scalar":
            return ()
        letters = SIZES | {"…": self.rest, "...": self.rest} | self.letters
        axes = []
        for term in self.text[1:-1].split(", "):
            length = letters[term] if term in letters else eval(term, {}, letters)
            axes += length if isinstance(length, tuple) else [length]
        return tuple(axes)


def p(text, *values, rest=(), dtype=None, like=None, **letters) -> Promised:
    return Promised(text, values, rest, dtype, like, letters)


def shape(value) -> Any:
    return {name: shape(p) for name, p in value.items()} if isinstance(value, dict) else tuple(np.shape(value))


def dtypes(value) -> set[str]:
    return {str(v.dtype).removeprefix("torch.") for v in (value.values() if isinstance(value, dict) else [value])}


class Values:
    """What the rows of the table are made of, of one dtype."""

    def __init__(self, dtype: torch.dtype):
        generator = torch.Generator().manual_seed(7)
        new = {"generator": generator, "dtype": dtype}
        self.dtype, self.family = dtype, l2l.SineTasks()
        self.theta = L.init_params(WIDTHS, **new)
        self.stacked = {name: p.expand(R, *p.shape) for name, p in self.theta.items()}
        self.batch = self.family.sample(T, n, Q, **new)
        self.posterior = bayes.posterior(self.batch.x_support, self.batch.y_support, noise=0.5)
        self.flat = Rotations().sample(T, n, Q, **new)
        self.flat_theta = L.init_params((2, 6, 1), **new)
        self.x, self.y = self.batch.x_support[0], self.batch.y_support[0]
        self.settings = {"alpha": torch.full((RATES,), 0.01, dtype=dtype), "steps": STEPS}
        self.network = L.from_module(partial(torch.nn.Linear, 1, 6))
        self.grid = np.linspace(-1, 1, N)
        self.support = self.x[:, 0], self.y[:, 0]
        counts = {"iterations": LOGS - 1, "log_every": 1, "tasks": T, "shots": n, "query": Q, "steps": 2}
        given = {"alpha": [0.01, 0.02], "sizes": list(WIDTHS), "seeds": range(R), "checkpoint_at": [0, 4]}
        self.config = l2l.TrainConfig(**counts, **given, dtype=str(dtype).removeprefix("torch."))
        self.run = L.train(self.config, self.family, progress=False)
        self.meta_batch = report.meta_test_batch(self.run, T, n)
        self.result = report.meta_test(self.run, self.meta_batch, alpha=0.01, steps=STEPS, optimizer="adam")
        self._rows: dict[str, list[Promised]] = {}

    def rows(self, name: str) -> list[Promised]:
        if name not in self._rows:
            self._rows[name] = TABLE[name](self) if name in TABLE else []
        return self._rows[name]


def exercise(name: str) -> tuple[dict, Any]:
    """Return the arguments of an exercise's first case, and the right answer."""
    given = check.EXERCISES[name].case(0, torch.Generator().manual_seed(7))
    return given, check.EXERCISES[name].oracle(**given)


def noisy(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the points of an exercise's first case."""
    given, _ = exercise(name)
    return given["x"], given["y"]


def drawn(plot: str, *args, **kwargs) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the first line that a plot draws."""
    ax = Figure().subplots()
    typed(plot, getattr(plots, plot))(*args, ax, **kwargs)
    return ax.lines[0].get_data()


def taken(plot: str, curve):
    """Return a curve that a plot has drawn, at each step."""
    assert len(drawn(plot, {"maml": curve})[0]) == len(curve)
    return curve


def replica(r: int, params: dict) -> dict:
    return {name: p[r] for name, p in params.items()}


def layers(theta: dict) -> list[Promised]:
    return [
        row
        for i, o, layer in zip(WIDTHS, WIDTHS[1:], "123", strict=False)
        for row in (p("[in, out]", theta[f"W{layer}"], **{"in": i}, out=o), p("[out]", theta[f"b{layer}"], out=o))
    ]


TABLE = {
    "init_params": lambda w: layers(w.theta),
    "flatten": lambda w: [
        p("[..., P]", L.flatten(w.theta)),
        p("[..., P]", L.flatten(w.stacked, axes=1), rest=(R,)),
    ],
    "unflatten": lambda w: [
        p("[..., P]", L.flatten(w.theta)),
        p("shapes of `like`", L.unflatten(L.flatten(w.theta), w.theta), like=w.theta),
        p("[..., P]", L.flatten(w.stacked, axes=1), rest=(R,)),
        p("shapes of `like`", replica(1, L.unflatten(L.flatten(w.stacked, axes=1), w.theta)), like=w.theta),
    ],
    "mlp": lambda w: [
        p("[..., sizes[0]]", w.batch.x_query, rest=(T, Q)),
        p("[..., sizes[-1]]", L.mlp(w.theta, w.batch.x_query), rest=(T, Q)),
    ],
    "mse": lambda w: [
        p("[..., sizes[0]]", w.batch.x_query, rest=(T, Q)),
        p("[..., sizes[-1]]", w.batch.y_query, rest=(T, Q)),
        p("scalar", L.mse(w.theta, w.batch.x_query, w.batch.y_query)),
    ],
    "net.squared_error": lambda w: [p("scalar", net.squared_error(w.y, w.y + 1))],
    "Network": lambda w: [
        p("[points, ...]", x := torch.ones(POINTS, 1, dtype=w.dtype), rest=(1,)),
        p("[points, ...]", w.network.apply(w.network.init(torch.Generator(), w.dtype), x), rest=(6,)),
    ],
    "Batch": lambda w: [
        p("[T, n, 1]", w.batch.x_support),
        p("[T, n, …]", w.flat.x_support, rest=(2,)),
        p("[T, n, …]", w.flat.y_support, rest=(1,)),
        p("[T, Q, …]", w.flat.x_query, rest=(2,)),
        p("[T, Q, …]", w.flat.y_query, rest=(1,)),
    ],
    "SineBatch": lambda w: [
        p("[T, n, 1]", w.batch.x_support, w.batch.y_support),
        p("[T, Q, 1]", w.batch.x_query, w.batch.y_query),
        p("[T]", w.batch.amplitude, w.batch.phase),
    ],
    "TaskFamily.sample": lambda w: [  # a family of one's own
        p("[T, n, …]", w.flat.x_support, rest=(2,)),
        p("[T, n, …]", w.flat.y_support, rest=(1,)),
        p("[T, Q, …]", w.flat.x_query, rest=(2,)),
        p("[T, Q, …]", w.flat.y_query, rest=(1,)),
    ],
    "SineTasks.sample": lambda w: [
        p("[T, n, 1]", w.batch.x_support, w.batch.y_support),
        p("[T, Q, 1]", w.batch.x_query, w.batch.y_query),
        p("[T]", w.batch.amplitude, w.batch.phase),
    ],
    "SineTasks.conditional_mean": lambda w: [p("shape of `x`", w.family.conditional_mean(w.x), like=w.x)],
    "inner_loop": lambda w: [
        p("[n, …]", w.x, w.y, rest=(1,)),
        p("[n, …]", w.flat.x_support[0], rest=(2,)),
        p("[rates]", w.settings["alpha"]),
        p("scalar", l2l.mse(w.theta, w.x, w.y)),
        p("shapes of `theta`", *L.inner_loop(w.theta, w.x, w.y, **w.settings), like=w.theta),
        p("shapes of `theta`", L.adapt(w.theta, w.x, w.y, **w.settings), like=w.theta),
    ],
    "maml": lambda w: [
        row
        for method in (L.maml, L.fomaml, L.pretrain, L.checkpointed_maml)
        for theta, batch in ((w.theta, w.batch), (w.flat_theta, w.flat))
        for loss, grads in [method(theta, batch, **w.settings)]
        for row in (p("scalar", loss), p("shapes of `theta`", grads, like=theta))
    ],
    "initial_gradient_norm": lambda w: [
        p("[T]", L.initial_gradient_norm(w.theta, w.batch), L.initial_gradient_norm(w.flat_theta, w.flat))
    ],
    "adaptation_curve": lambda w: [
        p("[steps+1, T]", *L.adaptation_curve(w.theta, w.batch, optimizer=optimizer, **w.settings))
        for optimizer in ("sgd", "adam")
    ],
    "Curve": lambda w: [
        p("[steps+1, T]", *L.adaptation_curve(w.flat_theta, w.flat, **w.settings)),
        p("[steps+1, R, T]", *w.run.adaptation_curve(w.batch, **w.settings)),
    ],
    "Run.adaptation_curve": lambda w: [p("[steps+1, R, T]", *w.run.adaptation_curve(w.batch, **w.settings))],
    "Method": lambda w: [p("[rates]", w.settings["alpha"])],
    "confidence_interval": lambda w: [
        p("[..., N]", values := torch.rand(T, Q, N, dtype=w.dtype), rest=(T, Q)),
        p("[...]", *L.confidence_interval(values), rest=(T, Q), dtype="float64"),
        p("[...]", *L.confidence_interval(values[0, 0]), dtype="float64"),
    ],
    "TrainConfig": lambda w: [p("scalar", w.config.parts.loss(w.theta, w.x, w.y))],
    "Run": lambda w: (
        [
            row
            for params in (w.run.theta, *w.run.checkpoints.values())
            for name, shared in w.theta.items()
            for row in [p("[R, ...]", params[name], rest=shape(shared))]
        ]
        + [
            p("[logs]", w.run.history["iteration"], dtype="int64"),
            p("[logs, R]", w.run.history["loss"], w.run.history["initial_gradient_norm"]),
        ]
    ),
    "Optimizer": lambda w: [
        p("[P]", vector := L.flatten(w.theta), adam.adam(vector, vector, adam.adam_init(vector), 0.01)[0])
    ],
    "adam.adam": lambda w: [
        p("[P]", vector := L.flatten(w.theta)),
        p("shape of `theta`", adam.adam(vector, vector, adam.adam_init(vector), 0.01)[0], like=vector),
    ],
    "report.meta_test": lambda w: [
        p("[steps+1, R, T]", w.result["support"], w.result["query"]),
        p("[R, T]", w.result["gradient_norm"]),
    ],
    "report.summarise": lambda w: [p("[R, T]", w.result["gradient_norm"])],
    "report.half_axis_points": lambda w: [p("[points]", report.half_axis_points(POINTS, w.family, w.dtype))],
    "plots.plot_mean": lambda w: [
        p("[N]", w.grid, *drawn("plot_mean", w.grid, np.ones((N, R)), method="maml"), dtype="float64"),
        p("[N, R]", np.ones((N, R)), dtype="float64"),
    ],
    "plots.plot_gradient_norms": lambda w: [
        p("[logs]", *drawn("plot_gradient_norms", {"maml": w.run.history}), dtype=""),
        p("[logs, R]", w.run.history["initial_gradient_norm"]),
    ],
    "plots.plot_adaptation_curves": lambda w: [
        p("[steps+1, T]", taken("plot_adaptation_curves", w.result["query"][:, 0])),
        p("[steps+1, R, T]", taken("plot_adaptation_curves", w.result["query"])),
    ],
    "plots.plot_task": lambda w: [
        p("[N]", w.grid, *drawn("plot_task", w.grid, w.grid, support=w.support), dtype="float64"),
        p("[n]", *w.support),
    ],
    "plots.plot_half_axis_fit": lambda w: [
        p("[N]", *drawn("plot_half_axis_fit", w.grid, w.grid, {0: w.grid}, w.support, method="maml"), dtype="float64"),
        p("[n]", *w.support),
    ],
    "check.sample_tasks": lambda w: [
        p("[T, n, 1]", *(tasks := exercise("sample_tasks"))[1][:2], T=2000, n=5, dtype=""),
        p("[T, Q, 1]", *tasks[1][2:], T=2000, Q=7, dtype=""),
    ],
    "check.fit_sinusoid": lambda w: [p("[n]", *exercise("fit_sinusoid")[0].values(), n=3, dtype="float64")],
    "check.best_start": lambda w: [p("[T]", *(exercise("best_start")[0][name] for name in "ch"), dtype="float64")],
    "check.unrolled_product": lambda w: [
        p("[K, P, P]", (product := exercise("unrolled_product"))[0]["hessians"], K=2, P=4, dtype="float64"),
        p("[P]", product[0]["g"], product[1], P=4, dtype="float64"),
    ],
    "check.adaptation_curve": lambda w: [p("[steps+1]", exercise("adaptation_curve")[1], steps=1, dtype="float64")],
    "check.best_single_function": lambda w: [
        p("[N]", (best := exercise("best_single_function"))[0]["x"], best[1], N=6, dtype="float64")
    ],
    "check.paired_interval": lambda w: [p("[N]", *exercise("paired_interval")[0].values(), N=4, dtype="float64")],
    "check.cka": lambda w: [
        p("[inputs, units]", exercise("cka")[0]["Z1"], inputs=7, units=3, dtype="float64"),
        p("[inputs, units]", exercise("cka")[0]["Z2"], inputs=7, units=5, dtype="float64"),
    ],
    "check.posterior_mean": lambda w: [p("[n]", *noisy("posterior_mean"), n=2, dtype="float64")],
    "check.linear_estimate": lambda w: [p("[n]", *noisy("linear_estimate"), n=2, dtype="float64")],
    "check.nearest_centroid": lambda w: [
        p("[n, F]", exercise("nearest_centroid")[0]["z_support"], n=7, F=4, dtype="float64"),
        p("[n]", exercise("nearest_centroid")[0]["y_support"], n=7, dtype="int64"),
        p("[Q, F]", exercise("nearest_centroid")[0]["z_query"], Q=60, F=4, dtype="float64"),
    ],
    "check.normalise_by_support": lambda w: [
        p("[Q, F]", exercise("normalise_by_support")[1], Q=4, F=3, dtype="float64")
    ],
    "bayes.posterior": lambda w: [p("[..., n, 1]", w.batch.x_support, w.batch.y_support, rest=(T,))],
    "bayes.predicted": lambda w: [
        p("[..., Q, 1]", w.batch.x_query, rest=(T,)),
        p("[..., Q, 1]", bayes.predicted(w.posterior, w.batch.x_query), rest=(T,), dtype="float64"),
    ],
}


# ----------------------------------------------------------------------------------------------------------- tests
def texts() -> dict[str, str]:
    """Return what is said of each public name: a function's or method's docstring, all that a class says of fields."""
    said = {}
    for prefix, module, names in (
        ("", l2l, l2l.__all__),
        ("net.", net, own(net)),
        ("adam.", adam, own(adam)),
        ("report.", report, own(report)),
        ("plots.", plots, own(plots)),
        ("bayes.", bayes, own(bayes)),
        ("check.", check, check.EXERCISES),
    ):
        for name in names:
            thing = getattr(module, name)
            if isinstance(thing, dict) or (module is not l2l and thing is getattr(l2l, name, None)):
                continue
            said[prefix + name] = of_class(thing) if inspect.isclass(thing) else inspect.getdoc(thing)
            for method in vars(thing) if inspect.isclass(thing) else ():
                value = getattr(thing, method)
                if inspect.isroutine(value) and value.__qualname__ == f"{name}.{method}":
                    said[f"{prefix}{name}.{method}"] = inspect.getdoc(value) or ""
    return said


def of_class(kind: type) -> str:
    """Return a class's source without its methods: its docstring, those of its fields, and what line ends say."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    for node in ast.parse(source).body[0].body:
        if isinstance(node, ast.FunctionDef):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines)


SAID = texts()


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=str)
def values(request):
    return Values(request.param)


@pytest.mark.parametrize("name", TABLE)
def test_promises_are_kept(name, values):
    for row in values.rows(name):
        for value in row.values:
            assert shape(value) == row.shape(), f"{name}: {row.text}"
            if row.dtype != "":
                assert dtypes(value) == {row.dtype or values.config.dtype}, f"{name}: {row.text}"


@pytest.mark.parametrize("name", sorted({name for name, text in SAID.items() if PROMISE.search(text)} | set(TABLE)))
def test_every_promise_is_in_the_table(name, values):
    assert set(PROMISE.findall(SAID[name])) == {row.text for row in values.rows(name)}


def test_annotations_of_every_function_were_compared(values):
    for name in TABLE:
        values.rows(name)
    assert called >= set(PUBLIC)


def test_annotations_of_fields(values):
    held = values.config, values.run, values.batch, values.flat, values.network, values.family, values.config.parts
    for thing in (*held, l2l.METHODS["maml"], l2l.MLP(WIDTHS), adam.OPTIMIZERS["adam"]):
        for name, hint in get_type_hints(type(thing)).items():
            assert agrees(getattr(thing, name), hint), f"{type(thing).__name__}.{name}"
