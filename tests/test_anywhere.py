"""The pages where readers open them: without storage, enlarged, in forced colours, in a frame of another site, under a
path, and under a content policy."""

import pytest
from conftest import HTML, opened, served

PAGES = ("book/index.html", "book/03-line-10.html", "book/08-step-length.html", "book/playground.html")


def live(frame):
    return frame.locator('.l2l-explorer[data-live="yes"]').count()


@pytest.fixture(params=["browser", "firefox"])
def either(request):
    return request.getfixturevalue(request.param)


BLOCKED = """for (const name of ["localStorage", "sessionStorage"]) {
  const descriptor = {get() { throw new DOMException("blocked", "SecurityError"); }, configurable: true};
  Object.defineProperty(window, name, descriptor);
}"""


def test_without_storage_everything_but_memory_works(either, address):
    with opened(either, BLOCKED) as tab:
        tab.goto(f"{address}/book/03-line-10.html")
        assert live(tab) == 2
        box = tab.get_by_label("done: Exercise", exact=False).first
        box.check()
        assert tab.evaluate("JSON.parse(localStorage.getItem('l2l-exercises-done')).length") == 1
        theme = tab.evaluate("document.documentElement.dataset.theme")
        while tab.evaluate("document.documentElement.dataset.theme") == theme:  # three modes; two may look alike
            tab.locator(".theme-switch-button:visible").first.click()
        tab.keyboard.press("Control+k")
        tab.locator("dialog[open] input").wait_for()
        assert tab.troubles == []


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("percent", [200, 400])
def test_enlarged_nothing_leaves_the_page(browser, address, page, percent):
    """A window of 1280 pixels, enlarged, has the layout of a narrower one (WCAG 1.4.10)."""
    with opened(browser, viewport={"width": 1280 * 100 // percent, "height": 800}) as tab:
        tab.goto(f"{address}/{page}")
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        text = tab.evaluate("parseFloat(getComputedStyle(document.querySelector('.bd-article p')).fontSize)")
        tab.wait_for_function("window.MathJax === undefined || MathJax.startup?.promise")
        for size in tab.locator('mjx-container[display="true"]').evaluate_all(
            "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
        ):
            assert size >= text


def test_in_forced_colours_lines_can_be_told_apart(browser, address):
    with opened(browser, forced_colors="active", reduced_motion="reduce") as tab:
        tab.goto(f"{address}/book/playground.html")
        assert tab.evaluate("matchMedia('(forced-colors: active)').matches")
        lines = tab.locator('[data-kind="adapt"] .l2l-plot').first.locator("path.l2l-line:visible")
        looks = lines.evaluate_all(
            "lines => lines.map(l => { const s = getComputedStyle(l); return `${s.stroke} ${s.strokeDasharray}`; })"
        )
        assert len(set(looks)) == len(looks) >= 5
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert not any(look.startswith(ground) for look in looks)


def test_on_paper_a_picture_stands_for_what_moves(browser, address):
    with opened(browser) as tab:
        tab.goto(f"{address}/book/03-line-10.html")
        tab.emulate_media(media="print")
        for explorer in tab.locator(".l2l-explorer").all():
            seen = explorer.locator(".l2l-still img, .l2l-panel svg.l2l-plot").evaluate_all(
                "all => all.some(one => one.checkVisibility())"
            )
            assert seen or explorer.get_attribute("data-kind") == "assemble"


@pytest.mark.parametrize("sandbox", ["allow-scripts allow-same-origin", "allow-scripts"])
def test_in_a_frame_of_another_site(either, address, tmp_path, sandbox):
    page = f'<!doctype html><iframe width=1000 height=800 sandbox="{sandbox}" src="{address}/book/playground.html">'
    (tmp_path / "host.html").write_text(page, encoding="utf-8")
    with served(tmp_path) as host, opened(either) as tab:
        tab.goto(f"{host}/host.html")
        frame = tab.frame_locator("iframe")
        shown = frame.locator('[data-kind="metatrain"][data-live="yes"]')
        shown.get_by_role("button", name="Train", exact=True).dispatch_event("click")
        told = shown.locator(".l2l-told").first
        while "a second" not in told.inner_text():
            tab.wait_for_timeout(50)
        # A sandboxed frame has no origin: a server must allow it to read fonts, which are the theme's icons.
        fonts = ("font", "Failed to load resource")
        assert [trouble for trouble in tab.troubles if not any(word in trouble for word in fonts)] == []


def test_under_a_path(browser, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "path").symlink_to(HTML, target_is_directory=True)
    with served(tmp_path) as site, opened(browser) as tab:
        failed = []
        tab.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        for page in PAGES:
            tab.goto(f"{site}/some/path/{page}")
            assert live(tab) >= 1
        tab.goto(f"{site}/some/path/search.html?q=hessian")
        tab.locator("#search-results li").first.wait_for()
        assert failed == []


SCRIPTS = "default-src 'self' 'unsafe-inline' data:; script-src 'self' 'unsafe-inline'"


@pytest.mark.parametrize(
    ("policy", "precision"),
    [
        (f"{SCRIPTS} 'wasm-unsafe-eval'; worker-src blob:", "single"),
        (f"{SCRIPTS}; worker-src blob:", "double"),
        (SCRIPTS, None),
    ],
)
def test_what_a_content_policy_allows(browser, policy, precision):
    """`worker-src blob:` to train, `'wasm-unsafe-eval'` to train fast. Without, a sentence, and all else works."""
    with served(Content_Security_Policy=policy) as site, opened(browser) as tab:
        tab.goto(f"{site}/book/playground.html")
        shown = tab.locator('[data-kind="metatrain"][data-live="yes"]')
        assert live(tab) == 2
        if precision:
            seen = []
            while len(seen) < 3:
                seen = shown.evaluate("root => Object.values(root.l2l.seen).map(one => one.precision)")
            assert set(seen) == {precision}
        else:
            shown.get_by_text("the page's content security policy blocks workers").wait_for()
            assert shown.get_by_role("button", name="Train", exact=True).is_disabled()
