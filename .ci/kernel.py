"""Build the explorers' kernel of its source: `python -m pip install ziglang==0.13.0; python .ci/kernel.py`.

l2l/explorer/kernel/kernel.c becomes kernel.wasm beside it, which is part of the repository: nothing else needs a
compiler. Zig's wheel brings clang and a linker for WebAssembly, the same for all machines, so that the bytes are the
same everywhere; with another release they need not be.
"""

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "l2l" / "explorer" / "kernel"
ZIG = "0.13.0"
FLAGS = (
    *("-target", "wasm32-freestanding", "-mcpu=generic+simd128+bulk_memory", "-O2", "-fno-inline-functions"),
    *("-ffreestanding", "-nostdlib", "-fno-builtin", "-fno-sanitize=undefined", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror"),
    *("-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all", "-Wl,-z,stack-size=16384"),
)


def build(to: Path) -> None:
    """Compile the kernel into a file.

    Raises:
        RuntimeError: there is no ziglang here, or another release.
        subprocess.CalledProcessError: it does not compile.
    """
    zig = [sys.executable, "-m", "ziglang"]
    found = subprocess.run([*zig, "version"], capture_output=True, text=True)
    if found.stdout.strip() != ZIG:
        raise RuntimeError(f"the kernel is built by ziglang=={ZIG}, found {found.stdout.strip() or 'none'}")
    subprocess.run([*zig, "cc", *FLAGS, "-o", str(to), "kernel.c"], check=True, cwd=FOLDER)
    to.chmod(0o644)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    build(FOLDER / "kernel.wasm")
