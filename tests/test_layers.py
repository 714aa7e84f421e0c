"""The rules of the layout: which part of l2l may import which other."""

import ast
import re
from pathlib import Path

import pytest

import l2l

# The mathematics: each module sees those before it.
READING_ORDER = ["_validation", "net", "tasks", "methods", "adam", "stats", "bayes"]
MATHEMATICS = set(READING_ORDER)
USED = MATHEMATICS | {"config", "run", "evaluate", "report"}
RULES = {name: set(READING_ORDER[:i]) for i, name in enumerate(READING_ORDER)} | {
    "modules": MATHEMATICS,
    "config": MATHEMATICS,
    "_interrupts": set(),
    "run": MATHEMATICS | {"config", "evaluate", "_interrupts"},
    "evaluate": MATHEMATICS,
    "plots": {"stats"},
    "report": USED | {"plots"},
    "engine": MATHEMATICS | {"config"},
    "training": MATHEMATICS | {"config", "run", "engine", "_interrupts"},  # who imports the engine, and nobody else
    "check": MATHEMATICS | {"evaluate"},
    "explorer": USED | {"plots"},
    "widgets": USED | {"plots", "training"},
    "cli": USED | {"training", "check"},
    "__main__": {"cli"},
}
PACKAGE = Path(l2l.__file__).parent


def files(part):
    """A module's file, or those of a folder."""
    return [PACKAGE / f"{part}.py"] if (PACKAGE / f"{part}.py").exists() else [*(PACKAGE / part).rglob("*.py")]


def imports(part):
    for path in files(part):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, "imports are absolute"
                yield from ((f"l2l.{name.name}" for name in node.names) if node.module == "l2l" else (node.module,))
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)


def test_every_part_has_a_rule():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} | folders == RULES.keys()


@pytest.mark.parametrize("part", RULES)
def test_imports_keep_to_the_rules(part):
    inner = {name.split(".")[1] for name in imports(part) if name.startswith("l2l.")}
    assert inner - {part} <= RULES[part]
    assert not {"pickle", "IPython"} & {name.split(".")[0] for name in imports(part)}


def test_plots_know_no_torch():
    assert not any(name.split(".")[0] == "torch" for name in imports("plots"))


def test_what_is_private_to_torch_is_called_in_one_file():
    private = re.compile(r"torch\._[a-z]|torch\.fx\.experimental|_inductor|_dynamo|_higher_order_ops")
    using = {path.name for path in PACKAGE.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))}
    assert using == {"native.py"}


@pytest.mark.parametrize("folder", [path.parent for path in PACKAGE.glob("*/__init__.py")], ids=lambda path: path.name)
def test_each_folder_says_in_a_few_lines_what_it_is_for(folder):
    said = (folder / "__init__.py").read_text(encoding="utf-8").partition("\nfrom l2l")[0]
    assert len(said.splitlines()) <= 20
    assert re.search("import", said), "what it may import"
    assert re.search("[Bb]egin", said), "where to begin"


def test_the_readable_core_is_short():
    """Lines of code of the inner loop, `adapt` and the three methods: no docstrings, comments and blank lines."""
    tree = ast.parse((PACKAGE / "methods.py").read_text(encoding="utf-8"))
    core = {"MetaGrad", "inner_loop", "adapt", "maml", "fomaml", "pretrain", "Method"}
    lines = set()
    for node in (node for node in tree.body if getattr(node, "name", None) in core):
        alone = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Expr)]
        texts = [value for value in alone if isinstance(value, ast.Constant)]
        silent = {line for text in texts for line in range(text.lineno, text.end_lineno + 1)}
        lines |= {inner.lineno for inner in ast.walk(node) if hasattr(inner, "lineno")} - silent
    assert len(lines) < 80


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
