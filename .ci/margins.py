"""Record by how much the comparisons in assertions hold: in a notebook's cells, and in test files.

`assert a < b` records b - a, the *slack*: positive where it holds, the least over elements where a and b are arrays.
The comparisons that an assertion depends on are found through `and`, `not`, `all(…)`, `.all()` and `&`; others (within
`any`, an index, a sum) are left as they are.
"""

import ast
import json
import operator
import os
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

OPERATORS = {
    ast.Lt: ("<", operator.lt, 1),
    ast.LtE: ("<=", operator.le, 1),
    ast.Gt: (">", operator.gt, -1),
    ast.GtE: (">=", operator.ge, -1),
}
BY_SYMBOL = {symbol: (function, sign) for symbol, function, sign in OPERATORS.values()}
slacks: dict[str, float] = {}


def compare(site: str, wanted: bool, left, *rest):
    """Do what the comparison `left op right op …` does, and record its slack."""
    import numpy as np

    for symbol, right in zip(rest[::2], rest[1::2], strict=True):
        function, sign = BY_SYMBOL[symbol]
        outcome = function(left, right)
        with np.errstate(all="ignore"):
            slack = sign * (np.asarray(right, dtype=float) - np.asarray(left, dtype=float))
            slack = np.where(np.isnan(slack), -np.inf, slack)
        least = float(slack.min() if wanted else -slack.max())
        slacks[site] = min(slacks.get(site, np.inf), least)
        if len(rest) > 2 and not outcome:
            return outcome
        left = right
    return outcome


class Margins(ast.NodeTransformer):
    """Have every comparison that an assertion depends on recorded."""

    def __init__(self, name: str):
        self.name = name

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        site = f"{self.name}: {ast.unparse(node.test)}"
        node.test = self._instrumented(node.test, site, True)
        return ast.fix_missing_locations(node)

    def _instrumented(self, node: ast.expr, site: str, wanted: bool) -> ast.expr:
        def again(inner: ast.expr, wanted: bool = wanted) -> ast.expr:
            return self._instrumented(inner, site, wanted)

        match node:
            case ast.Compare(ops=ops) if all(type(op) in OPERATORS for op in ops):
                operands = [x for op, right in zip(ops, node.comparators, strict=True) for x in (op, right)]
                parts = [ast.Constant(OPERATORS[type(x)][0]) if isinstance(x, ast.cmpop) else x for x in operands]
                name = ast.Name("__l2l_compare__", ast.Load())
                call = ast.Call(name, [ast.Constant(site), ast.Constant(wanted), node.left, *parts], [])
                return ast.copy_location(call, node)
            case ast.UnaryOp(op=ast.Not()):
                node.operand = again(node.operand, not wanted)
            case ast.BoolOp(op=ast.And()):
                node.values = [again(value) for value in node.values]
            case ast.BinOp(op=ast.BitAnd()):
                node.left, node.right = again(node.left), again(node.right)
            case ast.Call(func=ast.Name(id="all"), args=[ast.GeneratorExp() as each]):
                each.elt = again(each.elt)
            case ast.Call(func=ast.Attribute(attr="all")):
                node.func.value = again(node.func.value)
        return node


def write() -> None:
    """Append what was recorded to the file that L2L_MARGINS names."""
    with open(os.environ["L2L_MARGINS"], "a", encoding="utf-8") as file:
        for site, slack in slacks.items():
            file.write(json.dumps([site, slack]) + "\n")
    slacks.clear()


def watch_cells(name: str) -> None:
    """Record in this notebook, from the next cell on."""
    import builtins

    from IPython import get_ipython

    builtins.__l2l_compare__ = compare
    get_ipython().ast_transformers.append(Margins(name))


class _Loader(SourceFileLoader):
    def get_code(self, fullname):
        path = self.get_filename(fullname)
        tree = Margins(Path(path).stem).visit(ast.parse(self.get_data(path)))
        return compile(tree, path, "exec")


class _Finder(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        spec = super().find_spec(fullname, path, target) if fullname.startswith("test_") else None
        if spec is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


def pytest_configure(config) -> None:
    """Record in test files: `pytest -p margins --assert=plain`."""
    import builtins

    builtins.__l2l_compare__ = compare
    sys.meta_path.insert(0, _Finder)


def pytest_sessionfinish(session) -> None:
    write()
