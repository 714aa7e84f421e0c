"""The archives: pages that work from wherever they are unpacked, and every figure in both formats."""

import re
from zipfile import ZipFile

import archive
import pdf
import pytest
from archive import HTML
from nbformat.v4 import new_code_cell, new_notebook


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    count = archive.pack(archive.site(HTML), folder / "pages.zip")
    with ZipFile(folder / "pages.zip") as packed:
        packed.extractall(folder)
        assert len(packed.namelist()) == count
    assert not (folder / "pages.part").exists()
    return folder / "pages"


def test_the_pages_work_where_they_are_unpacked(browser, unpacked):
    context = browser.new_context(offline=True)
    tab, troubles = context.new_page(), []
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    for page in ("book/04-maml", "book/playground", "slides/session-03"):
        tab.goto((unpacked / f"{page}.html").as_uri())
        tab.wait_for_selector("mjx-container, .l2l-panel", state="attached")
        assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), page
    assert troubles == []
    context.close()


def test_no_link_of_the_front_page_leads_out_of_the_archive(unpacked):
    text = (unpacked / "book" / "index.html").read_text(encoding="utf-8")
    assert 'class="l2l-archive"></span>' in text
    for target in set(re.findall(r'(?:href|src)="([^"#?]*)', text)):
        assert not target or ":" in target or (unpacked / "book" / target).exists(), target


def test_the_front_page_names_the_archive(tmp_path):
    front = tmp_path / "book" / "index.html"
    front.parent.mkdir()
    front.write_text('in one file<span class="l2l-archive"></span>.', encoding="utf-8")
    for version in ("1", "2"):  # and again, for another version
        pdf.name_on_front(tmp_path / f"book-{version}.zip", "archive", tmp_path)
        assert front.read_text(encoding="utf-8").count(f'<a href="../book-{version}.zip">') == 1
    assert "book-1" not in front.read_text(encoding="utf-8")


def test_a_failure_leaves_the_old_archive_whole(tmp_path):
    archive.pack(iter([("a", b"1")]), tmp_path / "book.zip")

    def failing():
        yield "a", b"2"
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        archive.pack(failing(), tmp_path / "book.zip")
    with ZipFile(tmp_path / "book.zip") as packed:
        assert packed.read("book/a") == b"1"


def test_every_figure_in_both_formats(tmp_path):
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    named = {"mystnb": {"figure": {"caption": "A line.", "name": "fig-line"}}}
    unnamed = {"mystnb": {"figure": {"caption": "Another."}}}
    cells = [new_code_cell(plot, id="a", metadata=named), new_code_cell(plot, id="b", metadata=unnamed)]
    found = dict(archive.figures(new_notebook(cells=cells), {"a": "Figure 1.1", "b": "Figure 1.2"}, tmp_path))
    assert set(found) == {f"{name}.{s}" for name in ("figure-1.1-fig-line", "figure-1.2") for s in ("svg", "png")}
    assert found["figure-1.2.png"].startswith(b"\x89PNG")
    assert b"<svg" in found["figure-1.2.svg"]
