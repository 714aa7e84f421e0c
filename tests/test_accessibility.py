"""What axe says of the built pages."""

import pytest
from test_book import PAGES, WIDTHS

# What unfolds is at its end once nothing moves. Only violations are kept: one line for each element.
AXE = """() => {
    const rules = Object.fromEntries(axe.getRules(["experimental"]).map(rule => [rule.ruleId, {enabled: true}]));
    const lines = ({id, nodes}) => nodes.map(node => `${id}: ${node.target} ${node.html.slice(0, 120)}`);
    const frame = () => new Promise(requestAnimationFrame);
    const settled = async () => {
        do {
            document.getAnimations().forEach(animation => animation.cancel());
            await frame();
            await frame();  // of what a cancelled one set off
        } while (document.getAnimations().length);
    };
    window.found = settled()
        .then(() => axe.run({rules, resultTypes: ["violations"]}))
        .then(({violations}) => violations.flatMap(lines));
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
        tab.evaluate(AXE)  # begins; the tabs work at the same time
    found = []
    for (width, scheme), tab in tabs.items():
        found += [f"{page}, {width}, {scheme}: {trouble}" for trouble in tab.evaluate("window.found")]
        tab.context.close()
    assert not found, "\n".join(found)
