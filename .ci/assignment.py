"""Assignment 1 for Otter-Grader: `python .ci/assignment.py FOLDER [--try]`, in an environment that has it.

Three exercises of the book with `l2l.check` as their tests, so that a grade names the mistake. FOLDER receives the
master notebook and what `otter assign` makes of it: the notebook for students, and the autograder. With --try ten
planted submissions are graded, and a score that is not the one expected is an error.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

ROOT = Path(__file__).resolve().parent.parent
OTTER = [sys.executable, "-m", "otter"]
CONFIG = """# ASSIGNMENT CONFIG
init_cell: true
export_cell: false
check_all_cell: false
tests:
  ok_format: false
"""
QUESTIONS = {"hessian_vector_product": 2, "unrolled_product": 1, "meta_gradient": 3}  # points
INTRODUCTION = """# Assignment 1: a meta-gradient you can trust

Write three functions. The cell below each tells whether it is right, and which known mistake it makes if not. Parts 2
and 3 of the assignment, the planted mistake and what your comparison cannot see, are answered in writing.
"""
IMPORTS = "import torch\n\nimport l2l\nfrom l2l import check"


def exercise(name: str) -> tuple[str, str]:
    """(text, solution) of the exercise that `check.name` checks, from the solved edition of chapter 3."""
    cells = nbformat.read(ROOT / "notebooks" / "solved" / "03-line-10.ipynb", 4).cells
    for i, cell in enumerate(cells):
        called = re.search(rf"^check\.{name}\(my_\w+\)", cell.source, re.M)
        if cell.cell_type == "code" and called:
            function = called[0].partition("(")[2].rstrip(")")
            text = next(
                c.source for c in cells[i::-1] if c.cell_type == "markdown" and f"Write `{function}(" in c.source
            )
            asked = re.search(rf"Write `{function}\(.*?(?= To check it)", text, re.S)[0]
            return asked, re.search(rf"def {function}\(.*?(?=\n\n\S|\Z)", cell.source, re.S)[0]
    raise ValueError(f"chapter 3 has no exercise with check.{name}")


def master() -> nbformat.NotebookNode:
    cells = [new_raw_cell(CONFIG), new_markdown_cell(INTRODUCTION), new_code_cell(IMPORTS)]
    for name, points in QUESTIONS.items():
        text, solution = exercise(name)
        signature, _, body = solution.partition("\n")
        function = re.match(r"def (\w+)", signature)[1]
        test = f"def test_{name}({function}):\n    from l2l import check\n\n    check.{name}.grade({function})"
        cells += [
            new_raw_cell(f"# BEGIN QUESTION\nname: {name}\npoints: {points}"),
            new_markdown_cell(text),
            new_raw_cell("# BEGIN SOLUTION"),
            new_code_cell(f"{signature}\n    # BEGIN SOLUTION\n{body}\n    # END SOLUTION"),
            new_raw_cell("# END SOLUTION"),
            new_raw_cell("# BEGIN TESTS"),
            new_code_cell(test),
            new_raw_cell("# END TESTS"),
            new_raw_cell("# END QUESTION"),
        ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def planted(solved: list[str]) -> dict[str, tuple[list[str], list[float]]]:
    """Ten submissions, as (the three functions, the points that each deserves)."""
    hvp, product, meta = solved
    forward = (
        "def my_hvp(theta, x, y, v):\n    theta = {n: p.detach() for n, p in theta.items()}\n"
        "    slope = torch.func.grad(lambda t: l2l.mse(t, x, y))\n    return torch.func.jvp(slope, (theta,), (v,))[1]"
    )
    by_graph = (
        "def my_meta_gradient(theta, batch, alpha, steps):\n    def task(theta, xs, ys, xq, yq):\n"
        "        phi = l2l.adapt(theta, xs, ys, alpha=alpha, steps=steps)\n        return l2l.mse(phi, xq, yq)\n\n"
        "    maps = torch.vmap(task, (None, 0, 0, 0, 0))\n"
        "    return torch.func.grad(lambda t: maps(t, *batch[:4]).mean())(theta)"
    )
    empty = [re.match(r"def .*:", text)[0] + "\n    ..." for text in solved]

    endless = "def my_meta_gradient(theta, batch, alpha, steps):\n    while True:\n        pass"

    def changed(text: str, old: str, new: str) -> str:
        assert text.count(old) == 1, (old, text)
        return text.replace(old, new)

    return {
        "as in the book": ([hvp, product, meta], [2, 1, 3]),
        "otherwise, and right": ([forward, product, by_graph], [2, 1, 3]),
        "nothing written": (empty, [0, 0, 0]),
        "one of three written": ([hvp, *empty[1:]], [2, 0, 0]),
        "the gradient for the product": (
            [changed(hvp, "grad(dot,", "grad(l2l.mse(theta, x, y),"), product, by_graph],
            [0, 1, 3],
        ),
        "product reversed": ([hvp, changed(product, ".flip(0)", ""), by_graph], [2, 0, 3]),
        "wrong sign": ([hvp, changed(product, "g - alpha", "g + alpha"), by_graph], [2, 0, 3]),
        "sum for mean": ([hvp, product, changed(by_graph, ".mean()", ".sum()")], [2, 1, 0]),
        "support and query exchanged": (
            [hvp, product, changed(by_graph, "xs, ys, xq, yq)", "xq, yq, xs, ys)")],
            [2, 1, 0],
        ),
        "a loop that never ends": ([hvp, product, endless], [2, 1, 0]),
    }


def graded(autograder: Path, notebook: Path, folder: Path) -> dict[str, float]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [*OTTER, "run", "--autograder", autograder, "--output-dir", folder, notebook]
    subprocess.run(command, check=True, capture_output=True, text=True)
    tests = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tests"]
    scores = {test["name"]: test["score"] for test in tests if test["name"] in QUESTIONS}
    return {name: scores[name] for name in QUESTIONS}


def submission(student: Path, functions: list[str]) -> nbformat.NotebookNode:
    """The students' notebook with these functions in place of the empty ones."""
    notebook, left = nbformat.read(student, 4), iter(functions)
    for cell in notebook.cells:
        if cell.cell_type == "code" and re.match(r"def my_\w+\(.*:\n    \.\.\.", cell.source):
            cell.source = next(left)
    assert next(left, None) is None
    return notebook


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--try", action="store_true", dest="tried", help="grade ten planted submissions")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(master(), folder / "assignment-1.ipynb")
    subprocess.run([*OTTER, "assign", folder / "assignment-1.ipynb", folder / "dist"], check=True)
    (autograder,) = (folder / "dist" / "autograder").glob("*.zip")
    print(f"for students: {folder}/dist/student, for you: {autograder}")
    if not arguments.tried:
        return 0
    off = 0
    student = folder / "dist" / "student" / "assignment-1.ipynb"
    for i, (name, (functions, expected)) in enumerate(planted([exercise(q)[1] for q in QUESTIONS]).items()):
        tried = folder / "tried" / f"{i}.ipynb"
        tried.parent.mkdir(exist_ok=True)
        nbformat.write(submission(student, functions), tried)
        scores = graded(autograder, tried, folder / "tried" / str(i))
        right = list(scores.values()) == expected
        off += not right
        print(
            f"{name:32} {' '.join(f'{s:g}' for s in scores.values())}{'' if right else f'   expected {expected}'}",
            flush=True,
        )
    print(f"{off} of 10 not as expected" if off else "all ten as expected")
    return off


if __name__ == "__main__":
    sys.exit(main())
