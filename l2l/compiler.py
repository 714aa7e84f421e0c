"""A recorded step compiled: its whole loop as one C++ function, kept on disk, and called without Python's lock."""

import ctypes
import hashlib
import os
import platform
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

import torch
from platformdirs import user_cache_path
from torch import Tensor
from torch.fx import GraphModule

from l2l.graph import Function, Loop, repeated

LENGTH = 50
"""Steps in one call of a compiled loop: enough that a call costs nothing, few enough that a rest is soon done."""

COMPILER = {
    "aot_inductor.precompile_headers": False,
    "aot_inductor.compile_wrapper_opt_level": "Og",
    "cpp.vec_isa_ok": True,  # the processor tells what it can do; little is compiled to find out
    "cpp.enable_floating_point_contract_flag": "fast",  # a b + c as one instruction, rounded once
}
"""Half the time in the compiler, and kernels that are a little faster than by default."""


def compiled(step: Function, state: tuple[Tensor, ...], batch: tuple[Tensor, ...]) -> Callable[[], Loop]:
    """Compile `repeated(step)`; return a maker of such loops, each for one thread at a time.

    On a CPU the whole loop becomes one C++ function. It is kept on disk, under a name made of all that it depends on,
    so that the next process starts at once; and it runs without Python's lock, so that threads use all cores. Where
    torch lacks the means for this, which are not yet a stable part of it, `torch.compile` compiles the step alone.

    Raises:
        Exception: of any type, where a compiler is absent, too old or broken.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about itself
        if state[0].device.type == "cpu" and isinstance(step, GraphModule):
            with suppress(Exception):
                return _compiled_ahead(step, state, batch)
        now = torch.compile(step, fullgraph=True, dynamic=False)
        now(*state, *batch)
    return lambda: repeated(now)


def _compiled_ahead(step: GraphModule, state: tuple[Tensor, ...], batch: tuple[Tensor, ...]) -> Callable[[], Loop]:
    batches = tuple(x.expand(LENGTH, *x.shape).clone() for x in batch)
    path = _stored(_fingerprint(step, (*state, *batches)), lambda: _build(step, state, batches))

    def make() -> Loop:
        native = _Native(path, outputs=len(state) + 1)

        def loop(state: tuple[Tensor, ...], batches: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
            outputs = []
            for part in zip(*(x.split(LENGTH) for x in batches), strict=True):
                if len(part[0]) == LENGTH:
                    *state, output = native(*state, *part)
                else:  # what is left at the end is too little to compile for
                    state, output = repeated(step)(state, part)
                outputs.append(output)
            return tuple(state), torch.cat(outputs)

        return loop

    make()  # an error is raised here, not in a thread
    return make


def _build(step: GraphModule, state: tuple[Tensor, ...], batches: tuple[Tensor, ...]) -> bytes:
    """Compile the loop; return the shared library."""
    from torch._inductor import config, cpu_vec_isa

    with tempfile.TemporaryDirectory() as folder, config.patch(COMPILER), ThreadPoolExecutor(1) as beside:
        # Asks the C++ compiler for a second or two, and keeps the answer; `config.patch` holds in this context alone.
        beside.submit(copy_context().run, cpu_vec_isa.pick_vec_isa)
        program = torch.export.export(_Scan(step), (state, batches), strict=False)
        package = torch._inductor.aoti_compile_and_package(program, package_path=f"{folder}/loop.pt2")
        with zipfile.ZipFile(package) as files:
            contents = {Path(name).suffix: files.read(name) for name in files.namelist()}
    if b"proxy_executor_call" in contents[".cpp"]:
        raise NotImplementedError("an operation of the step has no C++ form that can be called without Python")
    return contents[".so"]


def _stored(key: str, build: Callable[[], bytes]) -> Path:
    """Return the file that holds the library of this key, built if it is absent or damaged."""
    try:
        folder = user_cache_path("l2l")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        folder = Path(tempfile.mkdtemp(prefix="l2l-"))
    for path in folder.glob(f"{key}-*.so"):
        if path.stem == f"{key}-{_digest(path.read_bytes())}":  # loading a damaged one would kill the process
            return path
        path.unlink()
    library = build()
    path, temporary = folder / f"{key}-{_digest(library)}.so", folder / f"{key}.{os.getpid()}"
    try:
        temporary.write_bytes(library)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


class _Scan(torch.nn.Module):
    """`repeated(step)` for a fixed number of batches, as one operation."""

    def __init__(self, step: GraphModule):
        super().__init__()
        self.step = step

    def forward(self, state, batches):
        from torch._higher_order_ops.scan import scan

        def update(state, batch):
            *state, output = self.step(*state, *batch)
            return state, output

        state, outputs = scan(update, list(state), list(batches))
        return *state, outputs


class _Native:
    """A compiled function, called through the C interface of AOTInductor: ctypes lets go of Python's lock meanwhile."""

    def __init__(self, library: Path, outputs: int):
        self._library, self._model, self._outputs = ctypes.CDLL(str(library)), ctypes.c_void_p(), outputs
        one = ctypes.c_size_t(1)
        if self._library.AOTInductorModelContainerCreateWithDevice(ctypes.byref(self._model), one, b"cpu", None):
            raise OSError(f"{library} can't be loaded")

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        handles = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(list(inputs))
        given = (ctypes.c_void_p * len(inputs))(*(_pointer(handle, None) for handle in handles))
        made = (ctypes.c_void_p * self._outputs)()
        sizes = ctypes.c_size_t(len(inputs)), ctypes.c_size_t(self._outputs)
        if self._library.AOTInductorModelContainerRun(self._model, given, sizes[0], made, sizes[1], None, None):
            raise RuntimeError("the compiled step failed")
        return torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs([_capsule(p, None, None) for p in made])

    def __del__(self):
        if self._model:
            self._library.AOTInductorModelContainerDelete(self._model)


_pointer, _capsule = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_New
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_capsule.restype, _capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


def _fingerprint(graph: GraphModule, example: tuple[Tensor, ...]) -> str:
    layouts = [(tuple(x.shape), x.stride(), str(x.dtype)) for x in example]
    constants = [getattr(graph, node.target).tolist() for node in graph.graph.nodes if node.op == "get_attr"]
    machine = getattr(torch.cpu, "get_capabilities", platform.uname)()
    parts = graph.code, layouts, constants, torch.__version__, torch.get_num_threads(), machine
    return _digest(Path(__file__).read_bytes() + repr(parts).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
