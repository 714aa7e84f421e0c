"""Build the pages, run every notebook and every test, whatever fails; then list what failed: `python .ci/test.py`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest"]
CORES = min(os.cpu_count() or 1, 8)
NOTEBOOKS = f"-n {CORES} --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout 900 book"
# One more than cores: a test that waits, for a browser or another process, leaves its own idle.
TESTS = f"-n {CORES + 1} --dist loadscope --durations 8 tests"
PARTS = {
    "pages": ["make", "--no-print-directory", "book"],
    "notebooks": [*PYTEST, *NOTEBOOKS.split()],
    "tests": [*PYTEST, *TESTS.split()],
}


def failures(report: Path) -> list[str]:
    """Return the names of the tests that failed, from a report in JUnit's format."""
    if not report.exists():
        return []
    cases = ElementTree.parse(report).iter("testcase")
    return [f"{c.get('classname')}::{c.get('name')}" for c in cases if {"failure", "error"} & {part.tag for part in c}]


def main() -> int:
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for part, command in PARTS.items():
            report = Path(folder) / f"{part}.xml"
            extra = [f"--junitxml={report}"] if command[:3] == PYTEST else []
            if status := subprocess.run([*command, *extra], cwd=ROOT).returncode:
                failed += failures(report) or [f"{part}: ended with status {status}"]
    for name in failed:
        print(f"FAILED {name}", flush=True)
    print(f"{len(failed)} failed" if failed else "All passed.", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
