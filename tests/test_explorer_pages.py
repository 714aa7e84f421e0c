"""The explorers in the built pages, moved as a reader moves them; what they show is compared with torch.

No verdict depends on a clock. Timers are waited for, or run by hand; speed is work, counted in calls of functions.
`benchmarks/bench.py` measures it in seconds.
"""

import json
import math
import re
from dataclasses import asdict, replace

import nbformat
import numpy as np
import pytest
import torch
from conftest import HTML
from explorers import ADDRESSES, TIMEOUTS, Explorer, Work, in_chromium, number

import l2l
from l2l import explorer
from l2l.explorer._page import shipped_runs


def expected_errors(state):
    """Support error, query error and query error before adaptation of each network shown, from torch."""
    runs = shipped_runs()
    axis = torch.linspace(-4.9, 4.9, 50, dtype=torch.float64)[:, None]
    x = torch.tensor(state["x"], dtype=torch.float64)[:, None]

    def truth(x):
        return state["A"] * torch.sin(x + state["b"])

    y = truth(x) + torch.tensor(state["e"], dtype=torch.float64)[:, None]
    found = {}
    for method in state["show"]:
        run = runs.get(method, runs["maml"])
        kept = run.checkpoints[state["iteration"] if method in runs else 0]
        theta = {name: p[0].double() for name, p in kept.items()}
        phi = l2l.adapt(theta, x, y, alpha=state["alpha"], steps=state["steps"])
        errors = l2l.mse(phi, x, y), l2l.mse(phi, axis, truth(axis)), l2l.mse(theta, axis, truth(axis))
        found[method] = [float(error) for error in errors]
    return found


def assert_numbers_are_torchs(shown):
    expected, rows = expected_errors(shown.state), shown.rows()
    assert rows.keys() == expected.keys()
    for method, errors in expected.items():
        for text, error in zip(rows[method], errors, strict=True):
            assert number(text) == pytest.approx(error, rel=0.06, abs=6e-4), (method, text, error)


@pytest.mark.parametrize("book", ["by_http", "from_disk"], indirect=True)
def test_adapt_every_control_changes_the_numbers_to_torchs(tab, book):
    shown = Explorer(tab, book, "adapt")
    assert_numbers_are_torchs(shown)

    def moved(name, value, act):
        before = shown.rows()
        act()
        assert shown.state[name] == value, name
        assert shown.rows() != before, name
        assert_numbers_are_torchs(shown)

    moved("steps", 3, lambda: shown.slide("adaptation steps", "ArrowLeft", 7))
    moved("iteration", 5000, lambda: shown.slide("meta-training", "ArrowLeft", 2))
    moved("alpha", 0.015, lambda: shown.slide("step size α", "ArrowRight"))
    moved("A", 3.8, lambda: shown.slide("amplitude A", "ArrowLeft", 2))
    moved("b", 0.54, lambda: shown.slide("phase b", "ArrowRight", 2))
    moved("noise", 0.1, lambda: shown.slide("noise", "ArrowRight", 2))
    moved("half", False, lambda: shown.tick("points on one half of the axis"))
    assert min(shown.state["x"]) < 0
    moved("half", True, lambda: shown.tick("points on one half of the axis"))
    assert min(shown.state["x"]) >= 0
    few = shown.state["x"]
    moved("show", ["maml", "fomaml", "pretrain"], lambda: shown.tick("untrained"))
    shown.slide("support points", "ArrowRight", 2)
    assert shown.state["x"][:5] == few  # the others stay
    assert len(shown.state["x"]) == 7
    assert_numbers_are_torchs(shown)
    moved("seed", 2, lambda: shown.press("Draw other points"))
    for preset in explorer.PRESETS:
        shown.press(preset["name"])
        assert shown.state["x"] == preset["x"]
        assert shown.state["A"] == preset["A"]
    assert number(shown.rows()["maml"][1]) > 1e3  # it diverges there
    shown.press("Two points")
    assert_numbers_are_torchs(shown)


def test_values_between_the_sliders_positions_are_shown_as_they_are(tab, book):
    shown = Explorer(tab, book, "adapt", A=3.14, b=2.71, alpha=0.012, steps=7, x="-2.5,0.1,3.3", e="0,0,0.25")
    assert_numbers_are_torchs(shown)
    for label, text in (("amplitude A", "3.14"), ("phase b", "2.71"), ("step size α", "0.012"), ("noise", "0.00")):
        assert shown.root.get_by_label(label, exact=True).get_attribute("aria-valuetext") == text


