"""The built pages, as files and in a real browser. `make book` builds them; `make test` does so first."""

import re
from pathlib import Path

import pytest
import yaml

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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_in_the_browser(browser, address, page, width, scheme):
    """Nothing is missing, wrong or too wide. A screenshot is kept, to be looked at."""
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    context = browser.new_context(viewport=size, color_scheme=scheme)
    tab, troubles, requests = context.new_page(), [], []
    tab.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("response", lambda response: troubles.append(response.url) if response.status >= 400 else None)
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(f"{address}/{page}.html", wait_until="networkidle")
    assert troubles == []
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert tab.evaluate("[...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.src)") == []
    if tab.query_selector(".math"):
        assert tab.evaluate("document.querySelectorAll('mjx-container').length") > 0
        assert tab.evaluate("document.querySelectorAll('mjx-merror').length") == 0
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    tab.screenshot(path=SCREENSHOTS / f"{Path(page).name}-{width}-{scheme}.png", full_page=True)
    context.close()


def test_from_disk_without_a_server(browser):
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.goto((HTML / "book" / "01-few-shot.html").as_uri(), wait_until="load")
    tab.wait_for_selector("mjx-container")
    assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    context.close()


def test_folded_solutions_open_by_keyboard(browser, address):
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{address}/book/01-few-shot.html", wait_until="networkidle")
    solution = tab.locator(".solution").first
    text = solution.get_by_text("The determinant", exact=False)
    assert not text.is_visible()
    solution.locator("button.toggle-button").focus()
    tab.keyboard.press("Enter")
    text.wait_for(state="visible", timeout=3000)
    context.close()
