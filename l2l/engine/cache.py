"""Compiled libraries on disk: found again by what they depend on, checked before they are loaded."""

import ctypes
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

KEPT = 32
"""Number of libraries that are kept, the most recently used; each takes about 2 MB."""


def load(key: str, build: Callable[[], bytes], symbols: Sequence[str]) -> ctypes.CDLL:
    """Return the library of this key; build it if there is no intact one with these symbols.

    If the user has no cache folder, the library is written to a temporary folder, which is removed once it is loaded.

    Raises:
        OSError, AttributeError: the library that `build` returns can't be loaded from anywhere, or lacks a symbol.
    """
    folder = _folder()
    if folder and (kept := _whole(folder, key)):
        try:
            return _opened(kept, symbols)
        except AttributeError:  # a foreign library under this name, which is now removed
            pass
        except OSError:  # a folder from which no code may be loaded
            return _opened_elsewhere(kept.read_bytes(), symbols)
    library = build()
    with suppress(OSError):  # read-only, full, or as above
        if folder:
            return _opened(_keep(folder, key, library), symbols)
    return _opened_elsewhere(library, symbols)


def discard(key: str) -> None:
    """Remove the library of this key from the cache."""
    if folder := _folder():
        for path in folder.glob(f"{key}-*.so"):
            with suppress(OSError):
                path.unlink()


def digest(content: bytes) -> str:
    """Return a name for this content."""
    return hashlib.sha256(content).hexdigest()[:32]


def _folder() -> Path | None:
    """Return the cache folder; warn and return None if other users can write to it, or if it can't be created."""
    try:
        folder = user_cache_path("l2l")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: an account without a home
        _without(str(error))
        return None
    if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o022):
        _without(f"{folder} belongs to another user, or others may write to it")
        return None
    return folder


def _without(reason: str) -> None:
    warnings.warn(f"compiled code is not kept for the next time: {reason}", RuntimeWarning, stacklevel=2)


def _whole(folder: Path, key: str) -> Path | None:
    """Return the file of this key, and mark it as used; remove damaged ones, which would crash the process."""
    for path in folder.glob(f"{key}-*.so"):
        with suppress(OSError):
            if path.stem == f"{key}-{digest(path.read_bytes())}":
                with suppress(OSError):
                    path.touch()
                return path
            path.unlink()
    return None


def _keep(folder: Path, key: str, library: bytes) -> Path:
    path = folder / f"{key}-{digest(library)}.so"
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{key}.", delete=False) as file:
        try:
            file.write(library)
            file.close()
            os.replace(file.name, path)
        finally:
            Path(file.name).unlink(missing_ok=True)
    for old in sorted(folder.glob("*.so"), key=_used)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def _used(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _opened(path: Path, symbols: Sequence[str]) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    try:
        for symbol in symbols:
            getattr(library, symbol)
    except AttributeError:
        path.unlink(missing_ok=True)
        raise
    return library


def _opened_elsewhere(library: bytes, symbols: Sequence[str]) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="l2l-") as private:
        path = Path(private) / "loop.so"
        path.write_bytes(library)
        return _opened(path, symbols)  # stays mapped when its file is gone