def test_adapt_plays(tab, book):
    """Six times a second, says the timer that it sets. Here a hand runs it."""
    shown = Explorer(tab, book, "adapt", steps=0, x="-2,1", e="0,0")
    tab.evaluate(
        """() => {
             window.timers = new Map();
             window.setInterval = (action, delay) => { const id = {}; timers.set(id, {action, delay}); return id; };
             window.clearInterval = id => timers.delete(id);
           }"""
    )

    def tick(times):
        for _ in range(times):
            tab.evaluate("timers.forEach(({action}) => action())")
            shown.settle()

    shown.press("Play")
    assert tab.evaluate("[...timers.values()].map(({delay}) => delay)") == pytest.approx([1000 / 6])
    assert shown.state["steps"] == 1
    tick(3)
    assert shown.state["steps"] == 4
    assert_numbers_are_torchs(shown)
    shown.press("Pause")
    tick(2)
    assert tab.evaluate("timers.size") == 0
    assert shown.state["steps"] == 4
    shown.press("Play")
    tick(60)
    assert tab.evaluate("timers.size") == 0  # it ends
    assert shown.state["steps"] == 50
    shown.press("Play")
    assert shown.state["steps"] == 0  # and begins again
    shown.slide("step size α", "ArrowRight")
    assert tab.evaluate("timers.size") == 0  # the reader has taken over


@in_chromium
def test_points_follow_mouse_finger_and_keys(tab, book):
    shown = Explorer(tab, book, "adapt", A=3, b=1, x="-3,0,2", e="0,0,0", steps=1, iteration=70000)
    width = shown.root.locator(".l2l-plot").first.locator("svg").bounding_box()["width"]  # of ten units of x

    x, y = shown.middle("support point 1")
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 0.05 * width, y + 60, steps=4)
    tab.mouse.up()
    shown.settle()
    assert shown.state["x"][0] == pytest.approx(-2.5, abs=0.03)
    assert shown.state["e"][0] < -0.3  # below the curve now
    assert_numbers_are_torchs(shown)

    x, y = shown.middle("support point 2")
    fingers = tab.context.new_cdp_session(tab)
    for kind, points in (
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x + 0.05 * width, "y": y}]),
        ("touchMove", [{"x": x + 0.1 * width, "y": y}]),
        ("touchEnd", []),
    ):
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    shown.settle()
    assert shown.state["x"][1] == pytest.approx(1.0, abs=0.03)
    assert_numbers_are_torchs(shown)

    shown.handle("support point 3").focus()
    for key in ("ArrowLeft", "Shift+ArrowLeft", "ArrowUp", "ArrowUp"):
        tab.keyboard.press(key)
    shown.settle()
    assert shown.state["x"][2] == pytest.approx(0.9)
    assert shown.state["e"][2] == pytest.approx(0.2)
    assert shown.handle("support point 3").get_attribute("aria-valuetext").startswith("x 0.90, y ")
    assert_numbers_are_torchs(shown)
    outline = tab.evaluate("getComputedStyle(document.activeElement.querySelector('.l2l-reach')).stroke")
    assert outline not in ("none", "rgba(0, 0, 0, 0)")  # focus is seen

    for _ in range(15):
        tab.keyboard.press("Shift+ArrowRight")
    shown.settle()
    assert shown.state["x"][2] == 5  # it stays on the axis


def state_of(text):
    return dict(part.split("=") for part in text.split())


ADAPTED = state_of(
    "A=2.5 b=4 x=-4,-1.5,0.25,3 e=0,0.5,0,0 noise=0.5 half=0 seed=9 alpha=0.005 steps=17 iteration=1000 "
    "show=maml,pretrain"
)
BENT = state_of("d=2 theta=1,-1 c=-1,0.5,1,1 h=0.5,1,2,0.25 a=0.3,-0.5 alpha=0.3 steps=4 bend=0.2 equal=0")
TRAINED = state_of(
    "methods=maml,reptile,meta-sgd alpha=0.02 steps=10 tasks=10 shots=4 seed=5 fit=2 lowA=1 highA=2.5 lowB=0.5 highB=6"
)


@pytest.mark.parametrize("book", ["by_http", "from_disk"], indirect=True)
@pytest.mark.parametrize(
    ("name", "state", "act"),
    [
        ("adapt", ADAPTED, lambda shown: shown.slide("adaptation steps", "ArrowRight", 4)),
        ("try", {"steps": 2}, lambda shown: shown.press("Two points")),
        ("line10", BENT, lambda shown: shown.slide("inner steps K", "ArrowLeft")),
        ("metatrain", TRAINED, lambda shown: shown.slide("adaptation steps shown", "ArrowRight")),
    ],
)
def test_the_address_leads_back_to_the_moment(tab, book, name, state, act):
    first = Explorer(tab, book, name, **state)
    for key, value in state.items():
        held = first.state.get({"d": "dims"}.get(key, key))
        if name != "line10" or key in ("d", "alpha", "steps", "bend"):
            assert (",".join(map(str, held)) if isinstance(held, list) else float(held)) in (value, float_or(value))
    before = first.state
    act(first)
    changed = first.state
    assert changed != before
    first.rest()  # the address is written once things are quiet
    link = first.address
    assert f"#{name}?" in link  # and not that of another explorer in the page
    tab.goto("about:blank")
    tab.goto(link)
    first.root.wait_for()
    first.settle()
    assert first.state == changed


