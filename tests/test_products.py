"""The products of small matrices in C++, called as the compiled loop calls them, against exact sums."""

import ctypes
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
import torch

from l2l.engine import native

DTYPES = {torch.float32: "float", torch.float64: "double"}
TORCH = Path(torch.__path__[0])
SIZES = [
    (1, 1, 1),
    (3, 2, 5),
    (10, 40, 40),
    (40, 10, 8),
    (7, 33, 16),
    (23, 64, 9),
    (5, 3, 100),
    (12, 81, 24),
    (4, 5, 0),
]


@pytest.fixture(scope="module", params=["native", "x86-64-v3", "x86-64"])
def libraries(request, tmp_path_factory):
    """Products.h by itself, compiled for both dtypes and for registers of several widths."""
    if not (compiler := shutil.which("g++")):
        pytest.skip("no g++ here")
    made = {}
    for dtype, number in DTYPES.items():
        path = tmp_path_factory.mktemp("products") / f"{number}.so"
        include = f"-I{TORCH}/include", f"-I{TORCH}/include/torch/csrc/api/include"
        link = f"-L{TORCH}/lib", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{TORCH}/lib"
        options = "-O3", f"-march={request.param}", "-std=c++20", "-shared", "-fPIC", "-Wall", "-Werror"
        source = "-Wno-unknown-pragmas", "-x", "c++", str(native.PRODUCTS), "-x", "none"
        command = [compiler, *options, f"-DL2L_NUMBER={number}", *include, *source, "-o", str(path), *link]
        ran = subprocess.run(command, capture_output=True, text=True)
        if "-march" in ran.stderr:  # not an instruction set of this kind of processor
            pytest.skip(f"no {request.param} here")
        assert not ran.returncode, ran.stderr
        made[dtype] = ctypes.CDLL(str(path))
    return made


def pointers(tensors):
    handles = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(list(tensors))
    return [ctypes.c_void_p(native._pointer(handle, None)) for handle in handles]


def call(library, name, *tensors, numbers=()):
    return getattr(library, name)(*pointers(tensors), *map(ctypes.c_double, numbers))


def here(library, product, *factors):
    """Whether products.h multiplies these itself."""
    done = library["_ZN8products4doneEP16AtenTensorOpaqueS1_S1_S1_"]
    done.restype = ctypes.c_bool
    to, *of = pointers([product, *factors])
    return done(to, None, *of)


def guarded(*shape, dtype, columns_stored):
    """A tensor of sevens to write into, rows or columns stored, and the memory around it."""
    stack, (rows, columns) = shape[:-2], shape[-2:]
    inside = (*stack, columns, rows) if columns_stored else shape
    memory = torch.full((torch.Size(inside).numel() + 64,), 7.0, dtype=dtype)
    out = memory[32:-32].view(inside)
    return (out.mT if columns_stored else out), memory


def drawn(*shape, dtype, generator, columns_stored):
    x = torch.randn(*shape[:-2], *(shape[:-3:-1] if columns_stored else shape[-2:]), generator=generator, dtype=dtype)
    return x.mT if columns_stored else x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", [None, 3])
def test_products_are_exact_sums(libraries, generator, dtype, stack):
    eps, library = torch.finfo(dtype).eps, libraries[dtype]
    for (rows, columns, inner), (a_by, b_by, c_by), started in product(
        SIZES, product([False, True], repeat=3), [False, True]
    ):
        of = [stack] if stack else []
        A, B, D = (
            drawn(*of, *shape, dtype=dtype, generator=generator, columns_stored=by)
            for shape, by in (((rows, inner), a_by), ((inner, columns), b_by), ((rows, columns), c_by))
        )
        C, memory = guarded(*of, rows, columns, dtype=dtype, columns_stored=c_by)
        name = {(False, False): "mm", (False, True): "addmm", (True, False): "bmm", (True, True): "baddbmm"}
        tensors = (C, D, A, B) if started else (C, A, B)
        name = f"l2l_{name[bool(stack), started]}"
        assert not call(library, name, *tensors, numbers=(1, 1) if started else ())
        exact, sizes = A.double() @ B.double(), A.double().abs() @ B.double().abs()
        if started:
            exact, sizes = exact + D.double(), sizes + D.double().abs()
        assert ((C.double() - exact).abs() <= (inner + 1) * eps * sizes + 1e-300).all(), (name, rows, columns, inner)
        assert (memory[:32] == 7).all()
        assert (memory[-32:] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_entry_does_not_depend_on_the_other_rows_and_columns(libraries, generator, dtype):
    A, B = (torch.randn(40, 40, generator=generator, dtype=dtype) for _ in range(2))
    C, part = torch.empty(40, 40, dtype=dtype), torch.empty(7, 40, dtype=dtype)
    call(libraries[dtype], "l2l_mm", C, A, B)
    call(libraries[dtype], "l2l_mm", part, A[3:10], B)
    assert torch.equal(part, C[3:10])


def test_a_matrix_may_serve_a_whole_stack(libraries, generator):
    A, B = torch.randn(5, 10, 40, generator=generator), torch.randn(40, 40, generator=generator)
    for one in (B, B.T):
        C = torch.empty(5, 10, 40)
        call(libraries[torch.float32], "l2l_bmm", C, A, one.expand(5, 40, 40))
        torch.testing.assert_close(C, A @ one)


def test_what_is_not_small_or_lies_otherwise_goes_to_torch(libraries, generator):
    library = libraries[torch.float32]
    large = torch.randn(8, 600, generator=generator), torch.randn(600, 600, generator=generator)
    sparse = torch.randn(8, 40, generator=generator), torch.randn(80, 80, generator=generator)[::2, ::2]
    other = tuple(x.double() for x in (torch.ones(8, 40), torch.ones(40, 40)))
    for A, B in (large, sparse, other):
        C = torch.empty(8, B.shape[1], dtype=A.dtype)
        assert not here(library, C, A, B)
        assert not call(library, "l2l_mm", C, A, B)
        assert torch.equal(C, A @ B)
    A, B, C = torch.randn(8, 40, generator=generator), torch.randn(40, 19, generator=generator), torch.empty(8, 19)
    assert here(library, C, A, B)
    assert not call(library, "l2l_addmm", C, C.fill_(2), A, B, numbers=(1, 1)), "its start is the result itself"
    torch.testing.assert_close(C, 2 + A @ B)
    assert not call(library, "l2l_addmm", C, torch.ones(8, 19), A, B, numbers=(3, 0.5))
    torch.testing.assert_close(C, 3 + 0.5 * (A @ B))
