"""The notebooks as files: executed in order, clean, described. That they run, nbval checks."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(ROOT.glob("book/*.ipynb"))


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


SETTINGS_OF_OTHERS = {"70,000", "1,761"}  # iterations of the paper's released code; parameters of its network
NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?![\w])")


def numbers_typed(markdown):
    """Numbers in prose that could be results: decimals, percentages, and whole numbers from 13 on."""
    for block in (
        r"`{3,}.*?`{3,}",
        r":::\{admonition\} Predict.*?:::",
        r"## Check yourself.*?(?=\n## |\Z)",  # what a question gives, and what follows from it
        r"\{cite[^}]*\}`[^`]*`",
        r"`[^`]*`",
        r"\]\([^)]*\)",
        r"sections? [\d.]+",
    ):
        markdown = re.sub(block, " ", markdown, flags=re.S)
    for part in re.split(r"(\$\$.*?\$\$|\$[^$]*\$)", markdown, flags=re.S):
        for match in NUMBER.finditer(part.replace("{", " ").replace("}", " ")):
            value = match[0].rstrip(",")
            percentage = re.match(r"\s*(%|per cent)", part[match.end() :])
            large = float(value.replace(",", "")) >= 13 and not part.startswith("$")
            if "." in value or percentage or large:
                yield value


def test_a_result_typed_by_hand_is_noticed():
    prose = "MAML reaches 0.119 after 10 steps, 83 % lower, in $g_{2} = 1.6$ or 2,500 runs; see {cite}`finn2017maml`."
    assert list(numbers_typed(prose)) == ["0.119", "83", "1.6", "2,500"]


def test_there_are_notebooks():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert NOTEBOOKS
    assert all(f"book/{path.stem}" in toc for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_every_code_cell_was_executed_in_order(self, path):
        counts = [cell["execution_count"] for cell in code_cells(load(path))]
        assert counts == list(range(1, len(counts) + 1))

    def test_no_errors_warnings_or_progress_bars_are_kept(self, path):
        for cell in code_cells(load(path)):
            for output in cell["outputs"]:
                assert output["output_type"] != "error"
                assert output.get("name") != "stderr"

    def test_no_widget_is_kept_but_its_still_picture(self, path):
        for cell in code_cells(load(path)):
            for output in cell["outputs"]:
                assert not any("widget" in kind for kind in output.get("data", {}))
                if "widgets.retrain(" in source(cell):
                    assert "<img alt=" in "".join(output["data"]["text/html"])

    def test_it_uses_the_library(self, path):
        text = "\n".join(map(source, code_cells(load(path))))
        assert re.search(r"^import l2l$", text, flags=re.M)

    def test_the_first_cell_is_hidden_and_sets_colab_up(self, path):
        first = load(path)["cells"][0]
        assert first["metadata"]["tags"] == ["remove-cell"]
        assert "except ModuleNotFoundError" in source(first)
        assert "torch" not in source(first)

    def test_every_figure_has_alt_text_and_a_caption(self, path):
        for cell in code_cells(load(path)):
            if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
                described = cell["metadata"]["mystnb"]
                assert len(described["image"]["alt"]) > 40
                assert len(described["figure"]["caption"]) > 40

    def test_cells_are_short(self, path):
        for cell in code_cells(load(path)):
            hidden = {"hide-input", "remove-input"} & set(cell["metadata"].get("tags", ()))
            assert len(cell["source"]) <= (25 if hidden else 16), source(cell)

    def test_it_names_no_machine_and_records_no_time(self, path):
        notebook = load(path)
        assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
        assert notebook["metadata"]["language_info"] == {"name": "python"}
        assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8"))
        assert all("execution" not in cell["metadata"] for cell in notebook["cells"])

    def test_claims_are_asserted(self, path):
        assert sum(source(cell).count("assert ") for cell in code_cells(load(path))) >= 4

    def test_no_result_is_typed_by_hand(self, path):
        notebook = load(path)
        inputs = "\n".join(map(source, code_cells(notebook))).replace("_", "")  # 15_000 is 15,000
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                for number in numbers_typed(source(cell)):
                    is_input = re.search(rf"(?<![\d.]){re.escape(number.replace(',', ''))}(?![\d])", inputs)
                    assert is_input or number in SETTINGS_OF_OTHERS, f"{number} in: {source(cell)[:300]}"


EXERCISE = re.compile(
    r"`{3,}\{exercise\}\n:label: (ex-[\w-]+)\n\*\*([^*]+)\.\*\*(?s:.*?)\n`{3,}\n((?s:.*?))(?=\n`{3,}\{)"
)
ABOUT = re.compile(
    r"(Predict|Derive|Derive and measure|Explore|Break|Implement), (easy|medium|hard|open)(, core)?, (\d+) minutes"
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_says_what_it_takes_and_has_hints(path):
    text = "\n\n".join(source(cell) for cell in load(path)["cells"] if cell["cell_type"] == "markdown")
    course = (ROOT / "book" / "course.md").read_text(encoding="utf-8")
    exercises = EXERCISE.findall(text)
    assert len(exercises) == text.count("{exercise}\n") >= 5
    for label, about, between in exercises:
        kind, difficulty, _, _ = ABOUT.fullmatch(about).groups()
        assert 2 <= between.count('<details class="l2l-hint">') <= 3, label
        for said in re.findall(rf"\{{ref\}}`{label}` \(([^)]*)\)", course):
            assert said == f"{kind.lower()}, {difficulty}", label


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_prediction_is_followed_by_an_answer_that_is_folded(path):
    text = "\n\n".join(source(cell) for cell in load(path)["cells"] if cell["cell_type"] == "markdown")
    boxes = re.findall(r":::\{admonition\} Predict\n(?s:.*?)\n:::\n\n(.*)", text)
    assert len(boxes) == text.count("{admonition} Predict") > 0
    assert all(after.startswith('<details class="l2l-answer">') for after in boxes)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_question_has_three_answers_one_of_them_right(path):
    text = "\n\n".join(source(cell) for cell in load(path)["cells"] if cell["cell_type"] == "markdown")
    quiz = re.search(r"(?s)## Check yourself\n(.*?)(?=\n## |\Z)", text)[1]
    _, *questions = re.split(r"\*\*Question \d+\.\*\* ", quiz)
    assert 4 <= len(questions) <= 6
    for question in questions:
        said = re.findall(r'<details class="l2l-choice"><summary>.+</summary>\n\n(Right|No)\b', question)
        assert sorted(said) == ["No", "No", "Right"], question


def letters(text):
    """The letters, Latin and Greek, of all formulas."""
    formulas = re.findall(
        r"(?s)\$\$(.+?)\$\$|(?<!\$)\$([^$\n]+)\$|`{3,}\{math\}.*?\n(.*?)`{3,}", re.sub(r"(?<!`)`[^`\n]+`", "", text)
    )
    tex = " ".join(part for formula in formulas for part in formula)
    tex = re.sub(r"\\(?:text|mathrm|operatorname|label|begin|end)\*?\{[^}]*\}", " ", tex)
    greek = {name for name in re.findall(r"\\([a-zA-Z]+)", tex) if name.removeprefix("var").lower() in GREEK}
    return greek | set(re.findall(r"[A-Za-z]", re.sub(r"\\[a-zA-Z]+", " ", tex)))


GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
]
GREEK += ["rho", "sigma", "tau", "phi", "chi", "psi", "omega"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_symbol_is_in_the_notation(path):
    notation = letters((ROOT / "book" / "notation.md").read_text(encoding="utf-8"))
    text = "\n\n".join(source(cell) for cell in load(path)["cells"] if cell["cell_type"] == "markdown")
    assert letters(r"$\theta_i^{(k)} - \alpha\,\operatorname{mean} x$, `$W$`") == set("ikx") | {"theta", "alpha"}
    assert letters(text) <= notation | {"pi", "O"}  # which everyone knows
