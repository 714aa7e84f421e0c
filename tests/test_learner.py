"""The explorers in which the reader acts: ten curves drawn by scripts that know the family, or do not; line 10 in
pieces; and from a moment in any explorer to Python that computes the same."""

import contextlib
import io
import math
import warnings

import numpy as np
import pytest
import torch
from explorers import Explorer, in_chromium, number

import l2l
from l2l.bayes import posterior, predicted
from l2l.explorer import _learn, _metatrain

LEFT, RIGHT, TOP, BOTTOM, REACH = 52, 16, 12, 42, _learn.REACH


def least_squares(task, frequency=1.0):
    """What a learner makes of the points who knows the family: a function of x."""

    def features(x):
        return np.stack([np.sin(frequency * x), np.cos(frequency * x)], axis=1)

    p_q = np.linalg.lstsq(features(np.array(task["x"])), np.array(task["y"]), rcond=None)[0]
    return lambda x: features(x) @ p_q


def straight_line(task):
    return np.poly1d(np.polyfit(task["x"], task["y"], 1))


def task_of(shown):
    state = shown.state
    return state["tasks"][state["at"]]


def places(box, curve, points=41):
    """Where the curve is in the window, from left to right, given the box of the plot."""
    width, height = box["width"] - LEFT - RIGHT, box["height"] - TOP - BOTTOM
    x = np.linspace(-5, 5, points)
    for across, up in zip(x, np.clip(curve(x), -REACH, REACH), strict=True):
        yield box["x"] + LEFT + (across + 5) / 10 * width, box["y"] + TOP + (REACH - up) / (2 * REACH) * height


def draw(shown, curve):
    """Draw with the mouse."""
    plot = shown.root.locator(".l2l-plot").first
    plot.scroll_into_view_if_needed()
    for i, place in enumerate(places(plot.bounding_box(), curve)):
        shown.tab.mouse.move(*place)
        if i == 0:
            shown.tab.mouse.down()
    shown.tab.mouse.up()


def ten_curves(shown, guess, act=draw):
    for i in range(10):
        act(shown, guess(task_of(shown)))
        shown.press("Done")
        shown.press("Next curve" if i < 9 else "What have you learnt?")


def answer(shown, kind, start):
    shown.root.get_by_label(kind, exact=True).check()
    shown.root.get_by_label(start, exact=True).check()
    shown.press("Score my answers")
    assert "Unanswered: The largest swing" in shown.root.inner_text()
    shown.slide("The largest swing, from the middle to a peak, is about", "ArrowRight", 4)
    shown.slide("The distance from one peak to the next is about", "ArrowRight", 3)
    shown.press("Score my answers")


def expected(state):
    """Everybody's query error on each task, by l2l."""
    runs, axis, found = _learn.shipped_runs(), torch.linspace(-5, 5, 121, dtype=torch.float64)[:, None], {}
    for task in state["tasks"]:
        x, y = (torch.tensor(task[name], dtype=torch.float64)[:, None] for name in "xy")
        truth = torch.tensor(list(task["truth"].values()), dtype=torch.float64)[:, None]
        batch = l2l.Batch(x[None], y[None], axis[None], truth[None])
        for method, run in runs.items():
            theta = {n: p[0].double() for n, p in run.theta.items()}
            error = l2l.adaptation_curve(theta, batch, alpha=0.01, steps=10).query[10].item()
            found.setdefault(method, []).append(error)
        best = predicted(posterior(x, y, noise=_learn.NOISE), axis)
        found.setdefault("bayes", []).append((best - truth).square().mean().item())
        fit = least_squares({"x": np.array(task["x"])[[0, 2]], "y": np.array(task["y"])[[0, 2]]})
        found.setdefault("solver", []).append(((fit(axis[:, 0].numpy()) - truth[:, 0].numpy()) ** 2).mean())
    return found


