"""The golden vectors beside the pages: a file for download, and a script for the one page that compares with it."""

from pathlib import Path

from sphinx.application import Sphinx

from l2l.check.golden import GOLDEN

PAGE = "book/verify"


def write(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    text, static = GOLDEN.read_text(encoding="utf-8"), Path(app.outdir) / "_static"
    (static / "golden.json").write_text(text, encoding="utf-8")
    (static / "golden.js").write_text(f"window.l2lGolden = {text.rstrip()};\n", encoding="utf-8")  # also from file://


def load(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if page == PAGE:
        for script in ("golden.js", "verify.js"):
            app.add_js_file(script, loading_method="defer")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", write)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
