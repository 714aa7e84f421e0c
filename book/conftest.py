"""What a run of the notebooks prints at its end."""

import itertools
from collections import Counter


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