def float_or(text):
    try:
        return float(text)
    except ValueError:
        return text


def test_opening_a_page_leaves_its_address_alone(tab, book):
    shown = Explorer(tab, book, "adapt")
    shown.rest()
    assert "#" not in shown.address
    shown.slide("adaptation steps", "ArrowRight")
    shown.rest()
    assert "#adapt?" in shown.address


def test_nonsense_in_the_address_does_no_harm(tab, book):
    shown = Explorer(tab, book, "adapt", A="NaN", x="a,b", steps="1e99", iteration=17, show="nobody", alpha=-1)
    assert shown.state["x"] == explorer.PRESETS[0]["x"]
    assert shown.state["steps"] == 50
    assert shown.state["alpha"] == 0.001
    assert shown.state["show"] == []
    shown = Explorer(tab, book, "line10", d=2, theta="0", c="1,1", h="0", a="")
    assert shown.state["dims"] == 1


# Line 10.


def autograd_directions(state):
    """The four directions, by differentiating the program."""
    tasks = [{k: torch.tensor(v, dtype=torch.float64) for k, v in task.items()} for task in state["tasks"]]
    theta = torch.tensor(state["theta"], dtype=torch.float64)
    alpha, K, bend = state["alpha"], state["steps"], state["bend"]

    def loss(task, at):
        away = at - task["c"]
        if len(away) == 2:
            cos, sin = torch.cos(task["a"]), torch.sin(task["a"])
            away = torch.stack([cos * away[0] + sin * away[1], -sin * away[0] + cos * away[1]])
        return (task["h"] * (away**2 / 2 + bend * away**4 / 4)).sum()

    def slope(task, at, graph=False):
        return torch.autograd.grad(loss(task, at), at, create_graph=graph)[0]

    found = {}
    for way in ("exact", "first", "frozen", "reptile"):
        total = torch.zeros_like(theta)
        for task in tasks:
            start = theta.clone().requires_grad_()
            phi = start
            for _ in range(K):
                g = slope(task, phi, graph=True)
                phi = phi - alpha * (g if way == "exact" else g.detach())
            if way == "reptile":
                total += (start - phi).detach() / alpha
            elif way == "frozen":
                H = torch.autograd.functional.hessian(lambda at, task=task: loss(task, at), theta)
                J = torch.eye(len(theta), dtype=theta.dtype) - alpha * H
                total += torch.linalg.matrix_power(J, K) @ slope(task, phi.detach().requires_grad_())
            else:
                total += torch.autograd.grad(loss(task, phi), start)[0]
        found[way] = total / len(tasks)
    return found


def assert_directions_are_autograds(shown):
    now = shown.now
    for way, expected in autograd_directions(now["state"]).items():
        assert now["directions"][way] == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-12), way


SCENES = (
    {},
    state_of("d=1 theta=-0.7 c=0.5,-1.5,1 h=1.5,0.3,0.9 a=0,0,0 alpha=0.7 steps=3 bend=0.14"),
    state_of("d=2 theta=1,-1 c=-1,0.5,1,1 h=0.5,1,2,0.25 a=0.3,-0.5 alpha=0.3 steps=1 bend=0"),
    state_of("d=2 theta=-1.2,0.9 c=-1,0.5,1,1,0.2,-1 h=0.5,1,2,0.25,0.4,1.1 a=0.3,-0.5,2 alpha=0.4 steps=5 bend=0.1"),
)


@pytest.mark.parametrize("state", SCENES)
def test_line10_directions_are_autograds(tab, book, state):
    shown = Explorer(tab, book, "line10", **state)
    assert_directions_are_autograds(shown)


def test_line10_where_steps_explode(tab, book):
    tasks = {"c": "-2,2,2,2", "h": "4,4,0.08,4", "a": "0,9"}
    shown = Explorer(tab, book, "line10", d=2, theta="2.9,-2", **tasks, alpha=1.2, steps=10, bend=0.5)
    shown.press("Play")
    tab.wait_for_function("() => !document.querySelector('[data-kind=line10]').l2l.playing")
    shown.settle()
    assert {row[3] for row in shown.rows().values()} == {"diverges"}


