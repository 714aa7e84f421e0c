"""A step of training as one graph: recorded once, then replayed.

The mathematics stays as it is. Recording leaves out what only Python does: the transforms of torch.func, checks,
dictionaries.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from l2l.engine.native import trace

Function = Callable[..., tuple[Tensor, ...]]  # of tensors alone

aten = torch.ops.aten
PRODUCTS = aten.mm.default, aten.bmm.default
VIEWS = {v: v for v in (aten.expand.default, aten.transpose.int, aten.t.default)}
VIEWS |= dict.fromkeys((aten.view.default, aten._unsafe_view.default), aten.reshape.default)  # of any layout


def record(function: Function, *example: Tensor) -> GraphModule:
    """Return `function` as the list of tensor operations it performs on inputs shaped like `example`.

    The function's Python code runs once, here, so that whatever depends on the values of tensors rather than on their
    shapes can't be recorded.

    Raises:
        Unavailable: the function can't be recorded, because it depends on values (an `if` on a tensor), or torch has no
            recorder.
        Exception: the function's own, of any type, if it raises one when called.
    """
    from torch.fx.passes.dialect.common.cse_pass import CSEPass

    recorded = trace(function, *example)
    if once := CSEPass()(recorded):  # what is computed twice is computed once
        recorded = once.graph_module
    graph = recorded.graph
    for rewrite in REWRITES:
        for product in [node for node in graph.nodes if node.target in PRODUCTS]:
            with graph.inserting_before(product):
                rewrite(graph, product)
    for node in graph.nodes:  # a rewritten tensor may have another memory layout
        node.target = VIEWS.get(node.target, node.target)
    graph.eliminate_dead_code()
    recorded.recompile()
    return recorded


# Each rewrite looks at one product A B, [batch, rows, inner] times [batch, inner, columns] or without the batch, and
# replaces it by an equal expression that libraries compute faster at these sizes. `make bench` measures the gain of
# each.


def factor_last(graph: Graph, product: Node) -> None:
    """Write A (c B) with a scalar c as c (A B) where B is larger than the product."""

    def factors(x: Node) -> tuple[list[float | Node], Node]:
        """Return the scalars whose product is c, and B, such that x = c B."""
        if x.target is aten.neg.default:
            c, B = factors(x.all_input_nodes[0])
            return [-1.0, *c], B
        if x.target is aten.mul.Tensor:
            for scalar, other in (x.args, x.args[::-1]):
                if isinstance(scalar, float | Node) and isinstance(other, Node) and is_scalar(scalar):
                    c, B = factors(other)
                    return [scalar, *c], B
        if x.target in VIEWS:
            c, B = factors(x.all_input_nodes[0])
            if c:
                moved = graph.call_function(VIEWS[x.target], (B, *x.args[1:]))
                moved.meta = x.meta.copy()
                return c, moved
        return [], x

    def is_scalar(x: float | Node) -> bool:
        return isinstance(x, float) or x.meta["val"].ndim == 0

    size = product.meta["val"].numel()
    (c, A), (d, B) = (factors(x) if x.meta["val"].numel() > size else ([], x) for x in _both(product))
    number = math.prod(f for f in (*c, *d) if isinstance(f, float))
    scalars = [f for f in (*c, *d) if isinstance(f, Node)]
    if number == 1 and not scalars:
        return
    plain = scaled = graph.create_node(product.op, product.target, (A, B))
    plain.meta = product.meta.copy()
    for factor in (number, *scalars):
        if factor != 1:
            scaled = graph.call_function(aten.mul.Tensor, (scaled, factor))
    _replace(graph, product, scaled)


def outer_product(graph: Graph, product: Node) -> None:
    """Write a product over an inner dimension of 1 elementwise."""
    a, b = _both(product)
    if a.meta["val"].shape[-1] == 1:
        _replace(graph, product, graph.call_function(aten.mul.Tensor, (a, b)))


def sum_of_products(graph: Graph, product: Node) -> None:
    """Write a product with a single row or column as a sum of elementwise products."""
    a, b = _both(product)
    *_, rows, columns = product.meta["val"].shape
    if rows == 1 or columns == 1:
        axis, terms = (-1, (a, _transposed(graph, b))) if columns == 1 else (-2, (_transposed(graph, a), b))
        elementwise = graph.call_function(aten.mul.Tensor, terms)
        _replace(graph, product, graph.call_function(aten.sum.dim_IntList, (elementwise, [axis], True)))


def wide_product(graph: Graph, product: Node) -> None:
    """Write many small products with more rows than columns as A B = (Bᵀ Aᵀ)ᵀ."""
    *_, rows, columns = product.meta["val"].shape
    if product.target is aten.bmm.default and rows > columns:
        a, b = _both(product)
        wide = graph.call_function(aten.bmm.default, (_transposed(graph, b), _transposed(graph, a)))
        _replace(graph, product, _transposed(graph, wide))


REWRITES = [factor_last, outer_product, sum_of_products, wide_product]


def _both(product: Node) -> tuple[Node, Node]:
    """The two nodes that are multiplied."""
    a, b = product.args
    assert isinstance(a, Node)
    assert isinstance(b, Node)
    return a, b


def _transposed(graph: Graph, x: Node) -> Node:
    return graph.call_function(aten.transpose.int, (x, -2, -1))


def _replace(graph: Graph, old: Node, new: Node) -> None:
    new.meta = old.meta.copy()
    old.replace_all_uses_with(new)
    graph.erase_node(old)
