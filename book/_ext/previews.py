"""Previews of what the pages refer to: terms, equations, figures, listings, sections, exercises, references, functions.

When a build ends, the targets of all links are cut out of the built pages and written into one script, from which
`previews.js` shows them. They come from the files, and not from the pages of this build, which may be only one of them.
"""

import json
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

SCRIPT = "previews-data.js"
WHOLE = ("figure", "div.math", "div.literal-block-wrapper")
NOT_SHOWN = ".headerlink, .eqno, .copybtn, .linenos, script, button"


def cut(target: Tag) -> str:
    """The HTML to show for an element: all of something small, the beginning of something long."""
    if target.name == "span" and not target.text.strip() and target.parent:  # where a label is
        target = target.parent
    if row := target.find_parent("tr"):
        parts = row.find_all("td", limit=2)
    elif target.name == "dt":
        entry = target.find_next_sibling("dd")
        parts = [target, *(entry.find_all("p", recursive=False)[:2] if entry else ())]
    elif target.name == "section":
        parts = [target.find(["h1", "h2", "h3"]), target.find("p", recursive=False)]
    elif "exercise" in target.get("class", ()):
        parts = target.find_all("p", limit=2)
    elif "citation" in target.get("class", ()):
        parts = [target.p]
    else:
        parts = [target] if any(target.css.match(kind) for kind in WHOLE) else []
    fragment = BeautifulSoup("".join(map(str, filter(None, parts))), "html.parser")
    for tag in fragment.select(NOT_SHOWN):
        tag.decompose()
    for tag in fragment.find_all(True):
        tag.attrs.pop("id", None)  # it is the target's
        if tag.name in ("dt", "h1", "h2", "h3"):
            tag.name, tag.attrs = "p", {"class": "l2l-preview-title"}
        elif tag.name in ("a", "td"):  # a link in a preview can't be reached, and a cell has lost its table
            tag.name, tag.attrs = ("span", {}) if tag.name == "a" else ("p", {})
    return str(fragment)


def write(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    pages, links = {}, set()
    for name in sorted(app.env.found_docs):
        page = f"{name}.html"
        text = (Path(app.outdir) / page).read_text(encoding="utf-8")
        article = pages[page] = BeautifulSoup(text, "html.parser").find("article")
        links |= {urljoin(page, a["href"]) for a in article.select("a.internal[href*='#']")}
    found = {}
    for link in sorted(links):
        page, name = urldefrag(link)
        target = pages[page].find(id=unquote(name)) if page in pages else None
        if target and (html := cut(target)):
            found[link] = html
    text = f"window.l2lPreviews = {json.dumps(found, ensure_ascii=False, indent=0)};\n"
    (Path(app.outdir) / "_static" / SCRIPT).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.add_js_file(SCRIPT, loading_method="defer")
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
