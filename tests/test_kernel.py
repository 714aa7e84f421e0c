"""The explorers' kernel is what its source says; that it computes what torch does is tests/test_js.py's to show."""

import importlib.util
import re

import kernel
import pytest


def test_the_kernel_is_built_of_its_source(tmp_path):
    """To the same bytes, with the release of the compiler that the script names."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip(f"no ziglang here: python -m pip install ziglang=={kernel.ZIG}")
    kernel.build(tmp_path / "kernel.wasm")
    assert (tmp_path / "kernel.wasm").read_bytes() == (kernel.FOLDER / "kernel.wasm").read_bytes()


def test_it_asks_nothing_of_a_page_and_is_small():
    """A module without imports, in a few kilobytes; it exports what the page calls and the memory."""
    code = (kernel.FOLDER / "kernel.wasm").read_bytes()
    assert code[:8] == b"\0asm\x01\0\0\0"
    assert len(code) < 16_000
    sections, at = {}, 8
    while at < len(code):
        kind, (size, at) = code[at], leb128(code, at + 1)
        sections[kind] = code[at : at + size]
        at += size
    assert 2 not in sections  # imports
    source = (kernel.FOLDER / "kernel.c").read_text(encoding="utf-8")
    exported = set(re.findall(rb"[a-z_]{4,}", sections[7]))
    assert exported == {name.encode() for name in re.findall(r"^EXPORT \w+ \*?(\w+)\(", source, re.M)} | {b"memory"}


def leb128(code, at):
    """An unsigned number and where it ends, as WebAssembly writes both."""
    value = shift = 0
    while True:
        byte, at = code[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
