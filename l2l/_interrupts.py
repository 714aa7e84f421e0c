"""Ctrl-C, held back while something would be left half-done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """A block in which an interrupt waits for its end, but in parts that let it through.

    One comes through at most: what follows is cleaning up, and a second one, by an impatient hand, waits. A signal
    reaches the main thread alone, so that in any other the block does nothing.
    """

    def __init__(self) -> None:
        theirs = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        self._theirs = theirs if main and callable(theirs) else None
        self._through = False
        self._waiting: tuple[Any, ...] = ()  # what a waiting one came with

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
        """Let an interrupt through meanwhile; one that waits comes at once."""
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
        self._through = True  # it was none that ends anything