def test_line10_controls(tab, book):
    shown = Explorer(tab, book, "line10")

    def moved(act):
        before = shown.rows()
        act()
        assert shown.rows() != before
        assert_directions_are_autograds(shown)

    moved(lambda: shown.slide("step size α", "ArrowRight", 3))
    moved(lambda: shown.slide("inner steps K", "ArrowRight", 2))
    moved(lambda: shown.slide("bend κ", "ArrowRight", 4))
    moved(lambda: shown.slide("tasks", "ArrowRight"))
    moved(lambda: shown.press("2 parameters"))
    moved(lambda: shown.press("1 parameter"))
    assert len(shown.state["tasks"]) == 3  # as it was left
    for preset in explorer.QUADRATICS:
        shown.press(preset["name"])
        assert shown.state["theta"] == preset["theta"]
        assert_directions_are_autograds(shown)
    shown.press("Two valleys")

    def arrow():
        return shown.root.locator(".l2l-arrow:visible").first.get_attribute("d")

    before = arrow()
    shown.tick("arrows of equal length")
    assert arrow() != before


def test_line10_handles_by_mouse_and_keys(tab, book):
    shown = Explorer(tab, book, "line10", **SCENES[2])
    for label, read in (
        ("minimum of task 2", lambda s: s["tasks"][1]["c"]),
        ("curvature 1 of task 1", lambda s: (s["tasks"][0]["h"][0], s["tasks"][0]["a"])),
        ("curvature 2 of task 2", lambda s: s["tasks"][1]["h"][1]),
        ("start θ", lambda s: s["theta"]),
    ):
        before = read(shown.state)
        x, y = shown.middle(label)
        tab.mouse.move(x, y)
        tab.mouse.down()
        tab.mouse.move(x + 20, y - 25, steps=3)
        tab.mouse.up()
        shown.settle()
        assert read(shown.state) != before, label
        here = shown.middle(label)
        if "curvature 2" not in label:  # that one moves along its axis alone
            assert here == pytest.approx((x + 20, y - 25), abs=2.5)
        before = read(shown.state)
        shown.handle(label).focus()
        tab.keyboard.press("ArrowLeft")
        tab.keyboard.press("ArrowDown")
        shown.settle()
        assert read(shown.state) != before, label
        assert_directions_are_autograds(shown)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
@in_chromium
def test_line10_each_descent_comes_to_rest(tab, book, motion):
    tab.emulate_media(reduced_motion=motion)
    work = Work(tab)
    shown = Explorer(tab, book, "line10")
    for preset in explorer.QUADRATICS:
        shown.press(preset["name"])
        rest = shown.now["rest"]
        work.done("line10")
        shown.press("Play")
        tab.wait_for_function("() => !document.querySelector('[data-kind=line10]').l2l.playing")
        shown.settle()
        done = work.done("line10")
        if motion == "reduce":
            assert done["draw"] == 1  # nothing moves
        else:
            assert done["refresh"] > 10
            assert done["iteration"] <= 2 * done["refresh"]  # all of it is shown
        now = shown.now
        for way, place in now["places"].items():
            if rest[way]:
                assert place == pytest.approx(rest[way], abs=1e-3), way
                resting = autograd_directions(now["state"] | {"theta": rest[way]})[way]
                assert resting.norm() < 1e-9
            elif preset["bend"]:
                assert autograd_directions(now["state"] | {"theta": place})[way].norm() < 1e-3
            else:
                assert "diverges" in shown.rows()[way][3]
                assert math.dist(place, [0]) > 40
        shown.press("Back to the start θ")
        assert shown.now["places"] is None


# Meta-training.


# Keeps what a page sends to its workers, and makes each answer `timeouts()` with how many timeouts it waits for.
# Messages come in the order in which they were sent, so the answer tells what became of all that was sent before it.
WORKERS = """(() => {
    const post = Worker.prototype.postMessage, ours = [], texts = window.Blob, pages = window.Worker;
    window.sent = [];
    Worker.prototype.postMessage = function (message) { sent.push(message); return post.call(this, message); };
    window.Blob = class extends texts {
        constructor(parts, ...more) {
            super([`const waiting = new Set(), {setTimeout: set, clearTimeout: clear} = self;
                    self.setTimeout = (action, ...more) => {
                        const id = set(() => { waiting.delete(id); action(); }, ...more);
                        waiting.add(id);
                        return id;
                    };
                    self.clearTimeout = id => { waiting.delete(id); clear(id); };
                    addEventListener("message", event => {
                        if (event.data !== "timeouts") return;
                        event.stopImmediatePropagation();
                        postMessage({timeouts: waiting.size});
                    });`, ...parts], ...more);
        }
    };
    window.Worker = class extends pages {
        constructor(...given) {
            super(...given);
            ours.push(this);
            this.addEventListener("message", event => {
                if (!("timeouts" in event.data)) return;
                event.stopImmediatePropagation();
                this.answered(event.data.timeouts);
            });
        }
    };
    window.timeouts = () => Promise.all(ours.map(worker => new Promise(answered => {
        worker.answered = answered;
        post.call(worker, "timeouts");
    })));
})();"""


