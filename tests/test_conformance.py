"""`verify` accepts right implementations of MAML, whatever they are made of, and names the mistakes of wrong ones."""

import importlib.util
import json
import re
from pathlib import Path

import golden as generator
import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from l2l.check import PROBLEMS, Failed, verify
from l2l.check.cases import CASES
from l2l.check.golden import GOLDEN, golden_case
from l2l.cli import main

STORED = json.loads(GOLDEN.read_text(encoding="utf-8"))["problems"]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr("l2l.check.sandbox.SECONDS", 180.0)


def outputs(theta, x, activation):
    layers = len(theta) // 2
    for layer in range(1, layers + 1):
        x = x @ theta[f"W{layer}"] + theta[f"b{layer}"]
        x = activation(x) if layer < layers else x
    return x


LOSSES = {
    "relu": lambda theta, x, y: ((outputs(theta, x, torch.relu) - y) ** 2).mean(),
    "tanh": lambda theta, x, y: ((outputs(theta, x, torch.tanh) - y) ** 2).mean(),
    "line": lambda theta, x, y: ((outputs(theta, x, None) - y) ** 2).mean(),
    "softmax": lambda theta, x, y: cross_entropy(outputs(theta, x, torch.tanh), y),
}


def loop(
    loss,
    *,
    create_graph=True,
    swap=False,
    steps_of=lambda steps: steps,
    tasks=None,
    total=False,
    turn=None,
    unused=False,
):
    """MAML as most people write it, and as they get it wrong."""

    def meta_gradient(theta, batch, alpha, steps):
        losses = []
        for xs, ys, xq, yq in list(zip(*batch, strict=True))[:tasks]:
            if swap:
                xs, ys, xq, yq = xq, yq, xs, ys
            phi = theta
            for _ in range(steps_of(steps)):
                grads = torch.autograd.grad(
                    loss(phi, xs, ys),
                    list(phi.values()),
                    create_graph=create_graph,
                    allow_unused=unused,
                    materialize_grads=unused,
                )
                phi = {name: p - alpha * g for (name, p), g in zip(phi.items(), grads, strict=True)}
            losses.append(loss(phi, xq, yq))
        outer = sum(losses) if total else sum(losses) / len(losses)
        grads = torch.autograd.grad(outer, list(theta.values()), allow_unused=unused, materialize_grads=unused)
        grads = dict(zip(theta, grads, strict=True))
        return grads | {turn: grads[turn].T} if turn else grads

    return meta_gradient


def detached(loss):
    """`optimizer.step()` in the inner loop: φ is a copy, whose gradient is written where θ's should be."""

    def meta_gradient(theta, batch, alpha, steps):
        total = {name: torch.zeros_like(p) for name, p in theta.items()}
        for xs, ys, xq, yq in zip(*batch, strict=True):
            phi = [p.detach().clone().requires_grad_() for p in theta.values()]
            optimizer = torch.optim.SGD(phi, lr=alpha)
            for _ in range(steps):
                optimizer.zero_grad()
                loss(dict(zip(theta, phi, strict=True)), xs, ys).backward()
                optimizer.step()
            grads = torch.autograd.grad(loss(dict(zip(theta, phi, strict=True)), xq, yq), phi)
            for name, g in zip(theta, grads, strict=True):
                total[name] += g / len(batch.x_support)
        return total

    return meta_gradient


def by_transforms(loss):
    def meta_gradient(theta, batch, alpha, steps):
        def task(theta, xs, ys, xq, yq):
            for _ in range(steps):
                theta = {name: theta[name] - alpha * g for name, g in grad(loss)(theta, xs, ys).items()}
            return loss(theta, xq, yq)

        return grad(lambda theta: vmap(task, in_dims=(None, 0, 0, 0, 0))(theta, *batch).mean())(theta)

    return meta_gradient


