"""The explorers in WebKit, Safari's engine: WebKitGTK as a distribution packages it, by way of its WebDriver."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from conftest import HTML, PATIENCE, served
from explorers import ADDRESSES, STATE, UNSEEN, number
from test_explorer_pages import assert_it_trained_as_torch, assert_numbers_are_torchs
from test_learner import assert_errors, assert_same, executed, least_squares, places, task_of

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402 (where there is selenium)

DRIVER, SCREEN = map(shutil.which, ("WebKitWebDriver", "Xvfb"))
BROWSER = next(Path("/usr").glob("lib*/*/webkit2gtk-4.1/MiniBrowser"), None) if DRIVER else None
pytestmark = pytest.mark.filterwarnings("ignore:setting remote_server_addr:DeprecationWarning")  # selenium's own
PAGES = sorted(path.name for path in (HTML / "book").glob("*.html"))

# What goes wrong in a page; its driver has no word for it.
TROUBLES = """window.troubles = [];
addEventListener("error", event => troubles.push(event.message || `not loaded: ${event.target.src}`), true);
addEventListener("unhandledrejection", event => troubles.push(String(event.reason)));
console.error = (...words) => troubles.push(words.join(" "));"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages, each with a script before its own."""
    here = tmp_path_factory.mktemp("site")
    (here / "book").mkdir()
    for path in (*HTML.iterdir(), *(HTML / "book").iterdir()):
        copy = here / path.relative_to(HTML)
        if path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            copy.write_text(text.replace("<head>", f"<head><script>{UNSEEN}{TROUBLES}</script>", 1), encoding="utf-8")
        elif path.name != "book":
            copy.symlink_to(path)
    with served(here) as address:
        yield f"{address}/book"