TRAINING = "document.querySelector('[data-kind=metatrain]').l2l"
SEEN = f"Object.values({TRAINING}.seen)"
STARTED = f"{SEEN}.length === 3"


def as_sent(family):
    """As JSON has it: ranges are lists."""
    return json.loads(json.dumps(asdict(family)))


def assert_it_trained_as_torch(method, history):
    run = l2l.train(l2l.TrainConfig(method=method, iterations=50, log_every=50), progress=False)
    norms = dict(zip(history["iteration"], history["norm"], strict=True))
    for i, expected in zip((0, 50), run.history["initial_gradient_norm"][:, 0].tolist(), strict=True):
        assert norms[i] == pytest.approx(expected, rel=5e-3)


def test_metatrain_trains_pauses_and_starts_again(tab, book):
    tab.add_init_script(WORKERS)
    shown = Explorer(tab, book, "metatrain")
    tab.wait_for_function(STARTED)
    shown.rest()
    first = tab.evaluate("sent.filter(m => m.settings).map(m => m.settings)")
    assert [settings["method"] for settings in first] == ["maml", "fomaml", "pretrain"]
    config, family = l2l.TrainConfig(), l2l.SineTasks()
    for settings in first:
        for name in ("alpha", "steps", "tasks", "shots", "query", "beta"):
            assert settings[name] == getattr(config, name)
        assert settings["family"] == as_sent(family)
        assert settings["train"] == l2l.tasks.stream(l2l.tasks.TRAIN, 0).initial_seed()
    start = shown.rows()
    shown.press("Train")
    tab.wait_for_function(f"{SEEN}.every(one => one.iteration >= 60)")
    assert tab.evaluate("timeouts()") == [1, 1, 1]  # the next updates
    shown.press("Pause")
    assert tab.evaluate("timeouts()") == [0, 0, 0]  # nothing in the workers will go on
    shown.rest()
    now = shown.now
    assert {one["precision"] for one in now["seen"].values()} == {"single"}
    for method in ("maml", "fomaml", "pretrain"):
        assert_it_trained_as_torch(method, now["seen"][method]["history"])
    assert shown.rows() != start
    shown.press("Resume")
    tab.wait_for_function(f"{TRAINING}.seen.maml.iteration > {now['seen']['maml']['iteration']}")
    shown.press("Reset")
    tab.wait_for_function(f"{SEEN}.every(one => one.iteration === 0) && {STARTED}")
    shown.rest()
    assert shown.rows() == start
    shown.slide("adaptation steps shown", "ArrowLeft", 10)  # begins nothing afresh
    assert shown.state["fit"] == 0
    messages = tab.evaluate("sent.length")
    for label, key, name, value in (
        ("step size α", "ArrowRight", "alpha", 0.02),
        ("inner steps", "ArrowRight", "steps", 2),
        ("tasks per batch", "ArrowLeft", "tasks", 20),
        ("shots", "ArrowLeft", "shots", 9),
        ("seed", "ArrowRight", "seed", 1),
        ("amplitude to", "ArrowRight", "family", as_sent(replace(family, amplitude=(0.1, 5.1)))),
    ):
        shown.slide(label, key)
        messages += 3
        assert tab.evaluate("sent.length") == messages
        assert tab.evaluate(f"sent.at(-1).settings.{name}") == value
    assert tab.evaluate("sent.at(-1).settings.train") == l2l.tasks.stream(l2l.tasks.TRAIN, 1).initial_seed()


def test_a_method_joins_or_leaves_while_the_others_train(tab, book):
    shown = Explorer(tab, book, "metatrain")
    tab.wait_for_function(STARTED)
    shown.press("Train")
    shown.tick("Meta-SGD")
    tab.wait_for_function(f"{TRAINING}.seen['meta-sgd']?.iteration > 0")
    shown.tick("MAML")
    shown.press("Pause")
    shown.settle()
    assert shown.rows().keys() == {"fomaml", "pretrain", "meta-sgd"}
    assert shown.now["seen"].keys() == {"fomaml", "pretrain", "meta-sgd"}
    rates = list(shown.now["seen"]["meta-sgd"]["rates"].values())
    assert len(set(rates)) > 1000  # each parameter has learnt its own
    assert len(set(shown.now["seen"]["fomaml"]["rates"].values())) == 1


def test_without_webassembly_it_trains_in_plain_javascript(tab, book):
    """As under a content policy that lets no WebAssembly run, or in a browser that has no SIMD."""
    tab.add_init_script(
        """window.Blob = class extends Blob {
             constructor(parts, ...more) { super(["self.WebAssembly = undefined;", ...parts], ...more); }
           };"""
    )
    shown = Explorer(tab, book, "metatrain")
    tab.wait_for_function(STARTED)
    shown.press("Train")
    tab.wait_for_function(f"{SEEN}.every(one => one.iteration >= 10)")
    shown.press("Pause")
    assert {one["precision"] for one in shown.now["seen"].values()} == {"double"}


