"""Serve MathJax from the book itself: no page asks another host for anything.

The files come from the installed package sphinx-mathjax-offline, of which only those are copied that pages load.
"""

from importlib.metadata import files
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

PARTS = ("tex-chtml.js", "output/chtml/fonts", "a11y", "sre")


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    packaged = next(f for f in files("sphinx-mathjax-offline") if f.match("mathjax/tex-chtml.js"))
    source, target = Path(packaged.locate()).parent, Path(app.outdir) / "_static" / "mathjax"
    for part in PARTS:
        copy_asset(source / part, target / Path(part) if (source / part).is_dir() else target)


def setup(app: Sphinx) -> dict:
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
