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


def definitions(nodes):
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("name", [name for name in l2l.__all__ if callable(getattr(l2l, name))])
def test_public_names_are_documented(name):
    """In the source: Python gives a dataclass or a named tuple that says nothing a `__doc__` of its own."""
    module = getattr(l2l, name).__module__.removeprefix("l2l.")
    node = definitions(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8")).body)[name]
    public = [part for part in definitions(getattr(node, "body", ())).values() if not part.name.startswith("_")]
    for part in (node, *(public if isinstance(node, ast.ClassDef) else ())):
        assert ast.get_docstring(part), part.name