def test_nothing_goes_on_when_its_cell_is_gone(tab, book):
    tab.add_init_script(
        """(() => {
             window.alive = {workers: 0, urls: 0};
             const {createObjectURL, revokeObjectURL} = URL;
             URL.createObjectURL = blob => { alive.urls++; return createObjectURL.call(URL, blob); };
             URL.revokeObjectURL = url => { alive.urls--; return revokeObjectURL.call(URL, url); };
             window.Worker = class extends Worker {
               constructor(...given) { super(...given); alive.workers++; }
               terminate() { alive.workers--; super.terminate(); }
             };
           })();"""
    )
    shown = Explorer(tab, book, "metatrain")
    tab.wait_for_function(STARTED)
    shown.press("Train")
    assert tab.evaluate("alive.workers") == 3
    assert tab.evaluate("alive.urls") == 1
    shown.root.evaluate("root => root.remove()")
    tab.evaluate("() => new Promise(done => setTimeout(done))")
    assert tab.evaluate("[alive.workers, alive.urls]") == [0, 0]


@in_chromium
def test_the_page_stays_alive_while_it_trains(tab, book):
    """All training is the workers'. For each of their messages the page adapts each network at most once, to draw."""
    work = Work(tab)
    shown = Explorer(tab, book, "metatrain")
    tab.wait_for_function(STARTED)
    work.done("metatrain")
    shown.press("Train")
    tab.wait_for_function(f"{SEEN}.every(one => one.iteration >= 200)")
    shown.slide("adaptation steps shown", "ArrowLeft", 3)  # the page listens
    assert shown.state["fit"] == 7
    assert shown.now["going"]
    shown.press("Pause")
    shown.rest()
    done = work.done("metatrain")
    assert done["receive"] >= 3
    assert 1 <= done["draw"] <= done["receive"] + 3  # keys pressed
    assert done["gradient"] <= 10 * 3 * done["draw"]
    assert done["sweep"] <= 3 * done["draw"]
    assert not {"begin", "update", "measure", "sampleTasks", "metaGradient", "batchGradient", "adam"} & (+done).keys()


# What all of them owe the reader.


def blocks(page):
    return re.findall(
        r'<div class="l2l-explorer".*?</script>\n</div>', (HTML / f"{page}.html").read_text("utf-8"), re.S
    )


@pytest.mark.parametrize(
    ("page", "count"),
    [
        ("book/index", 2),
        ("book/playground", 2),
        ("book/01-few-shot", 2),
        ("book/03-line-10", 2),
        ("book/08-step-length", 1),
    ],
)
def test_size_and_self_containment(page, count):
    found = blocks(page)
    assert len(found) == count
    assert sum(len(block.encode()) for block in found) <= 900_000
    for block in found:
        assert not re.search(r'(src|href)="(?!data:)', block)
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", block)


@pytest.mark.parametrize(
    ("chapter", "names"),
    [("01-few-shot", ["learn"]), ("03-line-10", ["line10", "assemble"]), ("08-step-length", ["step"])],
)
def test_the_notebooks_output_is_that_of_the_source(chapter, names):
    """Nobody forgot to execute a chapter after a change. The still picture may differ in bytes."""
    notebook = nbformat.read(HTML.parent.parent / "book" / f"{chapter}.ipynb", as_version=4)
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs if "data" in o]
    kept = ["".join(o["data"].get("text/html", "")) for o in outputs]
    still = re.compile(r'src="data:image/png[^"]*"')
    for name in names:
        (shown,) = (html for html in kept if f'data-kind="{name}"' in html)
        assert still.sub("", shown) == still.sub("", getattr(explorer, name)().html), "make notebooks"


@pytest.mark.parametrize("name", ADDRESSES)
def test_without_javascript_a_picture_and_a_sentence(browser, book, name):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{book}/{ADDRESSES[name]}.html")
    for still in tab.locator(".l2l-still").all():
        assert still.locator("img").is_visible()
        assert still.locator("img").bounding_box()["height"] > 150
        assert "still picture" in still.inner_text()
    context.close()


def test_a_missing_weight_leaves_the_picture(browser, tmp_path):
    html = explorer.adapt(compact=True).html
    weights = re.search(r'"pretrain":\{"70000":"([^"]+)"', html)[1]
    for broken in (html.replace(weights, weights[:400]), html.replace(weights, "!")):
        page = tmp_path / "page.html"
        page.write_text(f"<!doctype html><meta charset=utf-8><body>{broken}", encoding="utf-8")
        context = browser.new_context()
        tab = context.new_page()
        tab.goto(page.as_uri())
        assert tab.locator(".l2l-still img").is_visible()
        assert "could not start" in tab.locator(".l2l-still").inner_text()
        assert tab.locator(".l2l-panel").count() == 0
        context.close()


