"""The explorers of the built pages, as tests move them."""

import math
from collections import Counter
from urllib.parse import urlencode

import pytest

ADDRESSES = {
    "adapt": "playground",
    "metatrain": "playground",
    "line10": "03-line-10",
    "assemble": "03-line-10",
    "step": "08-step-length",
    "learn": "index",
    "try": "index",
}
STATE = "root => JSON.parse(JSON.stringify(root.l2l, (key, v) => typeof v === 'number' && !isFinite(v) ? null : v))"


in_chromium = pytest.mark.parametrize("tab", ["browser"], indirect=True)
"""What needs the tools of its developers: which functions ran, touch."""

# Keeps the timeouts that a page has set and that have not run out, so that `Explorer.rest` can wait for the last.
TIMEOUTS = """(() => {
    const waiting = window.waiting = new Set(), {setTimeout, clearTimeout} = window;
    window.setTimeout = (action, ...more) => {
        const id = setTimeout((...values) => { waiting.delete(id); action(...values); }, ...more);
        waiting.add(id);
        return id;
    };
    window.clearTimeout = id => { waiting.delete(id); clearTimeout(id); };
})();"""


# Nothing is ever seen to come into view, so that no explorer plays its demonstration.
UNSEEN = "window.IntersectionObserver = class { observe() {} unobserve() {} disconnect() {} };"


class Work:
    """How often the functions of an explorer's script have been called, in the page's own thread; no worker's count."""

    def __init__(self, tab):  # before the page is opened
        self.session, self.scripts = tab.context.new_cdp_session(tab), {}
        self.session.send("Profiler.enable")
        self.session.send("Profiler.startPreciseCoverage", {"callCount": True, "detailed": False})

    def done(self, kind):
        """Calls since the last look, by the function's name."""
        calls = Counter()
        for script in self.session.send("Profiler.takePreciseCoverage")["result"]:
            found = Counter()  # methods of two classes may have one name
            for function in script["functions"]:
                found[function["functionName"]] += function["ranges"][0]["count"]
            self.scripts.setdefault(script["scriptId"], found.keys())  # at the first look, all of them
            if f"build{kind.capitalize()}" in self.scripts[script["scriptId"]]:
                calls.update(found)
        return calls


class Explorer:
    """One explorer of a page: its controls by their labels, its state, and the numbers that it shows."""

    def __init__(self, tab, book, name, **state):
        self.tab, self.name = tab, name
        tab.goto("about:blank")
        tab.goto(f"{book}/{ADDRESSES[name]}.html" + (f"#{name}?{urlencode(state)}" if state else ""))
        kind = "adapt" if name == "try" else name
        self.root = tab.locator(f'.l2l-explorer[data-kind="{kind}"][data-live="yes"]')
        self.root.wait_for()
        self.settle()

    def settle(self):
        self.tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def rest(self):
        """Wait for all that the page does later: the address, what is spoken."""
        self.settle()
        self.tab.wait_for_function("waiting.size === 0")
        self.settle()

    @property
    def address(self):
        return self.tab.evaluate("location.href")

    @property
    def now(self):
        return self.root.evaluate(STATE)

    @property
    def state(self):
        return self.now["state"]

    def press(self, label):
        self.root.get_by_role("button", name=label, exact=True).click()
        self.settle()

    def slide(self, label, key, times=1):
        self.root.get_by_label(label, exact=True).focus()
        for _ in range(times):
            self.tab.keyboard.press(key)
        self.settle()

    def tick(self, label):
        self.root.get_by_label(label, exact=True).click()
        self.settle()

    def handle(self, label):
        return self.root.get_by_role("slider", name=label, exact=True)

    def middle(self, label):
        box = self.handle(label).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def rows(self):
        return {
            row.get_attribute("data-method"): row.locator("td").all_inner_texts()
            for row in self.root.locator("tbody tr").all()
        }


def number(text):
    return math.inf if text == "∞" else float(text.replace("−", "-"))
