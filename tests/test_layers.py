"""The floors of l2l: a module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

import l2l

FLOORS = [
    {"validation", "stats", "graph"},
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


def files(module):
    """A module's file, or those of a package."""
    return [PACKAGE / f"{module}.py"] if (PACKAGE / f"{module}.py").exists() else [*(PACKAGE / module).rglob("*.py")]


def imports(module):
    for path in files(module):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, "imports are absolute"
                yield node.module
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)


def test_every_module_has_a_floor():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {path.stem for path in PACKAGE.glob("*.py")} | packages == FLOOR.keys()


@pytest.mark.parametrize("module", sorted(FLOOR))
def test_imports_come_from_below(module):
    for name in imports(module):
        if name.startswith("l2l.") and name.split(".")[1] != module:
            assert FLOOR[name.split(".")[1]] < FLOOR[module], f"{module} imports {name}"
        assert name != "l2l", f"{module} imports the package that holds it"
        assert name.split(".")[0] not in ("pickle", "IPython")


def test_checks_know_the_mathematics_and_evaluate():
    inner = {name.split(".")[1] for name in imports("check") if name.startswith("l2l.")} - {"check"}
    assert inner <= {"net", "tasks", "methods", "stats", "evaluate"}


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
