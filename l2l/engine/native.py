"""Every call to parts of torch that are not yet stable: the recorder, the compiler, and the libraries it makes.

Whatever goes wrong in one of them is raised as `Unavailable`, with the reason; `loops` decides what to do then.
"""

import ctypes
import os
import platform
import re
import shlex
import tempfile
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch.fx import GraphModule

from l2l.engine import cache

COMPILER = {
    "aot_inductor.precompile_headers": False,
    "aot_inductor.compile_wrapper_opt_level": "Og",
    "cpp.enable_tiling_heuristics": False,  # always in tiles: 1 to 5 % faster here
    "cpp.vec_isa_ok": True,  # the processor reports its instruction sets; no test is compiled for each
    "cpp.enable_floating_point_contract_flag": "fast",  # a b + c as one instruction, rounded once
}
"""Options that halve the compile time, and make kernels that are slightly faster than those of the defaults."""
PRODUCTS = Path(__file__).with_name("products.h")
"""Our own products of small matrices, which take the place of torch's in a compiled loop."""
Tensors = tuple[Tensor, ...]
LOCK = threading.RLock()
"""Held while something is recorded or compiled: torch does both with state that all threads share."""
CREATE, RUN, DELETE = (f"AOTInductorModelContainer{name}" for name in ("CreateWithDevice", "Run", "Delete"))


class Unavailable(RuntimeError):
    """A fast path can't be used here; the message is the reason, in one line."""


