"""The glossary, and the previews of terms, symbols and equations: complete, offline, by pointer and by keyboard."""

import importlib.util
import json
import re
from types import SimpleNamespace

import pytest
from test_accessibility import AXE
from test_book import HTML, PAGES, ROOT, SCREENSHOTS, WIDTHS
from test_notebooks import NOTEBOOKS, load, source

GLOSSARY = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = [
    [line for line in entry.splitlines() if not line.startswith(" ")]
    for entry in re.search(r":sorted:\n\n(.*)\n```", GLOSSARY, re.S)[1].split("\n\n")
]
CHAPTERS = {
    path.stem: [source(cell) for cell in load(path)["cells"] if cell["cell_type"] == "markdown"] for path in NOTEBOOKS
}
ROLE = re.compile(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`")


def uses(chapter):
    return [term.casefold() for text in CHAPTERS[chapter] for term in ROLE.findall(text)]


def test_a_use_is_noticed():
    assert ROLE.findall("{term}`Two halves <split halves>`, *{term}`line 10`*") == ["split halves", "line 10"]


@pytest.mark.parametrize("names", ENTRIES, ids=lambda names: names[0])
def test_every_term_is_used_by_a_chapter(names):
    assert {name.casefold() for name in names} & {term for chapter in CHAPTERS for term in uses(chapter)}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_marks_a_term_once(chapter):
    assert len(set(uses(chapter))) == len(uses(chapter)) > 0


def prose(text):
    """Without roles but those of terms, without code, headings, tags and addresses."""
    text = re.sub(r"\{(?!term)[^}]*\}`[^`]*`|(?m:^:label:.*$|^`{3,}.*$|^#.*$)|<[^>]+>|\]\([^)]*\)", "", text)
    return re.sub(r"(?<!\})`[^`]*`", "", text)


def is_introduced(names, texts):
    """Whether the first of these texts that names a term marks it, or sets it in italics, too; None if none does."""
    for text in texts:
        plain, marked = re.sub(r"\{term\}`[^`]*`", "", prose(text)), " ".join(ROLE.findall(text))
        for name in map(re.escape, names):
            if re.search(name, marked, re.I) or re.search(rf"\*[^*\n]*{name}[^*\n]*\*", plain, re.I):
                return True
            if re.search(rf"(?<![\w-]){name}(?:s|es)?(?![\w-])", plain, re.I):
                return False
    return None


@pytest.mark.parametrize("names", ENTRIES, ids=lambda names: names[0])
def test_a_term_is_introduced_where_it_is_first_used(names):
    assert is_introduced(["inner loop"], ["The inner loop ends.", "An {term}`inner loop`"]) is False
    aims = r"By the end you will be able to\n\n(- .*\n?)+"
    assert is_introduced(names, [re.sub(aims, "", text) for chapter in CHAPTERS.values() for text in chapter])


def previews():
    text = (HTML / "_static" / "previews-data.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("window.l2lPreviews = ").removesuffix(";\n"))


def test_previews_repeat_no_id_and_hold_nothing_that_takes_the_focus():
    found = previews()
    assert len(found) > len(ENTRIES)
    assert [
        link for link, html in found.items() if re.search(r"<[^>]* id=|<(a|button|input|script|iframe)\b", html)
    ] == []
    assert [link for link, html in found.items() if not re.sub(r"<(?!img)[^>]*>", "", html).strip()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_to_terms_symbols_equations_and_figures_have_previews(page):
    text = (HTML / f"{page}.html").read_text(encoding="utf-8").split("<article")[1]
    wanted = re.findall(r'href="([\w./-]*#(?:term-|symbol-|equation-|fig-)[^"]*)"><', text)
    wanted += re.findall(r'href="(#equation-[^"]*)">\(', text)
    found = previews()
    assert [
        link for link in wanted if f"book/{link if link[0] != '#' else page[5:] + '.html' + link}" not in found
    ] == []


def test_previews_are_read_from_the_files(tmp_path):
    """So that a build of one changed page, which writes no other, finds the targets of all."""
    spec = importlib.util.spec_from_file_location("previews", ROOT / "book" / "_ext" / "previews.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    (tmp_path / "_static").mkdir()
    link = '<a class="reference internal" href="b.html#{}">it</a>'
    (tmp_path / "a.html").write_text(f"<article>{''.join(map(link.format, 'txsg'))}</article>")
    (tmp_path / "b.html").write_text(
        '<article><dl><dt id="t">task<a class="headerlink" href="#t">#</a></dt>'
        '<dd><p id="p">One <a href="c">function</a>.</p></dd></dl>'
        '<table><tr><td><span id="x">θ</span></td><td>start</td><td>dict</td></tr></table>'
        '<section><span id="s"></span><h2>Two</h2><p>First.</p><p>Second.</p></section></article>'
    )
    app = SimpleNamespace(
        builder=SimpleNamespace(format="html"), outdir=tmp_path, env=SimpleNamespace(found_docs={"a", "b"})
    )
    module.write(app, None)
    text = (tmp_path / "_static" / module.SCRIPT).read_text(encoding="utf-8")
    title = '<p class="l2l-preview-title">'
    assert json.loads(text.removeprefix("window.l2lPreviews = ").removesuffix(";\n")) == {
        "b.html#s": f"{title}Two</p><p>First.</p>",
        "b.html#t": f"{title}task</p><p>One <span>function</span>.</p>",
        "b.html#x": "<p><span>θ</span></p><p>start</p>",
    }


PREVIEW = "#l2l-preview"
IDS = "() => [...document.querySelectorAll('[id]')].map(part => part.id)"


@pytest.fixture
def disk(browser):
    """Opens a page as a file, with the network blocked, and watches what it asks for."""
    contexts, requests, troubles = [], [], []

    def open_page(name, width="desktop", scheme="light"):
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        contexts.append(context := browser.new_context(offline=True, viewport=size, color_scheme=scheme))
        tab = context.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.goto((HTML / "book" / f"{name}.html").as_uri(), wait_until="load")
        tab.wait_for_selector("mjx-container")
        return tab

    yield open_page
    assert [url for url in requests if not url.startswith((HTML.as_uri(), "data:", "blob:"))] == []
    assert troubles == []
    for context in contexts:
        context.close()


def test_pointer(disk):
    tab = disk("04-maml")
    link = tab.locator("article a[href='glossary.html#term-support-set']").first
    link.hover()
    tab.locator(PREVIEW).wait_for()
    assert "from which the learner may learn" in tab.locator(PREVIEW).inner_text()
    assert link.get_attribute("aria-describedby") == "l2l-preview"
    tab.locator(PREVIEW).hover()
    assert tab.locator(PREVIEW).is_visible()  # the pointer may go onto it
    tab.keyboard.press("Escape")
    assert tab.locator(PREVIEW).count() == 0
    assert link.get_attribute("aria-describedby") is None
    tab.locator("article h1").hover()
    link.hover()
    tab.locator(PREVIEW).wait_for()
    tab.locator("article h1").hover()
    assert tab.locator(PREVIEW).count() == 0


def test_keyboard(disk):
    tab = disk("04-maml")
    tab.keyboard.press("Tab")
    link = tab.locator("article a[href='glossary.html#term-meta-test']").first
    link.focus()
    tab.locator(PREVIEW).wait_for()
    assert "new tasks" in tab.locator(PREVIEW).inner_text()
    tab.locator("article h1").hover()
    assert tab.locator(PREVIEW).is_visible()  # as long as the focus is there
    tab.keyboard.press("Escape")
    assert tab.locator(PREVIEW).count() == 0
    assert link.evaluate("link => link === document.activeElement")
    tab.keyboard.press("Shift+Tab")
    assert tab.locator(PREVIEW).count() == 1  # the term before it
    tab.keyboard.press("Tab")
    tab.locator(PREVIEW).wait_for()
    assert "new tasks" in tab.locator(PREVIEW).inner_text()


@pytest.mark.parametrize(
    ("page", "target", "formulas"),
    [
        ("11-relatives", "#equation-eq-pattern", 1),
        ("glossary", "notation.html#symbol-lambda-max", 3),
        ("glossary", "02-bilevel.html#alg-maml", 0),
        ("08-step-length", "#fig-forest", 0),
        ("08-step-length", "03-line-10.html#exact-relu", 0),
        ("05-fomaml", "references.html#id3", 0),
    ],
)
@pytest.mark.parametrize(("width", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_preview_is_typeset_readable_and_accessible(disk, page, target, formulas, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab = disk(page, width, scheme)
    before = sorted(tab.evaluate(IDS))
    tab.keyboard.press("Tab")  # so that the focus is seen
    tab.locator(f"article a.internal[href='{target}']").first.focus()
    tab.locator(PREVIEW).wait_for()
    if formulas:
        tab.wait_for_selector(f"{PREVIEW} mjx-container")
    assert tab.locator(f"{PREVIEW} mjx-container").count() >= formulas
    assert tab.locator(f"{PREVIEW} mjx-merror").count() == 0
    assert not re.search(r"\\[(\[]|\$", tab.locator(PREVIEW).inner_text())
    assert tab.evaluate(
        "[...document.querySelectorAll('#l2l-preview img')].every(image => image.src.startsWith('file:'))"
    )
    assert sorted(tab.evaluate(IDS)) == sorted([*before, "l2l-preview"])
    box = tab.locator(PREVIEW).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= WIDTHS[width][0]
    assert tab.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    tab.screenshot(path=SCREENSHOTS / f"preview-{page}-{target.split('#')[1]}-{width}-{scheme}.png")
    tab.evaluate(axe.axe_script)
    tab.evaluate(AXE.replace("axe.run({", "axe.run('#l2l-preview', {"))  # the page has a test of its own
    assert tab.evaluate("window.found") == []
    assert tab.locator(PREVIEW).is_visible()


def test_every_formula_in_a_preview_can_be_typeset(disk):
    errors = """async () => {
        const all = document.createElement("div");
        all.innerHTML = Object.values(window.l2lPreviews).join("").replace(/<img[^>]*>/g, "");
        document.querySelector("article").append(all);
        await MathJax.typesetPromise([all]);
        return [all.querySelectorAll("mjx-container").length, all.querySelectorAll("mjx-merror").length];
    }"""
    typeset, failed = disk("glossary").evaluate(errors)
    assert failed == 0
    assert typeset > 100