def assert_errors(state):
    """None stands for what diverged."""
    for name, errors in expected(state).items():
        shown = [math.inf if error is None else error for error in state["errors"][name]]
        errors = [error if math.isfinite(error) else math.inf for error in errors]
        np.testing.assert_allclose(shown, errors, rtol=2e-3, atol=2e-4, err_msg=name)


def test_a_learner_who_knows_sinusoids(tab, book):
    shown = Explorer(tab, book, "learn")
    ten_curves(shown, least_squares)
    state = shown.state
    assert_errors(state)
    for task, error in zip(state["tasks"], state["errors"]["ours"], strict=True):
        x, truth = np.linspace(-5, 5, 121), np.array(list(task["truth"].values()))
        exact = ((least_squares(task)(x) - truth) ** 2).mean()
        assert error == pytest.approx(exact, abs=0.01 * task["A"] ** 2 + 0.02)  # columns and pixels
    answer(shown, "waves", "never below 0")
    told = shown.root.inner_text()
    assert "You knew this family, or saw through it at once." in told
    assert "The curves were: waves. Right." in told
    assert "At x = 0 the curves were: never below 0. Right." in told
    assert shown.root.locator(".l2l-picture g").count() == 10
    link = shown.root.get_by_role("link", name="Save the picture")
    assert link.get_attribute("download") == "ten-curves.svg"
    assert link.get_attribute("href").startswith("data:image/svg+xml,%3Csvg%20style")
    rows = shown.rows()
    ours = number(rows["ours"][1])
    better = [name for name, row in rows.items() if name != "ours" and number(row[1]) < ours]
    assert set(better) <= {"bayes", "solver"}  # and so the ladder says
    for name, label in (("maml", "MAML"), ("pretrain", "pre-training")):
        assert name not in better
        assert label in told.split("no larger than that of ")[-1]


def test_curves_are_thrown_away_only_when_asked_twice(tab, book):
    shown = Explorer(tab, book, "learn")
    shown.press("Family 2")  # nothing is lost
    assert shown.state["family"] == "faster"
    shown.press("Family 1")
    for _ in range(2):
        draw(shown, straight_line(task_of(shown)))
        shown.press("Done")
        shown.press("Next curve")
    shown.press("Ten other curves")
    assert len(shown.state["curves"]) == 2
    assert "press “Ten other curves” again" in shown.root.inner_text()
    shown.press("Family 3")  # another button asks again
    assert (shown.state["family"], len(shown.state["curves"])) == ("sines", 2)
    shown.press("Family 3")
    assert (shown.state["family"], len(shown.state["curves"])) == ("tilted", 0)


def test_a_learner_who_draws_straight_lines_and_then_learns(tab, book):
    shown = Explorer(tab, book, "learn")
    ten_curves(shown, straight_line)
    answer(shown, "parabolas", "on either side of 0")
    told = shown.root.inner_text()
    assert "From task to task you did not get much better." in told
    assert "Everybody else's median query error is smaller than yours." in told
    assert "The curves were: parabolas. No: waves." in told
    shown.press("Another family")
    assert shown.state["family"] == "faster"
    seen = []

    def learns(task):
        seen.append(task)
        return least_squares(task, 2.0) if len(seen) > 5 else straight_line(task)

    ten_curves(shown, learns)
    state = shown.state
    assert (
        np.median([math.inf if e is None else e for e in state["errors"]["maml"]]) > 1
    )  # what it learnt is of no use here
    assert np.median(state["errors"]["bayes"]) > 1
    answer(shown, "waves", "never below 0")
    told = shown.root.inner_text()
    assert "you have learnt to learn." in told
    assert "At the end of the first family your error was" in told
    assert "The largest swing, from the middle to a peak, is about: 4.50. Close enough: 5.00." in told
    assert_errors(state)


