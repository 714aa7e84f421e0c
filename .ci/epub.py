"""Write the built pages to one EPUB, its formulas as MathML: `python .ci/epub.py [FILE]`. Run `make book` first."""

import base64
import os
import posixpath
import re
import sys
import tomllib
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from ebooklib import epub
from latex2mathml.converter import convert
from pdf import HTML, ROOT, name_on_front, pages, read

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOR_SCREENS = (
    "script, noscript, style, summary svg, button, input, form, label, .headerlink, .l2l-progress, .l2l-pdf, "
    ".l2l-epub, .l2l-archive, .l2l-screen, .l2l-review, .l2l-still figcaption"
)
STYLE = """
body { line-height: 1.4; }
img { max-width: 100%; height: auto; }
figcaption, table { font-size: 0.9em; }
pre { white-space: pre-wrap; font-size: 0.8em; padding: 0.4em; border-left: 3px solid #888; }
table { border-collapse: collapse; }
th, td { padding: 0.15em 0.5em; border-bottom: 1px solid #aaa; text-align: left; }
div.admonition { padding: 0 0.8em; border-left: 4px solid #2a7a4b; }
p.admonition-title { font-weight: bold; }
math[display="block"] { display: block; margin: 0.8em 0; }
"""
KEPT = {"id", "href", "src", "alt", "class", "colspan", "rowspan", "start", "lang", "open"}


class Pictures:
    """The images of all pages, each once."""

    def __init__(self, book: epub.EpubBook):
        self.book, self.names = book, {}

    def name(self, source: str) -> str:
        """Where the EPUB has the image that a page names."""
        if source not in self.names:
            if source.startswith("data:"):
                mime, _, data = source[5:].partition(";base64,")
                content, suffix = base64.b64decode(data), mime.rpartition("/")[2].partition("+")[0]
            else:
                path = HTML / posixpath.normpath(posixpath.join("book", source))
                content, suffix = path.read_bytes(), path.suffix[1:]
                mime = {"svg": "image/svg+xml"}.get(suffix, f"image/{suffix}")
            name = f"images/{len(self.names) + 1}.{suffix}"
            self.book.add_item(
                epub.EpubItem(uid=f"image-{len(self.names) + 1}", file_name=name, media_type=mime, content=content)
            )
            self.names[source] = name
        return self.names[source]


def typeset(article: Tag) -> None:
    """Formulas as MathML, with their TeX for those who cannot see them."""
    for formula in article.select("span.math, div.math"):
        number = formula.select_one(".eqno")
        if number is not None:
            number.extract()
        tex = re.sub(r"^\\[\(\[]|\\[\)\]]$", "", formula.get_text().strip())
        mathml = BeautifulSoup(convert(tex, display="block" if formula.name == "div" else "inline"), "html.parser").math
        mathml["alttext"] = tex
        formula.clear()
        formula.append(mathml)
        if number is not None:
            formula.append(number)


def plain(article: Tag, pictures: Pictures) -> str:
    """XHTML of a page's article, with no more attributes than a book needs."""
    for part in article.select(FOR_SCREENS):
        part.decompose()
    typeset(article)
    for summary in article.select("details.hide > summary"):
        summary.string = "Code"
    names, seen = set(pages()), set()
    for tag in article.find_all(True):
        if tag.find_parent("math") is not None or tag.name == "math":
            continue
        if tag.name in ("div", "p") and tag.find_parent(["summary", "p", "span"]) is not None:
            tag.name = "span"
        tag.attrs = {k: v for k, v in tag.attrs.items() if k in KEPT}
        if tag.name == "img":
            tag["src"], tag["alt"] = pictures.name(tag["src"]), tag.get("alt", "")
        if "id" in tag.attrs:
            if tag["id"] in seen:
                del tag["id"]
            else:
                seen.add(tag["id"])
    for link in article.select("a[href]"):
        file, _, anchor = link["href"].partition("#")
        page = posixpath.normpath(posixpath.join("book", file)).removesuffix(".html")
        if "://" in file or (not file and anchor in seen):
            continue
        if file and page in names:  # the state of an explorer is nothing to a book
            link["href"] = page.rpartition("/")[2] + ".xhtml" + (f"#{anchor}" if anchor and "?" not in anchor else "")
        else:
            link.unwrap()
    return article.decode_contents(formatter="minimal")


def write(out: Path) -> None:
    """A file that is there stays whole until the new one is complete.

    Raises:
        SystemExit: pages that are not built.
    """
    missing = [name for name in pages() if not (HTML / f"{name}.html").exists()]
    if missing:
        raise SystemExit(f"not built: {', '.join(missing)}; run make book first")
    book = epub.EpubBook()
    book.set_identifier(f"learning-to-learn-{PROJECT['version']}")
    book.set_title("Learning to Learn")
    book.set_language("en-GB")
    book.add_author("The authors of Learning to Learn")
    style = epub.EpubItem(uid="style", file_name="style.css", media_type="text/css", content=STYLE)
    book.add_item(style)
    pictures, documents = Pictures(book), []
    for name in pages():
        article = read(name)
        title = article.h1.get_text(" ").replace("#", "").strip()
        title = re.sub(r"\s+", " ", title)
        document = epub.EpubHtml(title=title, file_name=f"{name.rpartition('/')[2]}.xhtml", lang="en-GB")
        document.content = plain(article, pictures)
        if "<math" in document.content:
            document.properties.append("mathml")
        document.add_item(style)
        book.add_item(document)
        documents.append(document)
    book.toc = documents
    book.spine = ["nav", *documents]
    book.add_item(epub.EpubNcx())
    book.add_item(epub.EpubNav())
    part = out.with_suffix(".part")
    epub.write_epub(part, book)
    os.replace(part, out)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HTML / "learning-to-learn.epub"
    write(target)
    if target.parent == HTML:
        name_on_front(target, "epub")
    print(f"Open {target}")
