"""Run the chapters, and the tests that train, as other machines would see them: `python .ci/elsewhere.py`.

A *machine* is a setting that changes last bits and nothing else: what the processor may do, which engine trains, how
many threads compute, which torch it is, and, for what no flag reaches, initial parameters moved by a relative 1e-6.
For every comparison that an assertion depends on, the table at the end gives its slack (b - a for `a < b`): the least
over the machines, and its spread, the standard deviation over them. An assertion holds if it held everywhere and the
least slack is at least twice the spread; if not, the page must print what came out instead. Ends with status 1 if a
cell or a test failed anywhere, or, on five machines or more, if an assertion is too close.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TESTS = [f"tests/test_{name}.py" for name in ("train", "evaluate", "methods", "graph", "adam", "symptoms")]
"""Tests of the library that train, or compare what training uses."""


ENOUGH = 5  # machines from which a spread means something


@dataclass(frozen=True)
class Machine:
    """What is set for every process: variables, and arguments of `become` in machine/sitecustomize.py."""

    variables: dict[str, str] = field(default_factory=dict)
    become: dict = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    """Packages of an environment of its own, such as another torch; this one's if there are none."""


def instructions(aten: str, mkl: str, onednn: str, lanes: int) -> Machine:
    variables = {"ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": mkl, "ONEDNN_MAX_CPU_ISA": onednn}
    return Machine(variables, {"compiler": {"cpp.simdlen": lanes}})


MACHINES = {
    "moved 1": Machine(become={"moved": 1}),
    "no AVX-512": instructions("avx2", "AVX2", "AVX2", 256),
    "no AVX2": instructions("default", "SSE4_2", "SSE41", 1),
    "no fused multiply-add": Machine(
        {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"},
        {"compiler": {"cpp.enable_floating_point_contract_flag": "off"}},
    ),
    "recorded": Machine(become={"engine": "recorded"}),
    "moved 3": Machine(become={"moved": 3}),
    "compiled": Machine(become={"engine": "compiled"}),
    "moved 4": Machine(become={"moved": 4}),
    "moved 5": Machine(become={"moved": 5}),
    "two threads": Machine({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}, {"moved": 2}),
    "this one": Machine(),
    "oldest torch": Machine(requirements=("torch==2.6.0", "numpy==1.26.4")),
    "newest torch": Machine(requirements=("torch",)),
    "called": Machine(become={"engine": "called"}),
} | {f"moved {k}": Machine(become={"moved": k}) for k in range(6, 20)}
"""In the order in which -n takes them: cheap ones that differ most come first, slow ones last."""


def run_notebook(path: Path) -> list[str]:
    """Execute a notebook in this process's machine, to the end; return the errors of its cells."""
    notebook = nbformat.read(path, as_version=4)
    name = path.stem
    first, last = (
        nbformat.v4.new_code_cell(source)
        for source in (f"import margins; margins.watch_cells({name!r})", "margins.write()")
    )
    notebook.cells = [first, *notebook.cells, last]
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=3600, allow_errors=True, resources=where).execute()
    return [
        f"{name} [{cell.id}] {output.ename}: {output.evalue.strip()[:300]}  in: {cell.source.strip().splitlines()[-1]}"
        for cell in notebook.cells
        if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", ())
        for output in cell.outputs
        if output.output_type == "error"
    ]


