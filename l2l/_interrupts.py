"""Defer Ctrl-C while an operation must not be left half-done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """A context manager that defers an interrupt to the end of its block, except in parts marked by `let_through`.

    At most one interrupt is let through: it starts the clean-up, which a second Ctrl-C must not cut short, so the
    second is deferred. Python handles signals in the main thread only; in any other thread the block does nothing.
    """

    def __init__(self) -> None:
        theirs = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        self._theirs = theirs if main and callable(theirs) else None
        self._through = False
        self._waiting: tuple[Any, ...] = ()  # the handler's arguments for a deferred interrupt

    def __enter__(self) -> "Interrupts":
        if self._theirs:
            signal.signal(signal.SIGINT, self._arrived)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._theirs and signal.getsignal(signal.SIGINT) == self._arrived:
            signal.signal(signal.SIGINT, self._theirs)
        if self._theirs and self._waiting:
            self._theirs(*self._waiting)

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Let an interrupt through within this block; a deferred one is delivered at once."""
        try:
            self._through = True
            if self._waiting:
                waiting, self._waiting = self._waiting, ()
                self._arrived(*waiting)
            yield
        finally:
            self._through = False

    def _arrived(self, *signal_and_frame: Any) -> None:
        if not self._through:
            self._waiting = signal_and_frame
            return
        self._through = False
        if self._theirs:
            self._theirs(*signal_and_frame)
        self._through = True  # the handler returned, so nothing is being unwound