@in_chromium
def test_the_experiment_by_keyboard_alone(tab, book):
    """In numbers: the points are read as text, and eleven heights are typed."""
    shown = Explorer(tab, book, "learn")
    shown.root.get_by_text("In words and numbers").focus()
    tab.keyboard.press("Enter")

    def typed(shown, curve):
        said = shown.root.locator(".l2l-numbers p").inner_text()
        task = task_of(shown)
        assert all(f"x {x:.2f}, y {y:.2f}" in said for x, y in zip(task["x"], task["y"], strict=True))
        shown.root.get_by_label("y at x -5", exact=True).focus()
        for x in range(-5, 6):
            tab.keyboard.press("Control+A")
            tab.keyboard.type(f"{curve(np.array([float(x)]))[0]:.2f}")
            tab.keyboard.press("Tab")
        shown.root.get_by_label("y at x 5", exact=True).focus()
        tab.keyboard.press("Enter")  # as the button Done

    for i in range(10):
        typed(shown, least_squares(task_of(shown)))
        assert shown.state["phase"] == "shown"
        assert (
            shown.root.get_by_role("status").first.inner_text().startswith(f"Task {i + 1} of 10: your query error is")
        )
        shown.root.get_by_role("button", name="Next curve" if i < 9 else "What have you learnt?").focus()
        tab.keyboard.press("Enter")
    state = shown.state
    assert np.median(state["errors"]["ours"]) < 0.1 * np.median(state["errors"]["pretrain"])
    for label in ("waves", "never below 0"):
        shown.root.get_by_label(label, exact=True).focus()
        tab.keyboard.press("Space")
    for question in (
        "The largest swing, from the middle to a peak, is about",
        "The distance from one peak to the next is about",
    ):
        shown.root.get_by_label(question, exact=True).focus()
        tab.keyboard.press("ArrowRight")
    shown.root.get_by_role("button", name="Score my answers").focus()
    tab.keyboard.press("Enter")
    assert "You knew this family" in shown.root.inner_text()


def test_a_family_and_its_tasks_come_back_by_their_address(tab, book):
    shown = Explorer(tab, book, "learn", family=3, seed=7)
    assert (shown.state["family"], shown.state["seed"]) == ("tilted", 7)
    slopes = [task["m"] for task in shown.state["tasks"]]
    assert len(set(slopes)) == 10
    assert max(map(abs, slopes)) <= 0.6


def test_line_10_is_put_together(tab, book):
    shown = Explorer(tab, book, "assemble")
    lines = [
        "φ[0] = θ",
        "for k = 0 … K−1:  φ[k+1] = φ[k] − α ∇L(φ[k]; support)",
        "v = ∇L(φ[K]; query)",
        "g = g + v / T",
        "for k = K−1 … 0:  v = v − α H(φ[k]) v",
    ]
    for line in lines:
        shown.press(line)
    shown.press("Run")
    told = shown.root.locator(".l2l-told")
    assert "This is the first-order gradient: g was computed from v before" in told.inner_text()
    up = shown.root.get_by_role("button", name=f"move up: {lines[-1]}", exact=True)
    up.focus()
    tab.keyboard.press("Enter")
    assert shown.state["program"] == ["start", "inner", "query", "back", "mean"]
    shown.press("Run")
    assert told.inner_text() == (
        "Deviation from the exact meta-gradient: none beyond rounding. That is line 10: the exact meta-gradient."
    )
    shown.press(f"remove: {lines[0]}")
    shown.press("Run")
    assert told.inner_text() == "Line 1 uses φ, which no line before it has set."


# From a moment to code.


def executed(code):
    """What the copied lines print, by the first word."""
    with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch gives some once in a process
        exec(compile(code, "copied", "exec"), {"__name__": "__main__"})
    rows = (line.split(maxsplit=1) for line in out.getvalue().splitlines())
    return {name: [float(v) for v in values.strip("[]").replace(",", " ").split()] for name, values in rows}


def copied(shown):
    shown.press("Copy as Python")
    return shown.root.get_by_label("Python", exact=True).inner_text()


