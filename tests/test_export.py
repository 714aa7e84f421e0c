"""The notebooks that people open: in step with the chapters, free of what only the pages understand, and runnable."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from html import escape
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import export
import nbformat
import pytest

from l2l.check import EXERCISES, Failed

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
WRITTEN = sorted(NOTEBOOKS.rglob("*.ipynb"))
PLAIN = [path for path in WRITTEN if path.parent == NOTEBOOKS]
ADDRESS = "https://github.com/some-group/a-book"


def cells(path, kind):
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def named(path):
    return str(path.relative_to(NOTEBOOKS).with_suffix(""))


every = pytest.mark.parametrize("path", WRITTEN, ids=named)
plain = pytest.mark.parametrize("path", PLAIN, ids=named)


def test_they_are_in_step_with_the_chapters(tmp_path):
    export.export(tmp_path)
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.ipynb")}
    assert {path.relative_to(NOTEBOOKS): path.read_bytes() for path in WRITTEN} == written, "run make export"
    assert len(written) == 2 * len(export.CHAPTERS) > 0


@every
def test_nothing_is_left_that_only_the_pages_understand(path):
    for text in cells(path, "markdown"):
        prose = re.sub(r"(?s)```.*?```|`[^`\n]*`|\$\$.*?\$\$", "", re.sub(r"\{[a-z:]+\}`", "ROLE", text))
        assert not re.search(r"ROLE|:::|^\([\w-]+\)=|^:\w+:|\{numref\}", prose, re.M), text
        assert "```{" not in text
        assert text.count("<details") == text.count("</details>")
        assert "<details open" not in text
        # VS Code and GitHub take a dollar before a letter or a digit for no end of a formula
        assert not any(after.isalnum() for after in re.findall(r"\$[^$\n]+\$(.?)", prose)), text


@every
def test_it_is_clean_and_describes_itself(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert notebook.cells[0].source.startswith("# ")
    assert re.search(r"chapter \d+ of 13, \d+ minutes", notebook.cells[0].source)
    folded = [c for c in notebook.cells if c.cell_type == "code" and c.source.startswith("# @title")]
    assert all(c.metadata["cellView"] == "form" and c.metadata["jupyter"]["source_hidden"] for c in folded)
    assert "import l2l" in "\n".join(cells(path, "code"))


@every
def test_every_link_leads_somewhere(path):
    here = "\n".join(cells(path, "markdown"))
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```|`[^`\n]*`|\$[^$]*\$", "", here)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        if anchor and there.suffix == ".ipynb":
            assert f'<a id="{escape(unquote(anchor))}"></a>' in "\n".join(cells(there, "markdown")), target


def statements(sources):
    """What a notebook executes, without its own checks of what its text says."""
    trees = [ast.parse(source).body for source in sources]
    return [ast.dump(s) for body in trees for s in body if not isinstance(s, ast.Assert)]


@pytest.mark.parametrize("chapter", export.CHAPTERS, ids=lambda path: path.stem)
def test_the_solved_edition_runs_what_the_chapter_runs(chapter):
    _, *authored = [c for c in nbformat.read(chapter, 4).cells if c.cell_type == "code"]
    hidden = {"remove-cell", "remove-input", "hide-input"}
    theirs = [c.source for c in authored if "- began" not in c.source]
    ours = [s for s in cells(NOTEBOOKS / "solved" / chapter.name, "code") if not s.startswith("# @title Set-up")]
    assert statements(ours) == statements(theirs)
    shown = [c.source for c in authored if not hidden & set(c.metadata.get("tags", ()))]
    assert [s for s in ours if not s.startswith("# @title")] == shown


def test_no_cell_needs_an_exercise_to_be_done():
    """Every name is bound by a cell before, with all exercises left open."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", *PLAIN]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@plain
