"""Archives: `python .ci/archive.py site` packs the built pages into one file that is read without a connection, and
`python .ci/archive.py figures [NN-chapter …]` runs the chapters and packs every figure as SVG and PNG.
"""

import base64
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import export
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from pdf import HTML, name_on_front

ROOT = Path(__file__).resolve().parent.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
LINK = re.compile(r'<span class="l2l-archive">.*?</span>')
FORMATS = {"image/svg+xml": "svg", "image/png": "png"}


def pack(files: Iterator[tuple[str, bytes]], out: Path) -> int:
    """Write a zip file, which stays whole if there was one until the new one is; return how many files it holds."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part, count = out.with_suffix(".part"), 0
    with ZipFile(part, "w", ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(f"{out.stem}/{name}", content)
            count += 1
    os.replace(part, out)
    return count


def site(html: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the built pages but the archives themselves; the front page without a link to them."""
    for path in sorted(html.rglob("*")):
        name = path.relative_to(html).as_posix()
        if path.is_file() and path.suffix not in (".zip", ".part") and name not in (".buildinfo", "objects.inv"):
            content = path.read_bytes()
            if name == "book/index.html":
                content = LINK.sub('<span class="l2l-archive"></span>', content.decode()).encode()
            yield name, content


def figures(notebook: NotebookNode, numbers: dict[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Run a notebook and give each of its figures in every format; numbers holds those of its cells by their id."""
    formats = new_code_cell('%config InlineBackend.figure_formats = ["png", "svg"]', id="formats")
    notebook.cells.insert(0, formats)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        if cell.id in numbers:
            name = "-".join(
                [numbers[cell.id].lower().replace(" ", "-"), cell.metadata["mystnb"]["figure"].get("name", "")]
            )
            for output in cell.outputs:
                for mime, suffix in FORMATS.items():
                    if mime in output.get("data", {}):
                        data = output.data[mime]
                        yield (
                            f"{name.rstrip('-')}.{suffix}",
                            data.encode() if suffix == "svg" else base64.b64decode(data),
                        )


def all_figures(chapters: list[str]) -> Iterator[tuple[str, bytes]]:
    numbers = export.survey().figures
    for path in export.CHAPTERS:
        if not chapters or path.stem in chapters:
            own = {cell: number for (stem, cell), number in numbers.items() if stem == path.stem}
            print(path.stem, flush=True)
            yield from figures(nbformat.read(path, 4), own, path.parent)


def main(what: str, *chapters: str) -> None:
    if what == "site":
        if not (HTML / "book" / "index.html").exists():
            raise SystemExit("the pages are not built; run make book first")
        out = HTML / f"learning-to-learn-{VERSION}.zip"
        count = pack(site(HTML), out)
        name_on_front(out, "archive")
    else:
        out = ROOT / "_build" / f"figures-{VERSION}.zip"
        count = pack(all_figures(list(chapters)), out)
    print(f"{count} files, {out.stat().st_size / 1e6:.1f} MB: {out}")


if __name__ == "__main__":
    if sys.argv[1:2] not in (["site"], ["figures"]):
        sys.exit(f"usage: {(__doc__ or '').partition(':')[2].strip()}")
    main(*sys.argv[1:])