def printed(shown):
    return executed(copied(shown))


def assert_same(found, rows, columns, tolerance=6e-4):
    assert found.keys() == rows.keys()
    for name, values in found.items():
        for value, text in zip(values, (rows[name][c] for c in columns), strict=True):
            assert number(text) == pytest.approx(value, rel=0.06 if "e" in text else tolerance, abs=6e-4), (name, text)


@in_chromium
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"A": 3.3, "b": 2.1, "x": "-4,-0.5,2", "e": "0,0.4,0", "alpha": 0.005, "steps": 23, "iteration": 1000},
        {"A": 2, "b": 1, "x": "-4,-1,0,2", "e": "0,0,0,0", "steps": 4, "show": "reptile,anil,meta-sgd", "alpha": 0.005},
        {"A": 1, "b": 0.4, "x": "3,4.5", "e": "0,0", "steps": 0, "iteration": 0, "show": "untrained,fomaml"},
    ],
)
def test_copied_from_adapt(tab, book, state):
    shown = Explorer(tab, book, "adapt", **state)
    assert_same(printed(shown), shown.rows(), range(3))


@in_chromium
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"run": "maml-alpha-0.04", "A": 4.4, "b": 3, "x": "-3,-1,0,1,4"},
        {"run": "pretrain", "iteration": 500, "m": 2.5, "A": 0.7, "b": 1.3},
    ],
)
def test_copied_from_step(tab, book, state):
    shown = Explorer(tab, book, "step", **state)
    assert_same(printed(shown), shown.rows(), (1, 2, 3), tolerance=6e-3)


@in_chromium
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"d": 2, "theta": "1,-1", "c": "-1,0.5,1,1", "h": "0.5,1,2,0.25", "a": "0.3,-0.5", "alpha": 0.3, "steps": 4}
        | {"bend": 0.2},
    ],
)
def test_copied_from_line10(tab, book, state):
    shown = Explorer(tab, book, "line10", **state)
    found, now = printed(shown), shown.now["directions"]
    assert found.keys() == now.keys()
    for way, direction in found.items():
        assert now[way] == pytest.approx(direction, rel=1e-9)


@in_chromium
def test_copied_from_metatrain(tab, book):
    """Early in training, before it has amplified what rounding makes different."""
    shown = Explorer(tab, book, "metatrain", methods=",".join(_metatrain.METHODS), alpha=0.02, shots=6, highA=3, seed=2)
    seen = "Object.values(document.querySelector('[data-kind=metatrain]').l2l.seen)"
    tab.wait_for_function(f"{seen}.length === 6")
    shown.press("Train")
    tab.wait_for_function(f"{seen}.every(one => one.iteration >= 20)")
    shown.press("Pause")
    shown.settle()
    state, curves = shown.state, shown.now["seen"]
    done = {method: one["iteration"] for method, one in curves.items()}
    measured = {m: one["history"]["iteration"][-1] for m, one in curves.items()}
    text = copied(shown)
    for method in done:  # what is shown was measured at the last moment that was due
        text = text.replace(f"iterations={max(done[method], 1)},", f"iterations={max(measured[method], 1)},", 1)
    found = executed(text)
    assert found.keys() == set(state["methods"])
    for method, values in found.items():
        curve = curves[method]["curve"]
        assert [curve[k] for k in (0, 1, 10)] == pytest.approx(values, rel=0.05), method


@in_chromium
def test_copied_from_learn_and_assemble(tab, book):
    shown = Explorer(tab, book, "learn", family=3, seed=3)
    assert "truth =" not in copied(shown)  # the answer
    draw(shown, straight_line(task_of(shown)))
    shown.press("Done")
    errors = {name: [values[-1]] for name, values in shown.state["errors"].items() if name != "ours"}
    found = printed(shown)
    assert found.keys() == errors.keys()
    for name, error in errors.items():
        assert found[name] == pytest.approx(error, rel=1e-3, abs=1e-6), name
    shown = Explorer(tab, book, "assemble")
    for line in ("φ[0] = θ", "v = ∇L(θ; query)", "for k = K−1 … 0:  v = v − α H(θ) v", "g = g + v"):
        shown.press(line)
    shown.press("Run")
    assert printed(shown)["deviation"] == pytest.approx([shown.now["found"]["deviation"]], rel=1e-9)