def test_as_notebook_output_twice_in_one_page(browser):
    """A notebook puts HTML in and runs its scripts afterwards; the same explorer may be shown by two cells."""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto("about:blank")
    for _ in range(2):
        tab.evaluate(
            """html => {
                 const cell = document.createElement("div");
                 cell.innerHTML = html;
                 document.body.append(cell);
                 for (const old of cell.querySelectorAll("script")) {
                   const script = document.createElement("script");
                   script.textContent = old.textContent;
                   old.replaceWith(script);
                 }
               }""",
            explorer.line10().html,
        )
    assert tab.locator('.l2l-explorer[data-live="yes"] .l2l-panel').count() == 2
    assert tab.url == "about:blank"  # only a page of the book has an address to write
    context.close()


# What an explorer may do before its first picture is there: its share of draws, and what those need.
FIRST = {
    "adapt": {"draw": 2, "gradient": 2 * 4 * 50, "sweep": 2 * 4 * 52, "make": 800},
    "line10": {"draw": 2, "innerPath": 2 * 5 * 2, "direction": 2 * 4, "make": 800},
    "metatrain": {"draw": 2, "gradient": 0, "sweep": 0, "make": 500},
}


@pytest.mark.parametrize("name", FIRST)
def test_from_disk_it_is_there_when_the_page_is_read_and_nothing_jumps(browser, name):
    """No waiting for a script that comes later, for a font, for a file, for a worker."""
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})
    context.add_init_script(TIMEOUTS)
    context.add_init_script("window.Worker = class { postMessage() {} terminate() {} };")  # that never answers
    tab, requests = context.new_page(), []
    tab.on("request", lambda request: requests.append(request.url))
    tab.add_init_script(
        f"""document.addEventListener("readystatechange", () => {{  // read; deferred scripts come after this
              const root = document.querySelector("[data-kind={name}]"), {{top, height}} = root.getBoundingClientRect();
              const seen = part => root.querySelector(part)?.checkVisibility() ?? null;
              const pictures = [seen(".l2l-panel svg.l2l-plot path"), seen(".l2l-still")];
              window.early ??= {{live: root.dataset.live, pictures, top: top + scrollY, height}};
            }});"""
    )
    work = Work(tab)
    tab.goto(f"{HTML.as_uri()}/book/{ADDRESSES[name]}.html")
    early = tab.evaluate("early")
    assert early["live"] == "yes"
    assert early["pictures"] == [True, False]  # a plot, and the still picture no more
    done = work.done(name)
    for what, most in FIRST[name].items():
        assert done[what] <= most, (what, done[what])
    assert [url for url in requests if not url.startswith((HTML.as_uri(), "data:", "blob:"))] == []
    tab.wait_for_function("document.fonts.status === 'loaded' && waiting.size === 0")
    box = tab.locator(f"[data-kind={name}]").bounding_box()
    assert box["height"] == pytest.approx(early["height"], abs=2)
    if tab.locator(".math").count() == 0:  # formulas move the text when they are set
        assert box["y"] + tab.evaluate("scrollY") == pytest.approx(early["top"], abs=2)
    context.close()


@in_chromium
def test_what_one_move_of_a_point_costs(tab, book):
    """Four networks, 50 steps, error curves and all, are computed once for a frame. No axis is drawn again."""
    work = Work(tab)
    shown = Explorer(tab, book, "adapt")
    tab.wait_for_function(STARTED)
    shown.rest()
    x, y = shown.middle("support point 3")
    tab.mouse.move(x, y)
    tab.mouse.down()
    shown.settle()
    elements = tab.evaluate("document.querySelectorAll('*').length")
    work.done("adapt")
    for i in range(1, 21):
        tab.mouse.move(x + 50 * math.sin(i / 5), y)
    shown.settle()
    done = work.done("adapt")
    assert 1 <= done["moved"] <= 20
    assert 1 <= done["draw"] <= done["moved"]
    assert_cost_of_drawing(done)
    place = shown.state["x"][2]
    tab.evaluate(  # a mouse that is faster than the screen
        """([x, y]) => {
             for (let i = 0; i < 10; i++) document.activeElement.dispatchEvent(
               new PointerEvent("pointermove", {clientX: x - 5 * i, clientY: y, bubbles: true}));
           }""",
        [x, y],
    )
    shown.settle()
    done = work.done("adapt")
    assert (done["moved"], done["draw"]) == (10, 1)
    assert_cost_of_drawing(done)
    tab.mouse.up()
    shown.settle()
    assert shown.state["x"][2] != place
    assert tab.evaluate("document.querySelectorAll('*').length") == elements
    assert_numbers_are_torchs(shown)


