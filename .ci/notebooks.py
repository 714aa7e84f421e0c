"""Execute the book's notebooks in place: `python .ci/notebooks.py [NOTEBOOK ...]`; all of them by default.

A second run on the same machine writes the same bytes, but for the times that pages measure: no progress bars are
kept, and the metadata says nothing of the machine. Nor are views of widgets, dead where no kernel runs: their still
pictures are. Stops at the first cell that fails.
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

BOOK = Path(__file__).resolve().parent.parent / "book"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=900, record_timing=False, resources={"metadata": {"path": str(BOOK)}})
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET, None)
    notebook.metadata = nbformat.from_dict(METADATA)
    temporary = path.with_suffix(".tmp")
    nbformat.write(notebook, temporary)
    os.replace(temporary, path)


for path in [Path(name) for name in sys.argv[1:]] or sorted(BOOK.glob("*.ipynb")):
    start = time.monotonic()
    execute(path)
    print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)
