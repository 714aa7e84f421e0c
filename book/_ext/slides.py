"""Slides of each session of the teachers' page, from the headings, figures, formulas, tables and predictions of its
sections, with the text between them as speaker notes: `slides/session-NN.html`, with the reveal.js that the installed
package sphinx-revealjs holds.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.metadata import files
from pathlib import Path

from bs4 import BeautifulSoup, NavigableString, Tag
from sphinx.util.fileutil import copy_asset

REVEAL = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE")
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="../_static/reveal/reveal.css">
<link rel="stylesheet" href="../_static/slides.css">
<script>window.MathJax = {{options: {{processHtmlClass: "math"}}, startup: {{typeset: false}}}}</script>
<script defer src="../_static/mathjax/tex-chtml.js"></script>
<script defer src="../_static/reveal/reveal.js"></script>
<script defer src="../_static/reveal/notes.js"></script>
<script defer src="../_static/slides.js"></script>
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
</body>
</html>
"""


@dataclass
class Slide:
    heading: str
    body: str
    notes: str
    kind: str = ""

    def __str__(self) -> str:
        notes = f'<aside class="notes">{self.notes}</aside>' if self.notes else ""
        return f'<section class="{self.kind}"><h2>{self.heading}</h2>{self.body}{notes}</section>'


@dataclass
class Deck:
    """The slides of one session, in order."""

    slides: list[Slide] = field(default_factory=list)
    said: list[Tag] = field(default_factory=list)  # the text since the last slide, for the notes of the next

    def add(self, heading: str, body: str = "", notes: str = "", kind: str = "") -> None:
        self.slides.append(Slide(heading, body, notes + self.told(), kind))

    def formula(self, heading: str, formula: str) -> None:
        """Up to three formulas share a slide, each below the sentence that leads to it."""
        body = (f"<p>{last_sentence(self.said[-1])}</p>" if self.said and self.said[-1].name == "p" else "") + formula
        last = self.slides[-1]
        if last.kind == "formulas" and last.heading == heading and last.body.count('class="math') < 3:
            last.body, last.notes = last.body + body, last.notes + self.told()
        else:
            self.add(heading, body, kind="formulas")

    def told(self) -> str:
        told, self.said = "".join(map(str, self.said)), []
        return told


def last_sentence(paragraph: Tag) -> str:
    parts: list[str] = []
    for node in reversed(paragraph.contents):
        if isinstance(node, NavigableString) and (ends := list(re.finditer(r"[.?!)] (?=[A-Z])", node))):
            return "".join([escape(node[ends[-1].end() :]), *parts])
        parts.insert(0, escape(node) if isinstance(node, NavigableString) else str(node))
    return "".join(parts)


def cleaned(path: Path) -> Tag:
    """A page's article without what only a page needs, its links seen from the slides' folder."""
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    article = page.select_one("article.bd-article")
    for part in article.select(".headerlink, .section-number, button, script, .l2l-hint"):
        part.decompose()
    for link in article.select("a[href]"):
        if "://" not in link["href"]:
            link["href"] = (
                f"../book/{path.name}{link['href']}" if link["href"].startswith("#") else f"../book/{link['href']}"
            )
    return article


def fill(deck: Deck, section: Tag, heading: str, notes: str, own: bool) -> None:
    """Add the slides of a section; of a chapter's beginning (`own`) what stands before its first section."""
    first = len(deck.slides)
    within = ["figure", "table", "details", "aside", "ul", "ol"]
    for part in section.find_all(True):
        if own and part.find_parent("section") is not section:
            break
        if part.find_parent(within) is not None or part.find_parent(class_="admonition") is not None:
            continue
        classes = part.get("class", [])
        title = part.select_one(".admonition-title") if "admonition" in classes else None
        if title is not None and title.get_text() == "Predict":
            answer = part.find_next_sibling("details", class_="l2l-answer")
            told = "".join(map(str, answer.find_all("p"))) if answer is not None else ""
            asked = [p for p in part.find_all(["p", "ul", "ol"], recursive=False) if p is not title]
            deck.add("Predict", "".join(map(str, asked)), told, "predict")
        elif part.name in ("figure", "table"):
            deck.add(heading, str(part))
        elif part.name == "div" and "math" in classes:
            deck.formula(heading, str(part))
        elif part.name in ("p", "ul", "ol"):
            deck.said.append(part)
    if len(deck.slides) == first:
        said = deck.said[0] if deck.said else None
        lead = "" if said is None else f"<p>{last_sentence(said)}</p>" if said.name == "p" else str(deck.said.pop(0))
        deck.add(heading, lead)
    deck.slides[first].notes = notes + deck.slides[first].notes
    deck.slides[-1].notes += deck.told()


def session(teach: Tag, article: Callable[[str], Tag]) -> str:
    """The slides of one session, from its section of the teachers' page and the articles that it names."""
    deck, title = Deck(), teach.h2.get_text()
    deck.add(title, str(teach.p), kind="title")
    for minutes, what, how in (row.find_all("td") for row in teach.select("tbody tr")):
        link = what.find("a", href=True)
        document, _, anchor = (link["href"] if link is not None else "").rpartition("/")[2].partition("#")
        told = f"<p><strong>{minutes.get_text()} minutes.</strong> {how.decode_contents()}</p>"
        if what.get_text().startswith("Exercises") or not document[:2].isdigit():
            deck.add(what.get_text().partition(":")[0], what.decode_contents().partition(":")[2], told)
            continue
        section = article(document).find(id=anchor) if anchor else article(document).section
        if section is None:
            raise ValueError(f"{document} has no section {anchor!r}, which the teachers' page names")
        told += f'<p><a href="{link["href"]}">on the page</a></p>'
        fill(deck, section, what.get_text(), told, own=not anchor)
    return PAGE.format(title=title, slides="\n".join(map(str, deck.slides)))


def write_slides(app, error) -> None:
    out = Path(app.outdir)
    if error is not None or app.builder.format != "html" or not (out / "book" / "teach.html").exists():
        return
    for part in REVEAL:
        packaged = next(f for f in files("sphinx-revealjs") if str(f).endswith(f"_static/revealjs/{part}"))
        copy_asset(str(packaged.locate()), out / "_static" / "reveal")
    (out / "slides").mkdir(exist_ok=True)
    article = cache(lambda document: cleaned(out / "book" / document))  # a chapter is named by many rows
    for n, teach in enumerate(article("teach.html").select("section[id^=session-]"), start=1):
        (out / "slides" / f"session-{n:02d}.html").write_text(session(teach, article), encoding="utf-8")


def setup(app) -> dict:
    app.connect("build-finished", write_slides)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