def by_module(theta, batch, alpha, steps):
    module = nn.Sequential(nn.Linear(1, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    start = {
        name: p.t().detach().clone().requires_grad_()
        for name, p in zip(dict(module.named_parameters()), theta.values(), strict=True)
    }
    outer = 0
    for xs, ys, xq, yq in zip(*batch, strict=True):
        phi = start
        for _ in range(steps):
            error = nn.functional.mse_loss(functional_call(module, phi, (xs,)), ys)
            grads = torch.autograd.grad(error, list(phi.values()), create_graph=True)
            phi = {name: p - alpha * g for (name, p), g in zip(phi.items(), grads, strict=True)}
        outer = outer + nn.functional.mse_loss(functional_call(module, phi, (xq,)), yq) / len(batch.x_support)
    return [g.t() for g in torch.autograd.grad(outer, list(start.values()))]


def in_numpy(theta, batch, alpha, steps):
    """Line 10 by hand for a line, whose Hessian is the same everywhere."""
    assert isinstance(theta["W1"], np.ndarray)
    total = np.zeros(2)
    for xs, ys, xq, yq in zip(*batch, strict=True):
        X, Q = (np.hstack([x, np.ones_like(x)]) for x in (xs, xq))
        w, H = np.concatenate([theta["W1"][0], theta["b1"]]), 2 / len(X) * X.T @ X
        for _ in range(steps):
            w = w - alpha * (H @ w - 2 / len(X) * X.T @ ys[:, 0])
        g = 2 / len(Q) * Q.T @ (Q @ w - yq[:, 0])
        total += np.linalg.matrix_power(np.eye(2) - alpha * H, steps) @ g / len(batch.x_support)
    return total


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("made_of", [loop, by_transforms])
def test_right_implementations_pass(problem, made_of, capsys):
    verify(made_of(LOSSES[problem]), problem=problem)
    assert "called with torch arrays" in (printed := capsys.readouterr().out)
    assert "right in 5 of 5" in printed


def test_a_module_and_numpy_pass(capsys):
    verify(by_module)
    verify(in_numpy, problem="line")
    assert "called with numpy arrays" in capsys.readouterr().out
    verify(in_numpy, problem="line", arrays="numpy", seed=3)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="no JAX here")
@pytest.mark.parametrize("double", [False, True])
def test_jax_passes_in_single_and_in_double_precision(double, capsys):
    import jax
    import jax.numpy as jnp

    def loss(theta, x, y):
        h = jax.nn.relu(jax.nn.relu(x @ theta["W1"] + theta["b1"]) @ theta["W2"] + theta["b2"])
        return ((h @ theta["W3"] + theta["b3"] - y) ** 2).mean()

    def meta_gradient(theta, batch, alpha, steps):
        def task(theta, xs, ys, xq, yq):
            for _ in range(steps):
                theta = jax.tree.map(lambda p, g: p - alpha * g, theta, jax.grad(loss)(theta, xs, ys))
            return loss(theta, xq, yq)

        return jax.grad(lambda theta: jax.vmap(task, (None, 0, 0, 0, 0))(theta, *batch).mean())(
            {name: jnp.asarray(p) for name, p in theta.items()}
        )

    with jax.enable_x64(double):
        verify(meta_gradient)
    assert "called with numpy arrays" in capsys.readouterr().out


def squared(scale):
    return lambda theta, x, y: scale * LOSSES["relu"](theta, x, y)


def frozen(loss):
    """Every inner gradient at θ."""

    def meta_gradient(theta, batch, alpha, steps):
        return loop(loss, steps_of=lambda steps: 1)(theta, batch, alpha * steps, steps)

    return meta_gradient


def twice(theta, x, y):
    return cross_entropy(outputs(theta, x, torch.tanh).softmax(-1), y)


def halves(theta, x, y):
    return ((outputs(theta, x, torch.tanh) - y) ** 2).sum(-1).mean()


def forgotten(*names):
    """Some parameters are taken from elsewhere."""
    return loop(lambda theta, x, y: LOSSES["relu"](theta | {n: theta[n].detach() for n in names}, x, y), unused=True)


WRONG = [
    ("relu", loop(LOSSES["relu"], create_graph=False), "It is the first-order gradient"),
    ("tanh", loop(LOSSES["tanh"], create_graph=False), "It is the first-order gradient"),
    ("softmax", detached(LOSSES["softmax"]), "It is the first-order gradient"),
    ("relu", detached(LOSSES["relu"]), "It is the first-order gradient"),
    ("softmax", loop(LOSSES["softmax"], swap=True), "Support and query points have changed places."),
    ("relu", loop(LOSSES["relu"], tasks=1), "It uses one task only, the first"),
    ("tanh", loop(LOSSES["tanh"], steps_of=lambda steps: 1), "It takes one inner step, whatever steps says."),
    ("line", loop(LOSSES["line"], steps_of=lambda steps: steps - 1), "It took one inner step too few."),
    ("softmax", loop(LOSSES["softmax"], steps_of=lambda steps: 0), "It is taken at θ instead of φ"),
    ("relu", loop(LOSSES["relu"], total=True), "times 3, the number of tasks: a sum in place of the mean"),
    ("relu", loop(squared(0.5)), "The losses look like half the squared error"),
    ("relu", loop(squared(5)), "The inner loss looks like a sum over the points; it must be the mean over them. And"),
    ("relu", loop(LOSSES["relu"], turn="W2"), "W2 looks transposed"),
    ("softmax", loop(LOSSES["softmax"], turn="W2"), "W2 looks transposed"),
    ("line", frozen(LOSSES["line"]), "Every inner gradient seems to be taken at θ"),
    ("relu", loop(LOSSES["tanh"]), "The network looks like one with tanh; this problem's network has relu."),
    ("tanh", loop(LOSSES["relu"]), "The network looks like one with relu; this problem's network has tanh."),
    ("softmax", loop(twice), "softmax is applied twice"),
    ("tanh", loop(halves), "sums over the two outputs"),
    ("relu", loop(lambda theta, x, y: ((outputs(theta, x, torch.relu).relu() - y) ** 2).mean()), "must be linear"),
    (
        "relu",
        loop(lambda t, x, y: LOSSES["relu"]({n: p * (n[0] == "W") for n, p in t.items()}, x, y)),
        "The biases seem to be left out.",
    ),
    ("relu", forgotten("W3", "b3"), "The gradient with respect to W3, b3 is zero in every case: no path leads"),
    ("tanh", lambda theta, batch, alpha, steps: [-p.grad for p in theta.values()], "Is a gradient None? Then no path"),
    ("relu", lambda theta, batch, alpha, steps: [torch.zeros_like(p) for p in theta.values()], "It is zero in every"),
    ("relu", lambda theta, batch, alpha, steps: [p.grad for p in theta.values()], "must be a tensor of shape [1, 5]"),
]


@pytest.mark.parametrize(("problem", "function", "words"), WRONG)
def test_wrong_implementations_are_named(problem, function, words):
    with pytest.raises(Failed, match=re.escape(words)):
        verify(function, problem=problem)


@pytest.mark.parametrize("problem", [name for name in PROBLEMS if name != "line"])  # its Hessian is one everywhere
def test_every_known_mistake_is_named_by_its_own_sentence(problem):
    for sentence, mistaken in PROBLEMS[problem].exercise().mistakes.items():
        with pytest.raises(Failed, match=re.escape(sentence)):
            verify(lambda *case, f=mistaken: f(**dict(zip(ARGUMENTS, case, strict=True))), problem=problem, seed=1)


ARGUMENTS = ("theta", "batch", "alpha", "steps")


def test_a_function_that_raises_says_so_for_both_kinds_of_arrays():
    def meta_gradient(theta, batch, alpha, steps):
        return batch.x_support.no_such_thing

    with pytest.raises(Failed, match="AttributeError.*\n.*\n*.*With numpy arrays in place of tensors"):
        verify(meta_gradient)


def test_what_no_kind_of_arrays_would_mend_is_said_once():
    def meta_gradient(theta, batch, alpha, steps):
        return theta.no_such_thing

    with pytest.raises(Failed) as caught:
        verify(meta_gradient)
    assert str(caught.value).count("AttributeError") == 1


@pytest.mark.parametrize(("settings", "name"), [({"problem": "cubic"}, "problem"), ({"arrays": "lists"}, "arrays")])
def test_settings_are_checked(settings, name):
    with pytest.raises(ValueError, match=name):
        verify(by_module, **settings)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("i", range(CASES))
def test_the_golden_gradients_are_right(problem, i):
    """Against automatic differentiation of another program, and finite differences along each axis of θ."""
    stored, loss = STORED[problem]["cases"][i], LOSSES[problem]
    case = golden_case(stored)
    theta = {name: p.requires_grad_() for name, p in case["theta"].items()}
    found = loop(loss)(theta, case["batch"], case["alpha"], case["steps"])

    def outer(theta):
        losses = []
        for xs, ys, xq, yq in zip(*case["batch"], strict=True):
            phi = {name: p.detach().requires_grad_() for name, p in theta.items()}
            for _ in range(case["steps"]):
                grads = torch.autograd.grad(loss(phi, xs, ys), list(phi.values()))
                phi = {
                    n: (p - case["alpha"] * g).detach().requires_grad_()
                    for (n, p), g in zip(phi.items(), grads, strict=True)
                }
            losses.append(loss(phi, xq, yq).item())
        return np.mean(losses)

    for name, p in theta.items():
        right = torch.tensor(stored["gradient"][name], dtype=torch.float64)
        torch.testing.assert_close(found[name], right, rtol=1e-10, atol=1e-12)
        entry = tuple(int(n) for n in np.unravel_index(i % p.numel(), p.shape))
        e = torch.zeros_like(p)
        e[entry] = 1e-6
        slope = (outer(theta | {name: p + e}) - outer(theta | {name: p - e})) / 2e-6
        assert slope == pytest.approx(right[entry].item(), rel=1e-5, abs=1e-7)


def test_the_golden_file_is_what_its_program_writes():
    """The mistakes' gradients as well, of one case of each problem; another processor may round otherwise."""
    for name, problem in PROBLEMS.items():
        made = generator.case(problem, 0, torch.Generator().manual_seed(0))
        stored = STORED[name]["cases"][0]
        assert list(made["mistakes"]) == list(stored["mistakes"])
        for part in ("theta", "batch", "gradient", "mistakes"):
            for key, value in made[part].items():
                np.testing.assert_allclose(value, stored[part][key], rtol=1e-7, atol=1e-9)
        assert STORED[name]["network"] == problem.network
        assert STORED[name]["loss"] == problem.loss_in_words


def test_the_function_that_the_page_shows_passes(capsys):
    page = Path(__file__).resolve().parent.parent / "book" / "verify.md"
    [code] = re.findall(r"```python\n(import torch\n.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(code, names)
    verify(names["meta_gradient"])


PROGRAM = """
import torch
from test_conformance import LOSSES, loop
right, first_order = loop(LOSSES["relu"]), loop(LOSSES["relu"], create_graph=False)
"""


def test_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "theirs.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    assert main(["verify", "theirs:right"]) == main(["verify", "theirs.py:right", "--seed", "3"]) == 0
    assert main(["verify", "theirs:first_order"]) == 1
    assert "It is the first-order gradient" in capsys.readouterr().out
    assert main(["verify"]) == main(["verify", "theirs:none"]) == main(["verify", "no_such_module:f"]) == 2
    assert "no_such_module" in capsys.readouterr().err


def test_answers_of_another_language(tmp_path, capsys):
    answers = {
        name: [{n: torch.tensor(g).tolist() for n, g in case["gradient"].items()} for case in problem["cases"]]
        for name, problem in STORED.items()
    }
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(answers), encoding="utf-8")
    assert main(["verify", "--answers", str(file)]) == 0
    assert capsys.readouterr().out.count("right in 5 of 5") == len(PROBLEMS)
    sentence = next(s for s in STORED["relu"]["cases"][0]["mistakes"] if s.startswith("It adapts to the query points"))
    answers["relu"] = [case["mistakes"][sentence] for case in STORED["relu"]["cases"]]  # flat lists will do
    file.write_text(json.dumps(answers), encoding="utf-8")
    assert main(["verify", "--answers", str(file)]) == 1
    printed = capsys.readouterr().out
    assert sentence in printed
    assert "Not right: relu." in printed


@pytest.mark.parametrize("text", ["[", "[]", "{}", '{"cubic": []}', '{"relu": [1]}', '{"relu": 3}'])
def test_bad_files_of_answers(text, tmp_path, capsys):
    (tmp_path / "answers.json").write_text(text, encoding="utf-8")
    assert main(["verify", "--answers", str(tmp_path / "answers.json")]) == 2
    assert capsys.readouterr().err.startswith("l2l: ")
