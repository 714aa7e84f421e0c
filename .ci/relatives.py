"""Methods of the stored runs that the library doesn't have, each as the chapter that is about it writes it."""

from functools import partial

import l2l


def only(*moving):
    """Let the inner loop move only the tensors named here."""

    def loop(theta, x, y, *, loss, **settings):
        still = {n: p for n, p in theta.items() if n not in moving}
        some = {n: theta[n] for n in moving}
        on_task = lambda some, x, y: loss(still | some, x, y)  # noqa: E731
        for phi in l2l.inner_loop(some, x, y, loss=on_task, **settings):
            yield still | phi

    return loop


def adapting(name, *moving):
    """MAML that adapts those tensors alone, in training and at meta-test."""
    loop = only(*moving)
    return l2l.Method(name, partial(l2l.maml, inner_loop=loop), loop)


RELATIVES = {m.name: m for m in (adapting("head", "W3", "b3"), adapting("body", "W1", "b1", "W2", "b2"))}
