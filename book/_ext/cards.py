"""The review cards as a file that Anki imports: `_static/cards.txt`, made of the built page."""

import re
from pathlib import Path

from bs4 import BeautifulSoup


def inner(part) -> str:
    """HTML in one line, its formulas as Anki typesets them."""
    for formula in part.select("span.math, div.math"):
        formula.replace_with(formula.get_text())  # within \( \), which Anki's MathJax takes
    return re.sub(r"\s+", " ", part.decode_contents()).strip()


def write_anki(app, error) -> None:
    page = Path(app.outdir) / "book" / "cards.html"
    if error is not None or app.builder.format != "html" or not page.exists():
        return
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    lines = ["#separator:tab", "#html:true", "#deck:Learning to Learn", "#tags column:3"]
    for card in soup.select("details.l2l-card"):
        chapter = card.find_parent("section")["id"]
        question, answer = card.select_one(".sd-summary-text"), card.select_one(".sd-summary-content")
        lines.append("\t".join([inner(question), inner(answer), chapter]))
    (Path(app.outdir) / "_static" / "cards.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def setup(app) -> dict:
    app.connect("build-finished", write_anki)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
