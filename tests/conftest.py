import itertools
from collections import Counter

import pytest
import torch

import l2l


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


@pytest.fixture
def problem(generator):
    """A small float64 problem: parameters and a batch of 3 tasks."""
    theta = l2l.init_params((1, 6, 5, 1), generator=generator, dtype=torch.float64)
    batch = l2l.SineTasks().sample(3, 5, 4, generator=generator, dtype=torch.float64)
    return theta, batch


def pytest_terminal_summary(terminalreporter):
    """Print how long each notebook ran: a chapter should take a minute at most, warm and alone."""
    seconds = Counter()
    for report in itertools.chain(*terminalreporter.stats.values()):
        notebook, cell, _ = getattr(report, "nodeid", "").partition(".ipynb::")
        if cell:
            seconds[f"{notebook}.ipynb"] += report.duration
    if seconds:
        terminalreporter.section("seconds for each notebook")
        for notebook, taken in sorted(seconds.items()):
            terminalreporter.write_line(f"{taken:6.1f}  {notebook}")
