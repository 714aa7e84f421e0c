"""Print the built pages as one PDF, in the order of the contents, with everything unfolded and links that stay inside.

python .ci/pdf.py [out.pdf]
"""

import os
import re
import shutil
import sys
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfWriter
from pypdf.generic import NameObject, TextStringObject

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STYLE = """
  @page { size: A4; margin: 18mm 16mm; }
  body { background: white; }
  article { break-before: page; max-width: none; }
  figure, img, svg, .MathJax_Display, tr, details.l2l-choice { break-inside: avoid; }
  img, svg { max-width: 100%; }
  img { height: auto; max-height: 230mm; }
  h1, h2, h3, summary { break-after: avoid; }
  pre, pre * { white-space: pre-wrap !important; overflow-wrap: anywhere; }
  .cell_output, .pst-scrollable-table-container { overflow: visible !important; max-height: none !important; }
"""
GATHER = r"""async ({pages, style}) => {
  const key = (page, id) => `${page.replaceAll("/", "-")}--${id}`, articles = [];
  const names = new Set(pages.map(({name}) => name));
  for (const {name, html} of pages) {
    const article = new DOMParser().parseFromString(html, "text/html").querySelector("article.bd-article");
    const base = new URL(name + ".html", ROOT);
    for (const element of article.querySelectorAll("[id]")) element.id = key(name, element.id);
    article.id = key(name, "");
    for (const image of article.querySelectorAll("img")) {
      image.src = new URL(image.getAttribute("src"), base).href;
      image.loading = "eager";
    }
    for (const link of article.querySelectorAll("a[href]")) {
      const to = new URL(link.getAttribute("href"), base);
      const page = to.href.startsWith(ROOT) && to.href.slice(ROOT.length).split("#")[0].replace(/\.html$/, "");
      if (names.has(page)) link.href = "#" + key(page, decodeURIComponent(to.hash.slice(1)));
      else link.href = to.href;
    }
    for (const part of article.querySelectorAll("details")) part.open = true;
    for (const part of article.querySelectorAll(".toggle, .toggle-hidden, .dropdown"))
      part.classList.remove("toggle", "toggle-hidden", "dropdown");
    const forScreens = ["script", "input", ".headerlink", ".l2l-still figcaption", ".l2l-progress", ".l2l-pdf",
      ".l2l-epub", ".l2l-archive", ".l2l-screen", "details.hide > summary"];
    for (const part of article.querySelectorAll(forScreens.join())) part.remove();
    articles.push(article);
  }
  const contents = document.createElement("nav");
  contents.innerHTML = "<h1>Learning to Learn</h1><ul></ul>";
  for (const article of articles) {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = "#" + article.id;
    link.textContent = article.querySelector("h1").textContent;
    item.append(link);
    contents.querySelector("ul").append(item);
  }
  document.documentElement.dataset.theme = "light";
  document.body.className = "";
  document.body.replaceChildren(contents, ...articles);
  document.head.append(Object.assign(document.createElement("style"), {textContent: style}));
  await MathJax.typesetPromise();
  const headings = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
    .map(heading => heading.innerText.replace(/\s+/g, " ").trim());
  await Promise.all([...document.images].map(image => image.decode().catch(() => {})));
  return headings;
}"""


def pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def read(name: str) -> Tag:
    """Return a page's article, with what the page folds away at its end."""
    article = BeautifulSoup((HTML / f"{name}.html").read_text(encoding="utf-8"), "html.parser").select_one(
        "article.bd-article"
    )
    unfold(article)
    return article


def unfold(article: Tag) -> None:
    """Move answers and hints to the end, each under the title of the box or exercise that it belongs to."""
    last, title, predictions = BeautifulSoup("<section><h2>Answers and hints</h2></section>", "html.parser"), "", 0
    for part in article.select(".admonition-title, .l2l-answer, .l2l-hint"):
        if "admonition-title" in part["class"]:
            if part.get_text().strip() == "Predict":
                predictions += 1
                part.append(f" {predictions}")
            title = part.get_text()
            continue
        if title:
            last.section.append(last.new_tag("h4", string=title))
            title = ""
        part.summary.decompose()
        part.name = "div"
        last.section.append(part.extract())
    if last.h4:
        article.append(last)


def print_book(browser: Browser, out: Path) -> None:
    """Write the PDF; a file that is there stays whole until the new one is complete.

    Raises:
        SystemExit: pages that are not built.
    """
    missing = [name for name in pages() if not (HTML / f"{name}.html").exists()]
    if missing:
        raise SystemExit(f"not built: {', '.join(missing)}; run make book first")
    texts = [{"name": name, "html": str(read(name))} for name in pages()]
    tab = browser.new_page()
    tab.goto((HTML / "book" / "notation.html").as_uri())  # a page with formulas, so that MathJax is there
    tab.wait_for_function("window.MathJax?.typesetPromise")
    gather = GATHER.replace("ROOT", repr(HTML.as_uri() + "/"))
    headings = tab.evaluate(gather, {"pages": texts, "style": STYLE})
    tab.emulate_media(media="print", color_scheme="light")
    part = out.with_suffix(".part")
    tab.pdf(
        path=part,
        format="A4",
        scale=0.8,
        outline=True,
        tagged=True,
        prefer_css_page_size=True,
        print_background=True,
    )
    tab.close()
    name_outline(part, headings)
    os.replace(part, out)


def name_outline(path: Path, headings: list[str]) -> None:
    """Give the outline's entries the headings' own words: Chromium repeats those that it moves to a new page."""
    writer = PdfWriter(clone_from=path)

    def entries(parent):
        entry = parent.get("/First")
        while entry is not None:
            entry = entry.get_object()
            yield entry
            yield from entries(entry)
            entry = entry.get("/Next")

    for entry, heading in zip(entries(writer.root_object["/Outlines"]), headings, strict=True):
        entry[NameObject("/Title")] = TextStringObject(heading)
    writer.write(path)


def name_on_front(file: Path, kind: str, html: Path = HTML) -> None:
    """Let the front page link to a file beside the pages, where it says how to make it: only now is it there."""
    front = html / "book" / "index.html"
    link = f'<span class="l2l-{kind}">: <a href="../{file.name}">{file.name}</a></span>'
    text = front.read_text(encoding="utf-8")
    front.write_text(re.sub(rf'<span class="l2l-{kind}">.*?</span>', link, text), encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HTML / "learning-to-learn.pdf"
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        raise SystemExit("make pdf needs Chromium: install the package chromium")
    with sync_playwright() as playwright:
        print_book(playwright.chromium.launch(executable_path=chromium), target)
    if target.parent == HTML:
        name_on_front(target, "pdf")
    print(f"Open {target}")
