"""Every entry of the page on symptoms shows what it says it shows."""

import ast
import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest
import torch

from l2l.check import Failed

PAGE = Path(__file__).resolve().parent.parent / "book" / "symptoms.md"
FENCE = re.compile(r"```(python|text)\n(.*?)\n```", re.DOTALL)


def entries():
    """[(heading, lines of code, what they print)], and the code that all of them build on."""
    before, *parts = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    [(_, setup)] = FENCE.findall(before)
    found = []
    for part in parts:
        (first, code), (second, shown) = FENCE.findall(part)
        assert (first, second) == ("python", "text"), part.splitlines()[0]
        found.append((part.splitlines()[0], code, shown))
    return setup, found


SETUP, ENTRIES = entries()


@pytest.fixture(autouse=True)
def every_warning():
    """Torch gives some of its warnings once in a process, and another test may have had it."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


def printed(code):
    """What the code prints: its output, its warnings and the last line of the error that ends it."""
    with contextlib.redirect_stdout(io.StringIO()) as out, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        names = {}
        exec(SETUP, names)
        try:
            exec(code, names)
        except Failed as failure:
            print(failure)
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    told = [f"{type(w.message).__name__}: {w.message}" for w in caught]
    return "\n".join([*told, out.getvalue()])


def program(code, shown):
    """The entry's lines, with what is typed after >>> beneath them."""
    typed = [line.removeprefix(">>> ") for line in shown.splitlines() if line.startswith(">>> ")]
    return "\n".join([code, *typed])


@pytest.mark.parametrize(("heading", "code", "shown"), ENTRIES, ids=[heading[:50] for heading, *_ in ENTRIES])
def test_an_entry_shows_what_it_says(heading, code, shown):
    output, at = printed(program(code, shown)), 0
    for line in shown.splitlines():
        if line.startswith(">>> "):
            continue
        parts = [part.strip() for part in line.split("…") if part.strip()]
        for part in parts:
            found = output.find(part, at)
            assert found > -1, f"{heading}\nwants: {part}\ngot: {output[at:]}"
            at = found + len(part)
    if re.match(r"`\w+(Error|Warning): ", heading):
        message = heading.strip("`")
        newer = message.replace(
            "One of the differentiated Tensors appears", "The differentiated Tensor at index 0 appears"
        )
        assert message in output or newer in output


@pytest.mark.parametrize(("heading", "code", "shown"), ENTRIES, ids=[heading[:50] for heading, *_ in ENTRIES])
def test_an_entry_is_short_and_says_where_it_was_met(heading, code, shown):
    assert len(code.splitlines()) <= 10
    assert max(map(len, code.splitlines())) <= 100
    ast.parse(code)
    part = PAGE.read_text(encoding="utf-8").partition(f"### {heading}\n")[2].partition("\n### ")[0]
    assert "**Probe.**" in part
    met = part.partition("**Met in**")[2]
    links = re.findall(r"\[([^\]]+)\]\(https://github\.com/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d+)\)", met)
    assert links
    assert all(number == text.rpartition("#")[2] for text, _, number in links)


def test_there_are_enough():
    assert len(ENTRIES) >= 25
    assert len({heading for heading, *_ in ENTRIES}) == len(ENTRIES)
