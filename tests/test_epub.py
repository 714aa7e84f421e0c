"""The EPUB: well-formed, complete, and with links that lead somewhere."""

import posixpath
import re
import shutil
import subprocess
from urllib.parse import unquote
from xml.etree import ElementTree
from zipfile import ZipFile

import epub
import pytest
from pdf import HTML, pages

XHTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    out = tmp_path_factory.mktemp("epub") / "book.epub"
    epub.write(out)
    assert not out.with_suffix(".part").exists()
    return out


@pytest.fixture(scope="module")
def documents(book):
    """{name: its XML}; a page that is not well-formed fails here."""
    with ZipFile(book) as packed:
        names = [n for n in packed.namelist() if n.endswith(".xhtml") and "nav" not in n]
        return {posixpath.basename(n): ElementTree.fromstring(packed.read(n)) for n in names}


def test_every_page_is_there(documents):
    assert set(documents) == {f"{name.rpartition('/')[2]}.xhtml" for name in pages()}
    for name, root in documents.items():
        assert root.find(f".//{XHTML}h1") is not None, name
        assert not list(root.iter(f"{XHTML}script"))


def test_every_formula_is_mathml_with_its_tex(documents):
    for page in pages():
        html = (HTML / f"{page}.html").read_text(encoding="utf-8")
        article = html.split("<article")[1].split("</article>")[0]
        count = len(re.findall(r'<(?:span|div) class="math[ "]', article))
        found = [tag for tag in documents[f"{page.rpartition('/')[2]}.xhtml"].iter() if tag.tag.endswith("}math")]
        assert len(found) == count, page
        assert all(formula.get("alttext") for formula in found)


def test_links_and_images_lead_somewhere(book, documents):
    ids = {name: {tag.get("id") for tag in root.iter()} for name, root in documents.items()}
    with ZipFile(book) as packed:
        files = {posixpath.relpath(name, "EPUB") for name in packed.namelist()}
    for name, root in documents.items():
        for link in root.iter(f"{XHTML}a"):
            target, _, anchor = unquote(link.get("href", "")).partition("#")
            if "://" not in target:
                assert (target or name) in documents, (name, target)
                assert not anchor or anchor in ids[target or name], (name, target, anchor)
        for image in root.iter(f"{XHTML}img"):
            assert image.get("src") in files, (name, image.get("src"))
            assert image.get("alt") is not None


def test_epubcheck_finds_nothing(book):
    if shutil.which("epubcheck") is None:
        pytest.skip("no epubcheck here")
    told = subprocess.run(["epubcheck", book], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