@in_chromium
def test_a_link_leads_to_the_moment_that_is_shown(tab, book):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = Explorer(tab, book, "step", run="fomaml", m=1.4)
    shown.press("Copy link")
    link = shown.root.get_by_label("Python", exact=True).inner_text()
    assert "#step?run=fomaml" in link
    tab.goto("about:blank")
    tab.goto(link)
    shown.root.wait_for()
    shown.settle()
    assert shown.state["run"] == "fomaml"
    assert math.isclose(shown.state["m"], 1.4)


# A demonstration, for those who only look.


@pytest.fixture
def seen(browser, address):
    """A tab in which things do come into view, and the folder of the chapters."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    yield context.new_page(), f"{address}/book"
    context.close()


# Keeps every state that a root has had since, as text, and when the last of them began.
WATCH = """(root, part) => {
    const find = new Function("l2l", `return JSON.stringify(${part})`);
    Object.assign(window, {had: [], since: performance.now()});
    const look = () => {
        const now = find(root.l2l);
        if (now !== had.at(-1)) { had.push(now); since = performance.now(); }
        requestAnimationFrame(look);
    };
    look();
}"""
ENDED = "had.length >= 3 && had.at(-1) === had[0] && performance.now() - since > 1500"


@pytest.mark.parametrize(
    ("page", "kind", "part", "states"),
    [
        ("playground", "adapt", "l2l.state", 11),  # steps 0 to 10
        ("playground", "metatrain", "[l2l.going, ...Object.values(l2l.seen).map(one => one.iteration)]", 3),
        ("01-few-shot", "learn", "l2l.state.pencil", 20),
        ("04-maml", "draw", "l2l.state", 20),
        ("03-line-10", "line10", "l2l", 10),
        ("03-line-10", "assemble", "l2l.state", 4),
        ("08-step-length", "step", "l2l.state", 20),
    ],
)
def test_a_demonstration_plays_once_and_leaves_everything_as_it_was(seen, page, kind, part, states):
    tab, book = seen
    tab.goto(f"{book}/{page}.html")
    root = tab.locator(f'[data-kind="{kind}"][data-live="yes"]')
    root.evaluate(WATCH, part)
    root.evaluate("root => root.scrollIntoView({block: 'center'})")
    tab.wait_for_function(ENDED, timeout=20_000)
    assert len(set(tab.evaluate("had"))) >= states
    assert "#" not in tab.url
    tab.evaluate("scrollTo(0, 0)")
    tab.evaluate("had.length = 0")
    root.evaluate("root => root.scrollIntoView({block: 'center'})")
    tab.evaluate("() => new Promise(done => setTimeout(done, 700))")
    assert len(tab.evaluate("had")) == 1


@pytest.mark.parametrize("why", ["touched", "reduced motion", "a link"])
def test_no_demonstration(seen, why):
    tab, book = seen
    if why == "reduced motion":
        tab.emulate_media(reduced_motion="reduce")
    tab.goto(f"{book}/playground.html" + ("#adapt?steps=7" if why == "a link" else ""))
    root = tab.locator('[data-kind="adapt"][data-live="yes"]')
    root.scroll_into_view_if_needed()
    steps = "document.querySelector('[data-kind=adapt]').l2l.state.steps"
    if why == "touched":
        tab.wait_for_function(f"{steps} < 10")
        root.get_by_label("amplitude A", exact=True).focus()
    tab.evaluate("() => new Promise(done => setTimeout(done, 700))")
    assert tab.evaluate(steps) == (7 if why == "a link" else 10)