class Elsewhere:
    """One machine, ready to run things: its environment, and where it keeps what it compiles, trains and records."""

    def __init__(self, name: str, folder: Path, retrain: bool):
        self.name, self._machine = name, MACHINES[name]
        self._folder = folder / name.replace(" ", "-")
        self._folder.mkdir()
        self._margins = self._folder / "margins.jsonl"
        self._margins.touch()
        self._python = self._environment()
        become = self._machine.become | ({"data": str(self._folder / "data")} if retrain else {})
        own = {
            "PYTHONPATH": os.pathsep.join(map(str, (HERE / "machine", HERE))),
            "L2L_MACHINE": json.dumps(become),
            "L2L_MARGINS": str(self._margins),
        }
        self._variables = os.environ | {"OMP_NUM_THREADS": "1"} | self._machine.variables | own
        if "compiler" in become or self._machine.requirements:  # its code is not this machine's
            self._variables |= {"XDG_CACHE_HOME": str(self._folder / "cache"), "MPLCONFIGDIR": str(self._folder)}
        if retrain:
            for script in ("paper.py", "divergence.py"):
                self.failed([script, "--out", self._folder / "data"])

    def _environment(self) -> str:
        if not self._machine.requirements:
            return sys.executable
        from alone import environment

        python = environment(self._folder, list(self._machine.requirements))
        subprocess.run([python, "-m", "pip", "install", "--quiet", "nbclient", "pytest", "pytest-xdist"], check=True)
        return str(python)

    def failed(self, job: list) -> list[str]:
        """Run a notebook, the tests or a script of this folder; return what failed."""
        first, *rest = map(str, job)
        if first.endswith(".ipynb"):
            command = [Path(__file__), "--notebook", first]
        elif not Path(first).name.startswith("test_"):
            command = [HERE / first, *rest]
        else:
            command = ["-m", "pytest", "-q", "-p", "margins", "--assert=plain", "-p", "no:cacheprovider", first, *rest]
        began = time.monotonic()
        done = subprocess.run([self._python, *command], cwd=ROOT, env=self._variables, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if done.returncode and not lines:
            lines = [f"ERROR {first}: ended with status {done.returncode}: {(done.stderr or done.stdout)[-2000:]}"]
        print(f"{time.monotonic() - began:6.0f} s  {self.name:22} {Path(first).name}  {len(lines) or ''}", flush=True)
        return [f"{self.name}: {line}" for line in lines]

    def slacks(self) -> dict[str, float]:
        """Return the least slack of each comparison."""
        found: dict[str, float] = {}
        for line in self._margins.read_text(encoding="utf-8").splitlines():
            site, slack = json.loads(line)
            found[site] = min(slack, found.get(site, slack))
        return found


def table(machines: dict[str, dict[str, float]]) -> tuple[list[str], int]:
    """Return a line for each comparison, worst first, and how many are too close."""
    by_site: dict[str, list[float]] = defaultdict(list)
    for slacks in machines.values():
        for site, slack in slacks.items():
            by_site[site].append(slack)
    rows = []
    for site, values in by_site.items():
        finite = [v for v in values if math.isfinite(v)]
        spread = statistics.stdev(finite) if len(finite) > 1 else 0.0
        least = min(values)
        ratio = least / spread if spread else math.copysign(math.inf, least)
        rows.append((ratio, least, spread, site))
    rows.sort()
    close = sum(ratio < 2 for ratio, *_ in rows)
    lines = [f"{'slack/spread':>12}  {'least slack':>12}  {'spread':>9}  assertion"]
    lines += [f"{ratio:12.1f}  {least:12.3g}  {spread:9.2g}  {site[:150]}" for ratio, least, spread, site in rows]
    return lines, close


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="notebooks, test files (default: all chapters, and tests that train)")
    parser.add_argument("-n", type=int, default=10, help="the first so many machines (default 10)")
    parser.add_argument("--machine", action="append", choices=MACHINES, help="these machines instead")
    parser.add_argument("--retrain", action="store_true", help="first train the stored runs again, on each machine")
    parser.add_argument("--rows", type=int, default=40, help="rows of the table to print, worst first (default 40)")
    parser.add_argument("--notebook", type=Path, help=argparse.SUPPRESS)  # how this program calls itself
    arguments = parser.parse_args()
    if arguments.notebook:
        errors = run_notebook(arguments.notebook)
        print("\n".join(f"FAILED {error}" for error in errors))
        return bool(errors)
    names = arguments.machine or list(MACHINES)[: arguments.n]
    what = arguments.what or [*sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("book/*.ipynb")), *TESTS]
    missing = [name for name in what if not (ROOT / name).is_file()]
    if missing:
        parser.error(f"there is no file {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        machines = [Elsewhere(name, Path(folder), arguments.retrain) for name in names]
        jobs = [pool.submit(machine.failed, [ROOT / name]) for machine in machines for name in what]
        failed = [line for job in jobs for line in job.result()]
        lines, close = table({machine.name: machine.slacks() for machine in machines})
    print("\n".join(lines[: arguments.rows + 1]))
    print("\n".join(failed))
    print(f"{len(machines)} machines, {len(lines) - 1} comparisons: {len(failed)} failures, {close} too close")
    return bool(failed or (close and len(machines) >= ENOUGH))


if __name__ == "__main__":
    sys.exit(main())