def assert_cost_of_drawing(done):
    draws, networks, steps = done["draw"], 4, 50
    assert done["adaptationPath"] == draws * networks
    assert done["gradient"] == draws * networks * steps
    assert done["sweep"] == draws * networks * (1 + steps + 1)  # the curve, and the query error after each step
    assert done["mlp"] == draws * networks  # the support error after the last
    assert done["html"] <= draws * networks * 6  # the table's cells
    assert done["svg"] == done["fit"] == 0


def test_it_follows_the_pages_colour_scheme(tab, book):
    shown = Explorer(tab, book, "line10")
    for theme, dark in (("dark", True), ("light", False)):
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        shown.settle()
        assert (shown.root.get_attribute("data-dark") is not None) == dark


def test_methods_differ_without_colour(tab, book):
    for name, count in (("adapt", 7), ("line10", 4), ("metatrain", 6)):
        shown = Explorer(tab, book, name)
        styles = shown.root.locator(".l2l-swatch path").evaluate_all(
            "lines => [...new Set(lines.map(l => `${l.style.strokeDasharray} ${l.style.strokeWidth}`))]"
        )
        assert len(styles) == count


def test_every_control_has_a_name_and_is_reached_by_tab(tab, book):
    for name in ADDRESSES:
        shown = Explorer(tab, book, name)
        controls = shown.root.locator(
            ":is(button:enabled, input:enabled, [role=slider], [role=region], summary):visible"
        )
        count = controls.count()
        controls.first.focus()
        seen = set()
        for _ in range(count):
            seen.add(tab.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
            tab.keyboard.press("Tab")
        assert len(seen) == count
        for control in controls.all():
            snapshot = control.aria_snapshot()
            assert '"' in snapshot or "text:" in snapshot, snapshot


def test_values_are_announced(tab, book):
    shown = Explorer(tab, book, "adapt")
    shown.slide("adaptation steps", "ArrowRight")
    status = shown.root.locator(".l2l-spoken")
    shown.rest()
    assert status.inner_text().startswith("Adaptation steps: 11. Query error: ")
    assert json.dumps(shown.rows()["maml"][1])[1:-1] in status.inner_text()


@pytest.fixture
def pencil(tab, book):
    """The curve to be drawn in chapter 4, with its two answers."""
    tab.goto(f"{book}/04-maml.html")
    root = tab.locator('[data-kind="draw"][data-live="yes"]')
    root.wait_for()
    root.scroll_into_view_if_needed()
    return root


def drawn(root):
    return np.array(root.evaluate("root => root.l2l.state.curve"))


def test_a_curve_drawn_with_the_pointer_is_compared_with_the_answers(tab, pencil):
    show = pencil.get_by_role("button", name="Show the answer")
    assert show.is_disabled()  # before anything is drawn
    box = pencil.locator(".l2l-plot").bounding_box()
    left, width = box["x"] + 52, box["width"] - 52 - 16  # what the axes hold
    tab.mouse.move(left, box["y"] + 60)
    tab.mouse.down()
    tab.mouse.move(left + width / 2, box["y"] + 200)  # columns between the two places are drawn too
    tab.mouse.move(left + width, box["y"] + 100)
    tab.mouse.up()
    curve = drawn(pencil)
    fall, rise = np.diff(curve)[:20], np.diff(curve)[20:]
    assert (fall < 0).all()
    assert (rise > 0).all()
    np.testing.assert_allclose(fall, fall[0])
    show.click()
    x = np.linspace(-5, 5, 101)
    mine = np.interp(x, np.linspace(-5, 5, 41), curve)
    truth = 4.0 * np.sin(x + 0.5)
    row = pencil.locator('tr[data-method="truth"] td').inner_text()
    assert abs(float(row) - ((mine - truth) ** 2).mean()) < 0.002 * float(row) + 0.06  # what is shown is rounded
    assert pencil.locator('tr[data-method="maml"]').is_visible()
    assert pencil.locator(".l2l-plot path.l2l-line:visible").count() == 3
    pencil.get_by_role("button", name="Start again").click()
    assert not drawn(pencil).any()
    assert show.is_disabled()
    assert not pencil.locator("table").is_visible()


def test_a_curve_is_drawn_with_the_keyboard_alone(tab, pencil):
    pencil.get_by_role("slider", name="pen").focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowRight", "Shift+ArrowDown", "Shift+ArrowLeft", "ArrowUp"):
        tab.keyboard.press(key)
    curve = drawn(pencil)
    expected = np.interp(np.arange(41), [17, 20, 21], [0.3, 0.2, -0.8])  # lines between what is drawn, level beyond it
    np.testing.assert_allclose(curve, expected, atol=1e-9)
    assert pencil.get_by_role("slider", name="pen").get_attribute("aria-valuenow") == "0.3"
    assert pencil.get_by_role("button", name="Show the answer").is_enabled()
