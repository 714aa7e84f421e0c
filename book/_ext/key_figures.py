"""The front page shows one figure of each chapter: those of the pages that were just built."""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

FIGURES = {
    "01-few-shot": "fig-answer",
    "02-bilevel": "fig-best-start",
    "03-line-10": "fig-unrolled",
    "04-maml": "fig-one-step",
    "05-fomaml": "fig-two-rests",
    "06-pretraining": "fig-mean-task",
    "07-three-compared": "fig-which-error",
    "08-step-length": "fig-exact-step",
    "09-what-is-learned": "fig-units",
    "10-how-good": "fig-regret",
    "11-relatives": "fig-euler",
    "12-your-problem": "fig-leak",
    "13-make-it-fast": "fig-ladder",
}
PLACE = re.compile(r'(<div class="l2l-key-figures">).*?(</div>)', re.DOTALL)


def show(app: Sphinx, exception: Exception | None) -> None:
    """Write them into the front page, each a link to its chapter."""
    front = Path(app.outdir) / "book" / "index.html"
    if exception or app.builder.format != "html" or not front.exists():
        return
    shown = []
    for chapter, name in FIGURES.items():
        text = (front.parent / f"{chapter}.html").read_text(encoding="utf-8")
        image = re.search(rf'id="{name}">\s*<img alt="([^"]*)" src="([^"]*)"', text)
        title = re.search(r"<title>(.*?)(?: &#8212;| —)", text)
        if image is None or title is None:
            logging.getLogger(__name__).warning(f"the front page finds no figure {name} in chapter {chapter}")
            continue
        link = f'<a href="{chapter}.html"><img alt="{image[1]}" src="{image[2]}" />'
        shown.append(f"{link}<span>{title[1]}</span></a>")
    text = front.read_text(encoding="utf-8")
    front.write_text(PLACE.sub(lambda place: place[1] + "".join(shown) + place[2], text), encoding="utf-8")


def setup(app: Sphinx) -> dict:
    """Register what runs after all pages are written."""
    app.connect("build-finished", show)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