@contextmanager
def reasons(what: str) -> Iterator[None]:
    """Raise any error within the block as `Unavailable`, with the most informative line of its message."""
    try:
        yield
    except Unavailable:
        raise
    except Exception as error:  # of any type: of torch, of the compiler, of what surrounds it
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        of_compiler = [line for line in lines if re.search(r"\berror:|not found|No such file", line)]
        reason = re.split(r"(?<=[.!?])\s", (of_compiler or lines or [type(error).__name__])[0])[0]  # a sentence
        odd = [path for path in (tempfile.gettempdir(), torch.__path__[0]) if re.search(r"[\s'\"]", path)]
        hint = f" (torch passes paths to the compiler unquoted, and one is {odd[0]!r})" if of_compiler and odd else ""
        raise Unavailable(f"{what}: {reason[:300]}{hint}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress torch's warnings about itself; other warnings, and filters set meanwhile, are kept."""
    warnings.filterwarnings("ignore", module=r"torch\.|copyreg")
    ours = warnings.filters[0]
    try:
        yield
    finally:
        if ours in warnings.filters:
            warnings.filters.remove(ours)  # type: ignore[attr-defined]  # it is a list


def trace(function: Callable, *example: Tensor) -> GraphModule:
    """Return the graph of what `function` does with tensors shaped like `example`; see `graph.record`."""
    with LOCK, torch.no_grad():
        try:
            with reasons("the function can't be recorded"), quiet():
                from torch.fx.experimental.proxy_tensor import make_fx

                return make_fx(function)(*example)
        except Unavailable:
            function(*example)  # raises the function's own error, if it has one
            raise


def compile_step(step: GraphModule, example: Tensors) -> Callable:
    """Compile the step alone, by torch.compile; calls of the result hold Python's lock."""
    with LOCK, torch.no_grad(), reasons("torch.compile fails"), quiet():
        compiled = torch.compile(step, fullgraph=True, dynamic=False)
        compiled(*example)
    return compiled


class NativeLoop:
    """A recorded step in a loop over any number of batches, as one C++ function.

    The compiled loop is kept on disk, under a hash of everything that it depends on, so that the next process starts at
    once. The loop runs without Python's lock, which torch's own bindings would hold, so that threads use all cores.

    Raises:
        Unavailable: a compiler or a part of torch is absent, too old or broken, or the step holds an operation without
            a C++ form.
    """

    def __init__(self, step: GraphModule, state: Tensors, rates: Tensors, batch: Tensors):
        with LOCK, torch.no_grad(), reasons("no compiled loop"), quiet():
            self.key = _fingerprint(step, (*state, *rates, *batch))
            self._library = cache.load(self.key, lambda: _build(step, state, rates, batch), (CREATE, RUN, DELETE))
        self._given, self._batch = ([(tuple(x.shape), x.dtype) for x in part] for part in ((*state, *rates), batch))

    def one(self, rates: Tensors) -> "Container":
        """Return a loop at these rates, for the use of one thread at a time."""
        return Container(self._library, rates, self._given, self._batch)


class Container:
    """What one thread needs to call a compiled loop: (state, batches [n, ...]) -> (state, outputs [n])."""

    def __init__(self, library: ctypes.CDLL, rates: Tensors, given: list, batch: list):
        self._model, self._library, self._rates = ctypes.c_void_p(), library, rates
        self._given, self._batch = given, batch  # shapes and dtypes: of state and rates, and of one batch
        if getattr(library, CREATE)(ctypes.byref(self._model), ctypes.c_size_t(1), b"cpu", None):
            raise Unavailable("no compiled loop: its library can't be set up")

    def __call__(self, state: Tensors, batches: Tensors) -> tuple[Tensors, Tensor]:
        if not (n := len(batches[0])):
            raise ValueError("the compiled loop takes at least one batch, got none")
        inputs = [*state, *self._rates, *batches]
        expected = [*self._given, *(((n, *shape), dtype) for shape, dtype in self._batch)]
        for x, (shape, dtype) in zip(inputs, expected, strict=True):  # C++ does not check the layout of what it reads
            if x.shape != shape or x.dtype != dtype or x.device.type != "cpu" or not x.is_contiguous():
                got = f"{x.dtype} of shape {tuple(x.shape)} and strides {x.stride()} on {x.device}"
                raise ValueError(f"the compiled loop takes {dtype} of shape {tuple(shape)}, contiguous, got {got}")
        handles = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(inputs)
        given = (ctypes.c_void_p * len(inputs))(*(_pointer(handle, None) for handle in handles))
        made = (ctypes.c_void_p * (len(state) + 1))()
        sizes = ctypes.c_size_t(len(inputs)), ctypes.c_size_t(len(made))
        if getattr(self._library, RUN)(self._model, given, sizes[0], made, sizes[1], None, None):
            raise RuntimeError("the compiled loop failed")
        *after, outputs = torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs(
            [_capsule(p, None, None) for p in made]
        )
        return tuple(after), outputs

    def __del__(self):
        if self._model:
            getattr(self._library, DELETE)(self._model)


_pointer, _capsule = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_New
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_capsule.restype, _capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class _Scan(torch.nn.Module):
    """The step, fed with its own results and one batch after the other, as one operation."""

    def __init__(self, step: GraphModule):
        super().__init__()
        self.step = step

    def forward(self, state, rates, batches):
        from torch._higher_order_ops.scan import scan

        def update(state, batch):
            *state, output = self.step(*state, *rates, *batch)
            return state, output

        state, outputs = scan(update, list(state), list(batches))
        return *state, outputs


def _build(step: GraphModule, state: Tensors, rates: Tensors, batch: Tensors) -> bytes:
    """Compile the loop for any number of batches; return the shared library."""
    from torch._inductor import config, cpu_vec_isa

    batches = tuple(x.expand(2, *x.shape).clone() for x in batch)
    number = torch.export.Dim("number")
    shapes: tuple = tuple({} for _ in state), tuple({} for _ in rates), tuple({0: number} for _ in batches)
    with (
        tempfile.TemporaryDirectory() as folder,
        config.patch(COMPILER),
        ThreadPoolExecutor(2) as beside,
        _object_files(beside, state[0].dtype),
    ):
        # Queries the C++ compiler, which takes a second or two, and caches the answer; `config.patch` is per context.
        beside.submit(copy_context().run, cpu_vec_isa.pick_vec_isa)
        program = torch.export.export(_Scan(step), (state, rates, batches), strict=False, dynamic_shapes=shapes)
        package = torch._inductor.aoti_compile_and_package(program, package_path=f"{folder}/loop.pt2")
        with zipfile.ZipFile(package) as files:
            sources = [files.read(name) for name in files.namelist() if name.endswith(".cpp")]
            (library,) = (files.read(name) for name in files.namelist() if name.endswith(".so"))
    if any(b"proxy_executor_call_function(" in source for source in sources):
        raise Unavailable("no compiled loop: an operation of the step has no C++ form")
    return library


@contextmanager
def _object_files(beside: ThreadPoolExecutor, dtype: torch.dtype) -> Iterator[None]:
    """Compile the two halves of a library in parallel, where torch would compile one after the other.

    The half that holds the kernels gets the products of products.h, of this dtype, and the other one calls them.
    """
    from torch._inductor import cpp_builder

    run = cpp_builder.run_compile_cmd
    halves: list[Future] = []
    names = " ".join(f"-D aoti_torch_cpu_{name}_out=l2l_{name}" for name in ("mm", "bmm", "addmm", "baddbmm"))
    number = {torch.float32: "float", torch.float64: "double"}[dtype]
    options = {".wrapper.cpp": names, ".kernel.cpp": f"-D L2L_NUMBER={number} -include {shlex.quote(str(PRODUCTS))}"}

    def start(command: str, cwd: str) -> None:
        for source, its in options.items():
            if command.split()[1].endswith(source):
                halves.append(beside.submit(run, f"{command} {its}", os.path.dirname(cwd)))  # torch removes `cwd`
                return
        for half in halves:
            half.result()
        run(command, cwd)

    with mock.patch.object(cpp_builder, "run_compile_cmd", start):
        yield


def _fingerprint(graph: GraphModule, example: Tensors) -> str:
    layouts = [(tuple(x.shape), x.stride(), str(x.dtype)) for x in example]
    constants = [getattr(graph, node.target).tolist() for node in graph.graph.nodes if node.op == "get_attr"]
    machine = getattr(torch.cpu, "get_capabilities", platform.uname)()
    settings = torch.__version__, torch.get_num_threads(), machine, os.environ.get("ATEN_CPU_CAPABILITY"), COMPILER
    return cache.digest(
        Path(__file__).read_bytes() + PRODUCTS.read_bytes() + repr((graph.code, layouts, constants, settings)).encode()
    )
