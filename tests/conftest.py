import functools
import http.server
import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from explorers import TIMEOUTS, UNSEEN

import l2l

HTML = Path(__file__).resolve().parent.parent / "_build" / "html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
PATIENCE = 180_000
"""Milliseconds that anything in a browser may take. It ends a wait for what never comes, and is no verdict on speed: no
test has one, as others share its machine. What must stay fast is counted instead: calls, redraws, elements, bytes."""


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def interrupts():
    """Python's own handler, as what a shell starts in the background ignores interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


@pytest.fixture
def problem(generator):
    """A small float64 problem: parameters and a batch of 3 tasks."""
    theta = l2l.init_params((1, 6, 5, 1), generator=generator, dtype=torch.float64)
    batch = l2l.SineTasks().sample(3, 5, 4, generator=generator, dtype=torch.float64)
    return theta, batch


@contextmanager
def served(folder=HTML, **headers):
    """A server of its own, hence another origin, whose answers have these headers."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def end_headers(self):
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            super().end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def address():
    with served() as site:
        yield site


@contextmanager
def opened(browser, *scripts, **settings):
    """A page whose errors, and what it tells the console of them, are its `troubles`."""
    context = browser.new_context(**settings)
    for script in scripts:
        context.add_init_script(script)
    tab, tab.troubles = context.new_page(), []
    tab.on("console", lambda message: tab.troubles.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: tab.troubles.append(str(error)))
    yield tab
    context.close()


def patient(make):
    """Let what `make` opens wait for PATIENCE, where it would give up after half a minute."""

    @functools.wraps(make)
    def opened(*args, **kwargs):
        tab_or_context = make(*args, **kwargs)
        tab_or_context.set_default_timeout(PATIENCE)
        return tab_or_context

    return opened


@pytest.fixture(scope="session")
def playwright():
    sync_api = pytest.importorskip("playwright.sync_api")
    with pytest.MonkeyPatch.context() as environment:  # of the process that drives browsers, and no other
        environment.setenv("NODE_OPTIONS", f"--require {Path(__file__).with_name('firefox.cjs')}")
        started = sync_api.sync_playwright().start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def browser(request):
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    launch = request.getfixturevalue("playwright").chromium.launch
    yield from opened_by(launch(executable_path=CHROMIUM, args=quiet, timeout=PATIENCE))


@pytest.fixture(scope="session")
def firefox(request):
    if FIREFOX is None:
        pytest.skip("no Firefox here")
    launch = request.getfixturevalue("playwright").firefox.launch
    yield from opened_by(launch(channel="moz-firefox", executable_path=FIREFOX, timeout=PATIENCE))


def opened_by(browser):
    browser.new_context, browser.new_page = map(patient, (browser.new_context, browser.new_page))
    yield browser
    browser.close()


@pytest.fixture
def book(address, request):
    """Where the pages are: by http, and with `from_disk` as files."""
    return f"{HTML.as_uri()}/book" if getattr(request, "param", None) == "from_disk" else f"{address}/book"


@pytest.fixture(params=["browser", "firefox"])
def tab(request):
    """A page in Chromium and, after that, in Firefox."""
    touch = {"has_touch": True} if request.param == "browser" else {}
    browser, size = request.getfixturevalue(request.param), {"width": 1100, "height": 900}
    with opened(browser, TIMEOUTS, UNSEEN, viewport=size, **touch) as tab:
        yield tab
        assert tab.troubles == []
