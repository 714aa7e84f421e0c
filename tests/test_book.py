"""The built pages, as files and in a real browser. `make book` builds them; `make test` does so first."""

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
import yaml
from conftest import opened

from l2l.check.golden import GOLDEN

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
WIDTHS = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 900)}
SCREENSHOTS = ROOT / "_build" / "screenshots"


@pytest.mark.parametrize("page", PAGES)
def test_page_exists_and_is_current(page):
    built = HTML / f"{page}.html"
    assert built.is_file(), "build the pages first: make book"
    sources = [path for path in (ROOT / f"{page}.md", ROOT / f"{page}.ipynb") if path.exists()]
    assert sources
    assert built.stat().st_mtime >= sources[0].stat().st_mtime, "build the pages again: make book"
    text = built.read_text(encoding="utf-8")
    assert "{glue:" not in text
    assert "{cite" not in text
    assert "colab.research" not in text or "YOUR_ORG" not in text


@pytest.mark.parametrize("page", PAGES)
def test_every_image_exists_and_has_alt_text(page):
    text = (HTML / f"{page}.html").read_text(encoding="utf-8")
    for tag in re.findall(r"<img[^>]*>", text):
        source, alt = (re.search(rf'{name}="([^"]*)"', tag) for name in ("src", "alt"))
        assert alt, tag
        assert alt[1].strip(), tag
        assert source[1].startswith("data:image/") or ((HTML / page).parent / source[1]).exists(), tag[:200]


def test_root_page_leads_to_the_book_and_jekyll_is_off():
    assert "book/index.html" in (HTML / "index.html").read_text(encoding="utf-8")
    assert (HTML / ".nojekyll").exists()


# Formulas that nobody has typeset, as Markdown leaves them within HTML.
RAW = r"""() => {
    const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) {
        const {data, parentElement} = texts.currentNode;
        if (/\$[^$]+\$|\\[(\[]/.test(data) && !parentElement.closest("pre, code, script, style")) found.push(data);
    }
    return found;
}"""


@pytest.mark.parametrize("page", PAGES)
def test_in_the_browser(browser, address, page):
    """Nothing is missing, wrong or too wide, at any width, light and dark. Screenshots are kept, to be looked at."""
    requests = []
    with opened(browser, color_scheme="light") as tab:
        tab.on("response", lambda response: tab.troubles.append(response.url) if response.status >= 400 else None)
        tab.on("request", lambda request: requests.append(request.url))
        for width, (across, down) in WIDTHS.items():
            tab.set_viewport_size({"width": across, "height": down})
            if not requests:
                tab.goto(f"{address}/{page}.html", wait_until="networkidle")
            for scheme in ("light", "dark"):
                tab.emulate_media(color_scheme=scheme)
                tab.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
                assert tab.evaluate("document.documentElement.scrollWidth") <= across, (width, scheme)
                picture = SCREENSHOTS / f"{Path(page).name}-{width}-{scheme}.jpeg"
                tab.screenshot(path=picture, full_page=True)  # JPEG takes half as long as PNG
        assert tab.evaluate("[...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.src)") == []
        if tab.query_selector(".math"):
            assert tab.evaluate("document.querySelectorAll('mjx-container').length") > 0
            assert tab.evaluate("document.querySelectorAll('mjx-merror').length") == 0
        assert tab.evaluate(RAW) == []
        assert tab.troubles == []
        assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []


def test_from_disk_without_a_server(browser):
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.goto((HTML / "book" / "01-few-shot.html").as_uri(), wait_until="load")
    tab.wait_for_selector("mjx-container")
    assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    context.close()


# One press of the tabulator's key, then of the key that uses what has the focus. Says what was used, and what it did.
FOCUSED = """() => {
    const here = document.activeElement;
    const kinds = {choice: "details.l2l-choice > summary", solution: ".solution button.toggle-button",
                   exercise: ".exercise input[type=checkbox]"};
    return Object.keys(kinds).find(kind => here.matches(kinds[kind])) ?? (here === document.body ? "end" : "other");
}"""
SEEN = "part => part.getClientRects().length > 0 && getComputedStyle(part).outlineStyle !== 'none'"