@pytest.fixture(scope="module")
def driver():
    if None in (DRIVER, SCREEN, BROWSER):
        pytest.skip("no WebKitGTK with WebDriver, or no Xvfb here")
    screen = [SCREEN, "-displayfd", "1", "-screen", "0", "1300x1000x24", "-nolisten", "tcp"]
    options = webdriver.WebKitGTKOptions()
    options.binary_location = str(BROWSER)
    options.add_argument("--automation")
    with subprocess.Popen(screen, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as display:
        try:
            environment = {**os.environ, "DISPLAY": f":{display.stdout.readline().strip()}"}
            with webdriver.WebKitGTK(options, webdriver.WebKitGTKService(DRIVER, env=environment)) as started:
                started.set_script_timeout(PATIENCE / 1000)
                yield started
        finally:
            display.kill()


@pytest.fixture
def shown(driver, site):
    """Opens an explorer; in the end, nothing may have gone wrong in its page."""
    yield lambda name, **state: Explorer(driver, site, name, state)
    assert driver.execute_script("return troubles") == []


class Explorer:
    """What `explorers.Explorer` is in the other browsers."""

    def __init__(self, driver, site, name, state):
        self.driver, kind = driver, "adapt" if name == "try" else name
        driver.get("about:blank")
        driver.get(f"{site}/{ADDRESSES[name]}.html" + (f"#{name}?{urlencode(state)}" if state else ""))
        self.wait(f"document.querySelector('[data-kind={kind}][data-live=yes]')")
        self.root = driver.find_element("css selector", f"[data-kind={kind}]")

    def wait(self, condition):
        poll = "const done = arguments[0]; (function look() { %s ? done() : setTimeout(look, 20); })();"
        self.driver.execute_async_script(poll % condition)

    def settle(self):
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    @property
    def now(self):
        return json.loads(self.driver.execute_script(f"return JSON.stringify(({STATE})(arguments[0]))", self.root))

    @property
    def state(self):
        return self.now["state"]

    def rows(self):
        read = """return [...arguments[0].querySelectorAll("tbody tr")].map(
            row => [row.dataset.method, [...row.querySelectorAll("td")].map(cell => cell.innerText)])"""
        return dict(self.driver.execute_script(read, self.root))

    def named(self, selector, name):
        """The part that is seen and has this name, but for white space."""
        parts = self.root.find_elements("css selector", selector)
        found = next(x for x in parts if x.accessible_name.split() == name.split() and x.is_displayed())
        return self.in_view(found)

    def in_view(self, element):
        where = "{block: 'center', behavior: 'instant'}"  # pages scroll smoothly, and the driver doesn't wait
        self.driver.execute_script(f"arguments[0].scrollIntoView({where})", element)
        self.settle()
        return element

    def press(self, name):
        self.named("button", name).click()
        self.settle()

    def keys(self, element, *keys):
        element.send_keys(*keys)
        self.settle()

    def told(self):
        return self.root.find_element("css selector", ".l2l-told").text


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens(driver, site, page):
    driver.get(f"{site}/{page}")
    driver.execute_async_script("window.MathJax?.startup?.promise.then(arguments[0]) ?? arguments[0]()")
    waits = "return [...document.querySelectorAll('.l2l-explorer')].filter(e => e.dataset.live !== 'yes').length"
    assert driver.execute_script(waits) == 0
    assert driver.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
    assert driver.execute_script("return troubles") == []


def test_numbers_are_torchs(shown):
    seen, key = shown("adapt"), webdriver.Keys
    assert_numbers_are_torchs(seen)
    for label, press in (("adaptation steps", key.ARROW_LEFT), ("amplitude A", key.ARROW_LEFT), ("noise", key.END)):
        before = seen.rows()
        seen.keys(seen.named("input", label), press)
        assert seen.rows() != before
        assert_numbers_are_torchs(seen)
    seen.press("MAML diverges")
    assert number(seen.rows()["maml"][1]) > 1e3
    seen.press("Two points")
    assert_numbers_are_torchs(seen)


@pytest.mark.parametrize("name", ["adapt", "step", "line10"])
def test_what_is_copied_computes_what_is_shown(shown, name):
    seen = shown(name)
    seen.press("Copy as Python")
    found = executed(seen.named("pre, textarea, code", "Python").text)
    if name == "line10":
        assert {way: pytest.approx(values, rel=1e-9) for way, values in found.items()} == seen.now["directions"]
    else:
        columns, tolerance = (range(3), 6e-4) if name == "adapt" else ((1, 2, 3), 6e-3)
        assert_same(found, seen.rows(), columns, tolerance)


def test_it_trains_in_single_precision_as_torch_does(shown):
    seen = shown("metatrain")
    curves = "Object.values(document.querySelector('[data-kind=metatrain]').l2l.seen)"
    seen.wait(f"{curves}.length === 3")
    seen.press("Train")
    seen.wait(f"{curves}.every(one => one.iteration >= 50)")
    seen.press("Pause")
    for method, one in seen.now["seen"].items():
        assert one["precision"] == "single"
        assert_it_trained_as_torch(method, one["history"])


def draw(seen, curve):
    """Draw with the mouse."""
    actions = ActionBuilder(seen.driver, duration=0)
    mouse = actions.pointer_action
    plot = seen.in_view(seen.root.find_element("css selector", ".l2l-plot"))
    box = seen.driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", plot)
    for i, place in enumerate(places(box, curve)):
        mouse.move_to_location(*map(round, place))
        if i == 0:
            mouse.pointer_down()
    mouse.pointer_up()
    actions.perform()
    seen.settle()


def test_a_learner_draws_ten_curves(shown):
    seen = shown("learn")
    for i in range(10):
        draw(seen, least_squares(task_of(seen)))
        seen.press("Done")
        seen.press("Next curve" if i < 9 else "What have you learnt?")
    assert_errors(seen.state)
    for task, error in zip(seen.state["tasks"], seen.state["errors"]["ours"], strict=True):
        x, truth = np.linspace(-5, 5, 121), np.array(list(task["truth"].values()))
        exact = ((least_squares(task)(x) - truth) ** 2).mean()
        assert error == pytest.approx(exact, abs=0.02 * task["A"] ** 2 + 0.05)  # columns and whole pixels


def test_a_curve_in_numbers_by_keyboard(shown):
    seen = shown("learn")
    curve = least_squares(task_of(seen))
    seen.keys(seen.root.find_element("xpath", ".//summary[contains(., 'In words and numbers')]"), webdriver.Keys.ENTER)
    for x in range(-5, 6):
        field = seen.named("input", f"y at x {x}")
        field.clear()
        seen.keys(field, f"{curve(np.array([float(x)]))[0]:.2f}")
    seen.keys(seen.named("input", "y at x 5"), webdriver.Keys.ENTER)
    assert seen.state["phase"] == "shown"
    assert seen.state["errors"]["ours"][0] < 0.5


def test_line_10_is_put_together(shown):
    seen = shown("assemble")
    for line in (
        "φ[0] = θ",
        "for k = 0 … K−1:  φ[k+1] = φ[k] − α ∇L(φ[k]; support)",
        "v = ∇L(φ[K]; query)",
        "for k = K−1 … 0:  v = v − α H(φ[k]) v",
        "g = g + v / T",
    ):
        seen.press(line)
    seen.press("Run")
    assert "none beyond rounding. That is line 10: the exact meta-gradient." in seen.told()
