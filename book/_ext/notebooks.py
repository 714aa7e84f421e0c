"""The pages' buttons lead to the notebooks that people can read: those of `notebooks/`, in plain Markdown."""

import shutil
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def point_to_notebooks(app, pagename, templatename, context, doctree):
    """Let launch buttons open the exported notebook of a chapter, and not its source."""
    name = pagename.rpartition("/")[2]
    if (NOTEBOOKS / f"{name}.ipynb").exists():
        for group in context.get("header_buttons", ()):
            for button in group.get("buttons", ()):
                if "url" in button:
                    button["url"] = button["url"].replace(f"/{pagename}.ipynb", f"/notebooks/{name}.ipynb")


def replace_downloads(app, error):
    """Let the download of a chapter be the exported notebook."""
    if error is None and app.builder.format == "html":
        for page in app.env.found_docs:
            notebook = NOTEBOOKS / f"{page.rpartition('/')[2]}.ipynb"
            if notebook.exists():
                shutil.copy(notebook, Path(app.outdir) / "_sources" / f"{page}.ipynb")


def setup(app):
    app.connect("html-page-context", point_to_notebooks, priority=502)  # after the theme has made its buttons
    app.connect("build-finished", replace_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
