"""The whole book as one PDF: every chapter, figure, exercise, solution and question, and links that stay inside."""

import re
from html import unescape

import pytest

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("playwright")

from pdf import HTML, pages, print_book  # noqa: E402


@pytest.fixture(scope="module")
def html():
    files = [HTML / f"{name}.html" for name in pages()]
    if not all(file.exists() for file in files):
        pytest.skip("the pages are not built")
    return "\n".join(file.read_text(encoding="utf-8").split("<article")[1].split("</article>")[0] for file in files)


@pytest.fixture(scope="module")
def pdf(html, browser, tmp_path_factory):
    out = HTML / "learning-to-learn.pdf"
    newest = max(
        (HTML / f"{name}.html").stat().st_mtime for name in pages() if name != "book/index"
    )  # it gets the link
    if not out.exists() or out.stat().st_mtime < newest:  # or `make pdf` has printed these very pages
        out = tmp_path_factory.mktemp("pdf") / "book.pdf"
        print_book(browser, out)
    assert not out.with_suffix(".part").exists()
    return pypdf.PdfReader(out)


@pytest.fixture(scope="module")
def text(pdf):
    found = " ".join(page.extract_text() for page in pdf.pages)
    return re.sub(r"\s+", " ", found).replace("ﬀ", "ff").replace("ﬁ", "fi").replace("ﬂ", "fl")


def test_every_chapter_is_in_the_outline(pdf, html):
    def titles(outline):
        for entry in outline:
            if isinstance(entry, list):
                yield from titles(entry)
            else:
                yield entry.title

    found = " | ".join(titles(pdf.outline))
    for heading in re.findall(r"<h1>(.*?)<a class=\"headerlink", html):
        plain = re.sub(r"<[^>]+>", "", heading).split(". ")[-1]
        assert plain in found, plain


def test_exercises_solutions_and_questions_are_unfolded(html, text):
    for what in ("Solution to", "Exercise"):
        assert text.count(what) >= len(re.findall(rf'class="admonition-title">[^\n]*{what}', html)) > 30
    explanations = re.findall(r'<details class="l2l-(?:choice|answer|hint)">.*?</summary>\s*<p>(.*?)</p>', html, re.S)
    assert len(explanations) >= 13 * (4 * 3 + 3 + 5 * 2)

    def run_on(words):  # where a line of the PDF ends means nothing
        return "".join(words.split())

    whole = run_on(text)
    for explanation in explanations:
        words = unescape(re.sub(r"<[^>]+>", "", explanation))[:40]
        assert run_on(re.split(r"“|\\", words)[0]) in whole, words  # up to a quotation mark or a formula


def test_every_figure_is_there_and_whole(pdf, html, text):
    captions = set(re.findall(r"Fig\. (\d+\.\d+)", re.sub(r"<[^>]+>", "", html)))
    assert len(captions) >= 20
    assert not [number for number in captions if f"Fig. {number}" not in text]
    images = len(re.findall(r"<img [^>]*(?:_images|data:image/png)", html))
    assert (
        sum(len(page.images.keys()) for page in pdf.pages) >= images - 3
    )  # one may be on two pages, and some are the same


def test_links_stay_inside(pdf):
    inside = 0
    for page in pdf.pages:
        for annotation in page.get("/Annots") or []:
            link = annotation.get_object()
            if link.get("/Subtype") == "/Link":
                inside += "/Dest" in link
                assert not str(link.get("/A", {}).get("/URI", "")).startswith("file"), link["/A"]["/URI"]
    assert inside > 150
