"""A step of training as one graph: recorded once, then replayed.

The mathematics stays as it is. Recording leaves out what only Python does: the transforms of torch.func, checks,
dictionaries.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import GraphModule

from l2l.engine.native import trace

Function = Callable[..., tuple[Tensor, ...]]  # of tensors alone

aten = torch.ops.aten
PRODUCTS = aten.mm.default, aten.bmm.default
VIEWS = {v: v for v in (aten.expand.default, aten.transpose.int, aten.t.default)}
VIEWS |= dict.fromkeys((aten.view.default, aten._unsafe_view.default), aten.reshape.default)  # of any layout


def record(function: Function, *example: Tensor) -> GraphModule:
    """Return `function` as the list of tensor operations it performs on inputs shaped like `example`.

    Its Python runs once, here. So whatever it makes of values rather than shapes can't be recorded.

    Raises:
        Unavailable: it can't be recorded, as it looks at values (an `if` on a tensor), or torch has no recorder.
        Exception: the function's own, of any type, if it raises one when called.
    """
    recorded = trace(function, *example)
    _move_factors(recorded.graph)
    _rewrite_products(recorded.graph)
    for node in recorded.graph.nodes:  # a rewritten product may lie otherwise in memory
        node.target = VIEWS.get(node.target, node.target)
    recorded.graph.eliminate_dead_code()
    recorded.recompile()
    return recorded


def _move_factors(graph: torch.fx.Graph) -> None:
    """Write A (c B) with a number c as c (A B) where the product is smaller than what it is made of."""

    def factor(x: torch.fx.Node) -> tuple[float, torch.fx.Node]:
        """c and B of x = c B."""
        if x.target is aten.neg.default:
            c, B = factor(x.args[0])
            return -c, B
        if x.target is aten.mul.Tensor and isinstance(x.args[1], float):
            c, B = factor(x.args[0])
            return c * x.args[1], B
        if x.target in VIEWS and (found := factor(x.args[0]))[0] != 1:
            B = graph.call_function(VIEWS[x.target], (found[1], *x.args[1:]))
            B.meta = x.meta.copy()
            return found[0], B
        return 1.0, x

    for node in [node for node in graph.nodes if node.target in PRODUCTS]:
        size = node.meta["val"].numel()
        with graph.inserting_before(node):
            (c, A), (d, B) = (factor(x) if x.meta["val"].numel() > size else (1.0, x) for x in node.args)
            if c * d == 1:
                continue
            product = graph.call_function(node.target, (A, B))
            scaled = graph.call_function(aten.mul.Tensor, (product, c * d))
        product.meta = scaled.meta = node.meta.copy()
        node.replace_all_uses_with(scaled)
        graph.erase_node(node)


def _rewrite_products(graph: torch.fx.Graph) -> None:
    """Write matrix products that libraries do slowly at small sizes as equal ones that they do fast.

    A product over an inner dimension of 1 is an outer product; one with a single row or column, a sum of products.
    Products that are only summed, Σᵢ Aᵢ Bᵢ, are one product, [A₁ A₂ …] [B₁; B₂; …]. Many small products with more rows
    than columns are three times faster as A B = (Bᵀ Aᵀ)ᵀ.
    """

    def only_use(x, target):
        users = list(x.users) if x is not None else []
        return users[0] if len(users) == 1 and users[0].target is target else None

    def transposed(x):
        return graph.call_function(aten.transpose.int, (x, -2, -1))

    for node in list(graph.nodes):
        if node.target not in PRODUCTS:
            continue
        a, b = node.args
        *batch, rows, inner = a.meta["val"].shape
        columns = b.meta["val"].shape[-1]
        view = only_use(node, aten.view.default)
        total = only_use(view, aten.sum.dim_IntList)
        summed = total is not None and total.args[1:] == ([0],) and view.meta["val"].shape == (*batch, rows, columns)
        with graph.inserting_before(node):
            if inner == 1:
                product = graph.call_function(aten.mul.Tensor, (a, b))
            elif columns == 1:
                terms = graph.call_function(aten.mul.Tensor, (a, transposed(b)))
                product = graph.call_function(aten.sum.dim_IntList, (terms, [-1], True))
            elif rows == 1:
                terms = graph.call_function(aten.mul.Tensor, (transposed(a), b))
                product = graph.call_function(aten.sum.dim_IntList, (terms, [-2], True))
            elif batch and summed:
                left = graph.call_function(aten.reshape.default, (transposed(a), [-1, rows]))
                right = graph.call_function(aten.reshape.default, (b, [-1, columns]))
                product = graph.call_function(aten.mm.default, (transposed(left), right))
                node = total
            elif batch and rows > columns:
                product = transposed(graph.call_function(aten.bmm.default, (transposed(b), transposed(a))))
            else:
                continue
        product.meta = node.meta.copy()
        node.replace_all_uses_with(product)
        graph.erase_node(node)
