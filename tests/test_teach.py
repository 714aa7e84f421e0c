"""The teachers' page and its slides: minutes add up, links lead to their moments, and no slide is too full."""

import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
TEACH = (ROOT / "book" / "teach.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"(?s)^## Session (\d+): ([^\n]*)\n(.*?)(?=^## )", TEACH, re.M)
ROW = re.compile(r"^\| (\d+) \| (.*?) \| (.*) \|$", re.M)


def minutes_of_chapters(text):
    """{chapter: minutes to read}, from the front page's table."""
    return {
        int(n): int(m) for n, m in re.findall(r"\[(\d+) [^\]]*\]\(\d\d-[\w-]+\.ipynb\).*\| (\d+), and \d+ \|", text)
    }


def test_there_are_thirteen_sessions_of_ninety_minutes():
    assert [int(n) for n, _, _ in SESSIONS] == list(range(1, 14))
    for _, title, body in SESSIONS:
        assert sum(int(minutes) for minutes, _, _ in ROW.findall(body)) == 90, title


def test_a_chapters_sections_take_as_long_as_the_front_page_says():
    taught = {}
    for _, _, body in SESSIONS:
        for minutes, what, _ in ROW.findall(body):
            if chapter := re.search(r"\]\((\d\d)-", what):
                taught[int(chapter[1])] = taught.get(int(chapter[1]), 0) + int(minutes)
    assert taught == minutes_of_chapters((ROOT / "book" / "index.md").read_text(encoding="utf-8"))
    assert len(taught) == 13


def test_the_sessions_are_those_of_the_course():
    course = (ROOT / "book" / "course.md").read_text(encoding="utf-8").partition("## Thirteen sessions")[2]
    planned = re.findall(r"^\| (\d+) ([^|]*?) \| ([^|]*?) \|.*\|$", course, re.M)
    goals = [re.search(r"\*\*Goal\.\*\* (.*)", body)[1] for _, _, body in SESSIONS]
    assert [(n, title) for n, title, _ in SESSIONS] == [(n, title) for n, title, _ in planned]
    assert len(set(goals)) == 13


def test_every_session_has_a_misconception_and_a_question_that_exposes_it():
    for _, title, body in SESSIONS:
        assert re.search(r'^- "[^"]*" Ask: .*[?.]$', body.partition("**Listen for**")[2], re.M), title


def test_links_to_explorers_lead_to_the_moment_that_is_meant(browser, address):
    links = re.findall(r'<a href="((?:playground|03-line-10)\.html#(adapt|line10)\?([^"]*))">', TEACH)
    assert len(links) >= 10
    tab = browser.new_page()
    for link, kind, meant in links:
        tab.goto("about:blank")
        tab.goto(f"{address}/book/{link}")
        tab.wait_for_function(f"document.querySelector('[data-kind={kind}][data-live=yes]')?.l2l?.state")
        state = tab.evaluate(f"document.querySelector('[data-kind={kind}]').l2l.state")
        for name, (text,) in parse_qs(meant).items():
            if name in state:  # line10 keeps its tasks otherwise
                held = state[name]
                if name == "show":
                    assert held == text.split(",")
                else:
                    values = held if isinstance(held, list) else [held]
                    assert [float(v) for v in values] == [float(v) for v in text.split(",")], (link, name)
    tab.close()


@pytest.mark.parametrize("n", range(1, 14))
def test_slides_run_from_disk_and_none_is_too_full(browser, n):
    troubles, context = [], browser.new_context(offline=True, viewport={"width": 1200, "height": 720})
    tab = context.new_page()
    tab.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.goto((HTML / "slides" / f"session-{n:02d}.html").as_uri())
    tab.wait_for_selector("html[data-ready=yes]")
    assert troubles == []
    assert tab.title() == f"Session {n}: {SESSIONS[n - 1][1]}"
    assert tab.locator("mjx-merror").count() == 0
    count = tab.evaluate("Reveal.getTotalSlides()")
    assert count >= len(ROW.findall(SESSIONS[n - 1][2]))
    for i in range(count):
        slide = "Reveal.getCurrentSlide()"
        assert tab.evaluate(f"{slide}.scrollHeight <= 722 && {slide}.scrollWidth <= 1202"), f"slide {i + 1}"
        broken = "[...document.querySelectorAll('section.present img')].filter(i => !i.naturalWidth).length"
        assert tab.evaluate(broken) == 0
        tab.keyboard.press("ArrowRight")
    assert tab.evaluate("Reveal.isLastSlide()")
    assert tab.evaluate("document.querySelectorAll('aside.notes').length") > count / 2
    context.close()


def test_every_link_of_the_slides_leads_somewhere():
    files = sorted((HTML / "slides").glob("*.html"))
    assert len(files) == 13
    for path in files:
        text = path.read_text(encoding="utf-8")
        for target in set(re.findall(r'(?:href|src)="([^"#?]*)[^"]*"', text)):
            assert not target or ":" in target or (path.parent / target).exists(), f"{path.name}: {target}"
