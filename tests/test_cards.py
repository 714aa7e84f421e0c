"""The review cards: in the page, in the browser's memory, and in the file for Anki."""

import json
import re
from pathlib import Path

import pytest

expect = pytest.importorskip("playwright.sync_api").expect

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
DAY = 86_400_000
NOON = 20_000 * DAY + DAY // 2


@pytest.fixture
def tab(browser):
    """The page from disk, on a day that the test sets."""
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.clock.install(time=NOON / 1000)
    tab.goto((HTML / "book" / "cards.html").as_uri())
    tab.locator(".l2l-review button").wait_for()
    yield tab
    context.close()


def on_day(tab, days):
    tab.clock.set_system_time(NOON / 1000 + 86_400 * days)
    tab.reload()
    tab.locator(".l2l-review button").wait_for()
    return tab.locator(".l2l-review button").inner_text()


def answer(tab, verdict):
    tab.keyboard.press("Enter")  # the question has the focus; this opens its answer
    tab.get_by_role("button", name=verdict).click()


def test_a_card_comes_back_when_it_is_due(tab):
    total = tab.locator("details.l2l-card").count()
    assert 55 <= total <= 80
    invitation = tab.locator(".l2l-review button")
    expect(invitation).to_have_text(f"Review {total} due today")
    invitation.click()
    for _ in range(3):
        answer(tab, "I knew it")
    answer(tab, "Not yet")
    expect(tab.locator(".l2l-review-bar span")).to_have_text(f"{total - 3} to go")  # it comes again today
    tab.get_by_role("button", name="End").click()
    expect(invitation).to_have_text(f"Review {total - 4} due today")
    assert on_day(tab, 1) == f"Review {total} due today"
    invitation.click()
    answer(tab, "I knew it")  # for the second time: three days now
    tab.get_by_role("button", name="End").click()
    assert on_day(tab, 3) == f"Review {total - 1} due today"
    assert on_day(tab, 4) == f"Review {total} due today"


def test_all_known_is_all_done_until_tomorrow(tab):
    kept = {card: [1, 20_001] for card in tab.evaluate("[...document.querySelectorAll('.l2l-card')].map(c => c.id)")}
    last = list(kept)[-1]
    del kept[last]
    tab.evaluate("kept => localStorage.setItem('l2l-cards', JSON.stringify(kept))", kept)
    tab.reload()
    tab.locator(".l2l-review button").click()
    assert tab.get_by_role("button", name="I knew it").is_disabled()  # before the answer is open
    answer(tab, "I knew it")
    assert tab.locator(".l2l-review button").inner_text() == "Nothing is due today"
    assert tab.locator(".l2l-review button").is_disabled()
    assert json.loads(tab.evaluate("localStorage.getItem('l2l-cards')"))[last] == [1, 20_001]
    assert tab.locator("details.l2l-card:visible").count() == len(kept) + 1


def test_the_file_for_anki_holds_every_card():
    header, rows = [], []
    for line in (HTML / "_static" / "cards.txt").read_text(encoding="utf-8").splitlines():
        (header if line.startswith("#") else rows).append(line)
    assert header == ["#separator:tab", "#html:true", "#deck:Learning to Learn", "#tags column:3"]
    source = (ROOT / "book" / "cards.md").read_text(encoding="utf-8")
    assert len(rows) == source.count("```{dropdown}") == len({row.split("\t")[0] for row in rows})
    for row in rows:
        question, reply, chapter = row.split("\t")
        assert question.endswith("?")
        assert reply
        assert re.fullmatch(r"[\w-]+", chapter)
        assert "$" not in row
        assert "mjx" not in row
        assert row.count(r"\(") == row.count(r"\)")
