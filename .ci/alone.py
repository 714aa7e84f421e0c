"""Run the notebooks as a reader elsewhere would: each alone in an empty folder, with the package from a built wheel
in a fresh environment that has torch, numpy, matplotlib, ipywidgets, a kernel and what the wheel itself asks for.

python .ci/alone.py [--tests] [--notebooks FOLDER] [requirement …]    for example torch==2.6.0 'numpy<2'
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
READERS = ["torch", "numpy", "matplotlib", "ipywidgets", "ipykernel"]
LIBRARY_TESTS = [
    "adam",
    "check",
    "check_command",
    "cli",
    "engine",
    "evaluate",
    "exercises",
    "graph",
    "methods",
    "net",
    "plots",
    "run",
    "sandbox",
    "seam",
    "stats",
    "tasks",
    "train",
    "widgets",
]


def installed(python: Path) -> dict[str, str]:
    listed = subprocess.check_output([python, "-m", "pip", "list", "--format", "json"], text=True)
    return {package["name"]: package["version"] for package in json.loads(listed)}


def environment(folder: Path, requirements: list[str]) -> Path:
    """Make a reader's environment and install the wheel there; nothing that was there may change."""
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    named = [r for r in READERS if not any(given.startswith(r) for given in requirements)]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements, *named], check=True)
    before = installed(python)
    wheels = folder / "wheels"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            wheels,
            ROOT,
        ],
        check=True,
    )
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wheels.glob("*.whl")], check=True)
    after = installed(python)
    replaced = {name for name, version in before.items() if after.get(name) != version}
    assert not replaced, f"installing the wheel replaced {replaced}"
    print(f"torch {after['torch']}, numpy {after['numpy']}; added {sorted(after.keys() - before.keys())}", flush=True)
    return python


def run_alone(notebook: Path) -> None:
    with tempfile.TemporaryDirectory() as empty:
        began = time.perf_counter()
        read = nbformat.read(notebook, as_version=4)
        NotebookClient(read, kernel_name="reader", timeout=900, resources={"metadata": {"path": empty}}).execute()
        left = sorted(path.name for path in Path(empty).iterdir())
        print(f"{notebook.name}: {time.perf_counter() - began:.0f} s; wrote {left or 'nothing'}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", action="store_true", help="run the library's tests there")
    parser.add_argument("--notebooks", type=Path, help="run the notebooks of this folder there")
    parser.add_argument("requirement", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"  # nothing compiled before
        reader = environment(Path(name), arguments.requirement)
        if arguments.notebooks:
            subprocess.run([reader, "-m", "ipykernel", "install", "--prefix", name, "--name", "reader"], check=True)
            os.environ["JUPYTER_PATH"] = f"{name}/share/jupyter"
            for path in sorted(arguments.notebooks.glob("*.ipynb")):
                run_alone(path)
        if arguments.tests:
            subprocess.run([reader, "-m", "pip", "install", "--quiet", "pytest", "pytest-xdist"], check=True)
            files = [ROOT / "tests" / f"test_{part}.py" for part in LIBRARY_TESTS]
            command = [reader, "-m", "pytest", "-q", "-n", "2", "--dist", "loadscope", "-p", "no:cacheprovider"]
            sys.exit(subprocess.run([*command, *files], cwd=name, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode)
