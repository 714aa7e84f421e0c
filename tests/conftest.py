import functools
import http.server
import shutil
import signal
import threading
from pathlib import Path

import pytest
import torch

import l2l

HTML = Path(__file__).resolve().parent.parent / "_build" / "html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
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


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def patient(make):
    """Let what `make` opens wait for PATIENCE, where it would give up after half a minute."""

    @functools.wraps(make)
    def opened(*args, **kwargs):
        tab_or_context = make(*args, **kwargs)
        tab_or_context.set_default_timeout(PATIENCE)
        return tab_or_context

    return opened


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    sync_api = pytest.importorskip("playwright.sync_api")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet, timeout=PATIENCE)
        chromium.new_context, chromium.new_page = map(patient, (chromium.new_context, chromium.new_page))
        yield chromium
        chromium.close()