@pytest.mark.parametrize("chapter", [page for page in PAGES if re.match(r"book/0[1-7]-", page)])
def test_questions_exercises_and_solutions_by_keyboard_alone(browser, address, chapter):
    """Only keys are pressed, from the page's first stop to its last. What is ticked stays ticked."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    another, tab = context.new_page(), context.new_page()
    for page in (another, tab):
        page.goto(f"{address}/{chapter}.html", wait_until="networkidle")
    ids = tab.locator(".exercise[id]").evaluate_all("all => all.map(exercise => exercise.id)")
    expected = {"choice": tab.locator(".l2l-choice").count(), "solution": len(ids), "exercise": len(ids)}
    assert len(ids) >= 5
    assert expected["choice"] >= 3 * 3  # questions times choices
    used = dict.fromkeys(expected, 0)
    tab.keyboard.press("Tab")
    while (kind := tab.evaluate(FOCUSED)) != "end":
        if kind in used:
            used[kind] += 1
            focused = tab.evaluate_handle("document.activeElement").as_element()
            assert focused.evaluate(SEEN), (kind, "the focus can't be seen")
            inside = focused.evaluate_handle("part => part.closest('details, .solution, .exercise')").as_element()
            text = inside.query_selector("p:not(.admonition-title)")
            assert kind == "exercise" or not text.is_visible()
            tab.keyboard.press("Space" if kind == "exercise" else "Enter")
            if kind == "exercise":
                assert focused.is_checked()
                assert "Exercise" in focused.get_attribute("aria-label")
            else:
                text.wait_for_element_state("visible")
        tab.keyboard.press("Tab")
    assert used == expected
    another.locator(".exercise input").first.check()  # this page was read before anything was ticked
    tab.reload(wait_until="networkidle")
    assert tab.locator(".exercise input:checked").count() == len(ids)
    tab.goto(f"{address}/book/course.html", wait_until="networkidle")
    assert f"Ticked so far in this browser: {len(ids)}." in tab.locator("main").inner_text()
    context.close()


HOMES = {
    "Hessian-vector product": "book/03-line-10",
    "edge of stability": "book/08-step-length",
    "few-shot": "book/01-few-shot",
    "Run.stored": "book/api",
}
HOMES |= dict.fromkeys(
    (
        "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn",
        "RuntimeError: One of the differentiated Tensors appears to not have been used in the graph. "
        "Set allow_unused=True if this is the desired behavior.",
        "The differentiated Tensor at index 0 appears to not have been used in the graph.",
        "TypeError: unsupported operand type(s) for *: 'float' and 'NoneType'",
        "RuntimeError: One of the differentiated Tensors does not require grad",
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
        "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
        "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
        "saved tensors after calling backward.",
        "RuntimeError: a leaf Variable that requires grad is being used in an in-place operation.",
        "one of the variables needed for gradient computation has been modified by an inplace operation",
        "RuntimeError: vmap: called random operation while in randomness error mode.",
        "the derivative for '_cudnn_rnn_backward' is not implemented.",
        "UserWarning: The .grad attribute of a Tensor that is not a leaf Tensor is being accessed.",
        "Using backward() with create_graph=True will create a reference cycle",
    ),
    "book/symptoms",
)


@pytest.mark.parametrize("words", HOMES)
def test_search_finds(browser, address, words):
    tab = browser.new_page()
    tab.goto(f"{address}/search.html?{urlencode({'q': words})}")
    tab.wait_for_function("document.querySelector('.search-summary')?.textContent.includes('found')")
    links = tab.locator("#search-results li > a").evaluate_all("all => all.map(link => link.pathname)")
    assert f"/{HOMES[words]}.html" in links[:5]
    tab.close()


def test_a_pasted_gradient_is_compared_with_the_golden_vectors(browser):
    """From disk, as a port to another language would use it: right, a known mistake, a multiple, and no gradient."""
    problems = json.loads(GOLDEN.read_text(encoding="utf-8"))["problems"]
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.goto((HTML / "book" / "verify.html").as_uri())
    for name, problem in problems.items():
        tab.select_option("[name=problem]", name)
        for i, stored in enumerate(problem["cases"]):
            tab.select_option("[name=case]", str(i))
            given = json.loads(tab.input_value("[name=given]"))
            assert given == {key: stored[key] for key in ("theta", "batch", "alpha", "steps")}
            sentence, wrong = next(iter(stored["mistakes"].items()))
            flat = np.concatenate([np.ravel(g) for g in stored["gradient"].values()])
            for answer, words in (
                (stored["gradient"], "Right: relative deviation"),
                (wrong, sentence),
                ((3 * flat).tolist(), "It is the right gradient times 3.000."),
                ((0 * flat).tolist(), "It is zero."),
                (flat[1:].tolist(), f"must hold {len(flat)} numbers, got {len(flat) - 1}."),
                ({"W1": stored["gradient"]["W1"]}, "The gradient lacks b1"),
                ("three", "must hold finite numbers"),
            ):
                tab.fill("[name=gradient]", json.dumps(answer))
                tab.click("form.verify button")
                assert words in tab.text_content("form.verify [role=status]")
    tab.fill("[name=gradient]", "W1 = 3")
    tab.click("form.verify button")
    assert "This is not JSON" in tab.text_content("form.verify [role=status]")
    context.close()
