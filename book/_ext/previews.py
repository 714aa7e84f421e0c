"""When a build ends, the targets of all links are cut out of the built pages and written into one script, from which
`previews.js` shows them beside the links. They come from the files, since a build may have written one page only."""

import json
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

SCRIPT = "previews-data.js"
WHOLE = "figure, div.math, div.literal-block-wrapper"
TITLE = ("p", {"class": "l2l-preview-title"})
# A link in a preview can't be reached, and a cell has lost its table.
BECOMES = {"a": ("span", {}), "td": ("p", {}), "dt": TITLE, "h1": TITLE, "h2": TITLE, "h3": TITLE}


def cut(target: Tag) -> str:
    """The HTML to show for an element: all of something small, the beginning of something long."""
    if target.name == "span" and not target.text.strip():  # where a label is
        target = target.parent
    parts = [target] if target.css.match(WHOLE) else []
    if row := target.find_parent("tr"):
        parts = row.find_all("td", limit=2)
    elif target.name == "dt":
        parts = [target, *target.find_next_sibling("dd").find_all("p", recursive=False, limit=2)]
    elif target.name == "section":
        parts = [target.find(["h1", "h2", "h3"]), target.find("p", recursive=False) or ""]
    elif target.css.match(".exercise, .citation"):
        parts = target.find_all("p", limit=2)
    fragment = BeautifulSoup("".join(map(str, parts)), "html.parser")
    for tag in fragment.select(".headerlink, script, button"):
        tag.decompose()
    for tag in fragment.find_all(True):
        tag.attrs.pop("id", None)  # it is the target's
        tag.name, tag.attrs = BECOMES.get(tag.name, (tag.name, tag.attrs))
    return str(fragment)


def write(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    articles, links, found = {}, set(), {}
    for page in sorted(f"{name}.html" for name in app.env.found_docs):
        text = (Path(app.outdir) / page).read_text(encoding="utf-8")
        articles[page] = BeautifulSoup(text, "html.parser").article
        links |= {urljoin(page, a["href"]) for a in articles[page].select("a.internal[href*='#']")}
    for link in sorted(links):
        page, name = urldefrag(link)
        target = articles[page].find(id=unquote(name)) if page in articles else None
        if target and (html := cut(target)):
            found[link] = html
    text = f"window.l2lPreviews = {json.dumps(found, ensure_ascii=False, indent=0)};\n"
    (Path(app.outdir) / "_static" / SCRIPT).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.add_js_file(SCRIPT, loading_method="defer")
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
