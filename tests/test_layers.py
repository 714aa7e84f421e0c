"""The floors of l2l: a module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

import l2l

FLOORS = [
    {"validation", "stats", "graph", "examine"},
    {"net", "compiler"},
    {"tasks", "adam"},
    {"methods"},
    {"config", "evaluate"},
    {"run", "replica", "plots", "check"},
    {"workers"},
    {"train"},
    {"report"},
    {"explorer", "widgets"},
    {"__main__", "__init__"},
]
PACKAGE = Path(l2l.__file__).parent
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names}


def imports(module):
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_module_has_a_floor():
    assert {path.stem for path in PACKAGE.glob("*.py")} == FLOOR.keys()


@pytest.mark.parametrize("module", sorted(FLOOR))
def test_imports_come_from_below(module):
    for name in imports(module):
        if name.startswith("l2l."):
            assert FLOOR[name.removeprefix("l2l.")] < FLOOR[module], f"{module} imports {name}"
        assert name != "l2l", f"{module} imports the package that holds it"
        assert name.split(".")[0] not in ("pickle", "IPython")


def test_plots_know_no_torch():
    assert not any(name.split(".")[0] == "torch" for name in imports("plots"))


def test_public_names_are_documented():
    for name in l2l.__all__:
        value = getattr(l2l, name)
        assert isinstance(value, dict) or value.__doc__, name
