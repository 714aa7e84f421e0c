"""What axe says of the built pages."""

import pytest
from test_book import PAGES, WIDTHS

# Whether what unfolds is at its end, and the theme has given what then scrolls a stop for the tabulator's key.
SETTLED = """() => {
    document.getAnimations().forEach(animation => animation.cancel());
    const missed = pre => pre.scrollWidth > pre.clientWidth && pre.tabIndex < 0;
    return !document.getAnimations().length && ![...document.querySelectorAll("pre")].some(missed);
}"""
# Contrast is computed element by element. Of code, three words of each colour will do.
FEWER = """() => {
    const seen = {};
    for (const word of document.querySelectorAll("div.highlight pre span"))
        if ((seen[word.className] = (seen[word.className] ?? 0) + 1) > 3) word.replaceWith(...word.childNodes);
}"""
# Only violations are kept: one line for each element.
AXE = """() => {
    const rules = Object.fromEntries(axe.getRules(["experimental"]).map(rule => [rule.ruleId, {enabled: true}]));
    const lines = ({id, nodes}) => nodes.map(node => `${id}: ${node.target} ${node.html.slice(0, 120)}`);
    window.found = axe.run({rules, resultTypes: ["violations"]}).then(({violations}) => violations.flatMap(lines));
}"""


@pytest.mark.parametrize("page", [*PAGES, "genindex", "py-modindex", "search"])
def test_accessible(browser, address, page):
    """axe finds nothing wrong, its experimental rules included, everything unfolded, both widths, both schemes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tabs = {}
    for width, scheme in (("phone", "dark"), ("desktop", "light")):
        across, down = WIDTHS[width]
        context = browser.new_context(viewport={"width": across, "height": down}, color_scheme=scheme)
        tabs[width, scheme] = tab = context.new_page()
        tab.goto(f"{address}/{page}.html", wait_until="networkidle")
        tab.evaluate(axe.axe_script)
        tab.evaluate("document.querySelectorAll('summary, button.toggle-button').forEach(part => part.click())")
        tab.wait_for_function(SETTLED)
        tab.evaluate(FEWER)
        tab.evaluate(AXE)  # begins; the tabs work at the same time
    found = []
    for (width, scheme), tab in tabs.items():
        found += [f"{page}, {width}, {scheme}: {trouble}" for trouble in tab.evaluate("window.found")]
        tab.context.close()
    assert not found, "\n".join(found)