def test_solutions_are_folded_and_stand_below_the_cell_for_an_answer(path):
    notebook = nbformat.read(path, 4)
    kinds = []
    for cell in notebook.cells:
        if "### Exercise" in cell.source:
            kinds.append("exercise")
            assert cell.source.count('<details class="l2l-hint">') >= 2
        elif cell.source.startswith("<details>\n<summary>Solution"):
            kinds.append("solution")
        elif "# Your answer" in cell.source or "raise NotImplementedError" in cell.source:
            kinds.append("answer")
    assert kinds == ["exercise", "answer", "solution"] * (len(kinds) // 3)
    assert len(kinds) >= 15


def answer_cells():
    """{exercise: its cell in the plain edition}."""
    found = {}
    for path in PLAIN:
        for source in cells(path, "code"):
            if "raise NotImplementedError" in source:
                found[re.search(r"^check\.(\w+)\(", source, re.M).group(1)] = source
    return found


def typed(exercise, body):
    """Run an exercise's cell with these lines in place of those to be written."""
    before, rest = answer_cells()[exercise].split("    raise NotImplementedError")
    after = rest.partition("\n")[2]
    exec(compile(f"import torch, l2l, learners\n{before}    {body}\n{after}", exercise, "exec"), {})


def test_every_exercise_that_is_checked_has_its_cell():
    assert set(answer_cells()) == set(EXERCISES)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_cell_that_is_left_open_says_so_and_goes_on(exercise, capsys):
    exec(compile(answer_cells()[exercise], exercise, "exec"), {})
    assert capsys.readouterr().out == f"{exercise}: not written yet.\n"


RIGHT = {
    "sample_tasks": "return learners.own_sample()(tasks, shots, query, generator)",
    "fit_sinusoid": "return learners.own_fit()(x, y)",
    "adapt": "return learners.own_adapt()(theta, x, y, alpha, steps)",
    "meta_loss": "return learners.own_meta_loss(theta, batch, alpha, steps).item()",
    "hessian_vector_product": "return learners.hvp_by_differences(theta, x, y, v)",
    "meta_gradient": "return learners.through_a_module(theta, batch, alpha, steps)",
    "best_single_function": "return learners.by_quadrature(x, amplitude, phase)",
    "posterior_mean": "return learners.own_posterior()(x, y, noise)",
    "implicit_gradient": "return learners.own_implicit()(phi, x_support, y_support, x_query, y_query, rho)",
    "checkpointed_gradient": "return learners.own_checkpointed()(theta, batch, alpha, steps, every)",
}
WRONG = {
    "sample_tasks": ("return learners.own_sample(anew=True)(tasks, shots, query, generator)", "anew for the query"),
    "fit_sinusoid": ("return learners.own_fit()(x, y)[::-1]", "b comes before A"),
    "adapt": ("return learners.own_adapt(create_graph=False)(theta, x, y, alpha, steps)", "create_graph"),
    "meta_loss": ("return 3 * learners.own_meta_loss(theta, batch, alpha, steps)", "sum in place of the mean"),
    "best_start": ("return learners.own_best_start(1)(c, h, alpha, steps)", "first-order"),
    "unrolled_product": ("return learners.own_product(lambda H: H.flip(0))(hessians, g, alpha)", "reversed product"),
    "meta_gradient": ("return learners.by_autograd(swap=True)(theta, batch, alpha, steps)", "support"),
    "adaptation_curve": ("return learners.own_curve(carry=True)(theta, batch, alpha, steps)", "the last one ended"),
    "fomaml_gradient": ("return learners.by_autograd()(theta, batch, alpha, steps)", "full gradient of MAML"),
    "pretrain_gradient": ("pass", "Is there a return at the end of your function?"),
}


@pytest.fixture
def patience(monkeypatch):
    monkeypatch.setattr("l2l.check.sandbox.SECONDS", 180.0)


@pytest.mark.parametrize("exercise", RIGHT)
def test_a_right_answer_typed_into_its_cell(exercise, capsys, patience):
    typed(exercise, RIGHT[exercise])
    assert re.match(rf"{exercise}: right", capsys.readouterr().out)


@pytest.mark.parametrize("exercise", WRONG)
def test_a_wrong_answer_typed_into_its_cell(exercise, patience):
    body, words = WRONG[exercise]
    with pytest.raises(Failed, match=re.escape(words)):
        typed(exercise, body)


class TestSetUp:
    """The first cell, where the library is and where it isn't."""

    @pytest.fixture
    def run(self, monkeypatch):
        calls = []

        def run(missing=(), status=0):
            find = importlib.util.find_spec
            monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
            ended = SimpleNamespace(returncode=status)
            monkeypatch.setattr(subprocess, "run", lambda command: calls.append(command) or ended)
            (source,) = (s for s in cells(PLAIN[0], "code") if s.startswith("# @title Set-up"))
            exec(compile(source, "set-up", "exec"), {})
            return calls

        return run

    def test_where_the_library_is_nothing_is_installed(self, run):
        assert run() == []

    def test_torch_and_numpy_stay_as_they_are(self, run):
        (command,) = run(missing=["l2l"])
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        assert f"l2l @ git+{export.URL}" in command
        assert {f"{name}=={importlib.metadata.version(name)}" for name in ("torch", "numpy")} <= set(command)

    def test_without_a_network_it_says_what_to_do(self, run):
        with pytest.raises(SystemExit, match="network"):
            run(missing=["l2l"], status=1)

    def test_in_a_browser_it_says_where_else(self, run, monkeypatch):
        monkeypatch.setattr(sys, "platform", "emscripten")
        with pytest.raises(SystemExit, match="no PyTorch in a browser"):
            run(missing=["l2l", "torch"])


def test_with_a_real_address_there_are_links_to_pages_and_to_colab(monkeypatch):
    monkeypatch.setattr(export, "URL", ADDRESS)
    chapter = next(path for path in export.CHAPTERS if path.stem == "04-maml")
    for folder, solved in (("notebooks", False), ("notebooks/solved", True)):
        text = "\n".join(c.source for c in export.Export(export.survey(), chapter, solved).notebook().cells)
        assert "(https://some-group.github.io/a-book/book/04-maml.html)" in text
        assert f"https://colab.research.google.com/github/some-group/a-book/blob/main/{folder}/04-maml.ipynb" in text
        assert f"https://kaggle.com/kernels/welcome?src={ADDRESS}/blob/main/{folder}/04-maml.ipynb" in text
        also = "(https://some-group.github.io/a-book/book/02-bilevel.html#alg-maml)"
        assert f"(02-bilevel.ipynb#alg-maml) ([page]{also})" in text
        assert "YOUR_ORG" not in text
