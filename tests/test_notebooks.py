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
