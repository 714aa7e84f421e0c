// Products of small matrices, C = A B or C = D + A B, which the compiled loop calls in place of torch's.
//
// At sizes such as [10, 40] times [40, 40] a library spends about as long on choosing a method and on copying its
// operands as on arithmetic, and the one in torch uses only half of the vector width of some processors. Here a block
// of C, a few rows and vectors of columns, stays in registers while one pass is made over the inner dimension. The
// terms of an entry are added in the same order wherever it is in C.

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace products {

using Number = L2L_NUMBER;  // float or double

#if defined(__AVX512F__)
constexpr int WIDTH = 64, VECTORS = 3;  // bytes in a register; vectors of columns in a block, which 32 registers hold
#elif defined(__AVX__)
constexpr int WIDTH = 32, VECTORS = 2;
#else
constexpr int WIDTH = 16, VECTORS = 2;
#endif
constexpr int ROWS = 5, SIDE = 8;       // rows in a block; of a square that is transposed in registers
constexpr int64_t LARGEST = 512 * 512;  // entries of B; larger ones don't stay in a cache, which takes another method

template <int BYTES>
struct Vector {
  typedef Number InRegister __attribute__((vector_size(BYTES)));
  typedef Number Stored __attribute__((vector_size(BYTES), aligned(alignof(Number)), may_alias));
};

struct Matrix {  // or a stack of them: entry (i, j) of number n is first[n * apart + i * down + j * right]
  Number* first;
  int64_t apart, down, right;
  Number* at(int64_t i, int64_t j) const { return first + i * down + j * right; }
};

struct Product {
  int64_t rows, columns, inner;
  Matrix a, b, c, d;  // d.first is null if there is no D
};

// R rows from row i, and U vectors of columns from column j, the last of which may overlap the one before.
template <int BYTES, int U, int R>
void block(const Product p, int64_t i, int64_t j) {
  using Stored = typename Vector<BYTES>::Stored;
  typename Vector<BYTES>::InRegister sum[R][U]{}, b[U];
  constexpr int N = BYTES / sizeof(Number);
  int64_t column[U];
#pragma GCC unroll 8
  for (int u = 0; u < U; u++) column[u] = std::min(j + u * N, p.columns - N);
  for (int64_t k = 0; k < p.inner; k++) {
#pragma GCC unroll 8
    for (int u = 0; u < U; u++) b[u] = *(const Stored*)p.b.at(k, column[u]);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
      for (int u = 0; u < U; u++) sum[r][u] += *p.a.at(i + r, k) * b[u];
  }
  if (p.d.first)
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
      for (int u = 0; u < U; u++) sum[r][u] += *(const Stored*)p.d.at(i + r, column[u]);
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int u = 0; u < U; u++) *(Stored*)p.c.at(i + r, column[u]) = sum[r][u];
}

template <int BYTES, int U, int R = ROWS>
void rows(const Product& p, int64_t j, int64_t i = 0) {  // blocks of R rows, and smaller ones for those that are left
  for (; i + R <= p.rows; i += R) block<BYTES, U, R>(p, i, j);
  if constexpr (R > 1) rows<BYTES, U, R / 2>(p, j, i);
}

template <int BYTES = WIDTH, int U = VECTORS>
void columns(const Product& p) {  // in vectors of BYTES, or of fewer where there aren't as many columns
  constexpr int N = BYTES / sizeof(Number);
  if constexpr (N > 1)
    if (p.columns < N) return columns<BYTES / 2, 2>(p);
  for (int64_t j = 0; j < p.columns;) {
    int64_t left = (p.columns - j + N - 1) / N;
    if (left >= U && (U == 2 || left != 4)) {  // 4 as 2 + 2, since a single vector leaves the processor waiting
      rows<BYTES, U>(p, j), j += U * N;
    } else {
      left > 1 ? rows<BYTES, 2>(p, j) : rows<BYTES, 1>(p, j);
      j += 2 * N;
    }
  }
}

// Exchange bit S of the number of a line with bit S of the place in the line.
template <int S, class Line, int... L>
inline void exchange(Line (&lines)[SIDE], std::integer_sequence<int, L...>) {
#pragma GCC unroll 8
  for (int l = 0; l < SIDE; l++)
    if (!(l & S)) {
      Line x = lines[l], y = lines[l + S];
#if defined(__clang__)
      lines[l] = __builtin_shufflevector(x, y, (L & S ? SIDE + L - S : L)...);
      lines[l + S] = __builtin_shufflevector(x, y, (L & S ? SIDE + L : L + S)...);
#else
      using Places = decltype(x < y);
      lines[l] = __builtin_shuffle(x, y, Places{(L & S ? SIDE + L - S : L)...});
      lines[l + S] = __builtin_shuffle(x, y, Places{(L & S ? SIDE + L : L + S)...});
#endif
    }
}

void transpose(const Matrix& from, Number* to, int64_t rows, int64_t columns) {  // a matrix whose columns are stored
  using Line = Vector<SIDE * sizeof(Number)>;
  constexpr std::make_integer_sequence<int, SIDE> places;
  int64_t i = 0, j = 0;
  for (; j + SIDE <= columns; j += SIDE)
    for (i = 0; i + SIDE <= rows; i += SIDE) {
      Line::InRegister lines[SIDE];
#pragma GCC unroll 8
      for (int l = 0; l < SIDE; l++) lines[l] = *(const Line::Stored*)from.at(i, j + l);
      exchange<4>(lines, places), exchange<2>(lines, places), exchange<1>(lines, places);
#pragma GCC unroll 8
      for (int l = 0; l < SIDE; l++) *(Line::Stored*)(to + (i + l) * columns + j) = lines[l];
    }
  for (int64_t k = 0; k < rows; k++)
    for (int64_t l = k < i ? j : 0; l < columns; l++) to[k * columns + l] = *from.at(k, l);
}

void multiply(int64_t number, const Product& all) {
  static thread_local Number copied[LARGEST];
  for (int64_t n = 0; n < number; n++) {
    Product p = all;
    for (Matrix* m : {&p.a, &p.b, &p.c, &p.d}) m->first += n * m->apart;
    if (p.b.right != 1) {
      if (!n || p.b.apart) transpose(p.b, copied, p.inner, p.columns);
      p.b = {copied, 0, p.columns, 1};
    }
    columns(p);
  }
}

struct Tensor {
  Number* first = nullptr;
  int64_t axes = 0, *sizes = nullptr, *strides = nullptr;
  bool numbers = false;

  explicit Tensor(AtenTensorHandle x) {
    int32_t type;
    aoti_torch_get_data_ptr(x, (void**)&first), aoti_torch_get_dtype(x, &type);
    aoti_torch_get_dim(x, &axes), aoti_torch_get_sizes(x, &sizes), aoti_torch_get_strides(x, &strides);
    numbers = type == (sizeof(Number) == 4 ? aoti_torch_dtype_float32() : aoti_torch_dtype_float64());
  }
  int64_t rows() const { return sizes[axes - 2]; }
  int64_t columns() const { return sizes[axes - 1]; }
  Matrix matrix() const { return {first, axes > 2 ? strides[0] : 0, strides[axes - 2], strides[axes - 1]}; }
};

// Write C = A B, or D + A B, of matrices or stacks of as many; return whether they are such as can be multiplied here.
bool done(AtenTensorHandle product, AtenTensorHandle start, AtenTensorHandle left, AtenTensorHandle right) {
  Tensor c(product), d(start ? start : product), a(left), b(right);
  if (!c.numbers || d.axes != c.axes || !std::equal(c.sizes, c.sizes + c.axes, d.sizes)) return false;
  Product p{c.rows(), c.columns(), a.columns(), a.matrix(), b.matrix(), c.matrix(), start ? d.matrix() : Matrix{}};
  if (p.c.right != 1) {  // its columns are stored: its transpose is that of B times that of A
    std::swap(p.rows, p.columns), std::swap(p.a, p.b);
    for (Matrix* m : {&p.a, &p.b, &p.c, &p.d}) std::swap(m->down, m->right);
  }
  if (p.c.right != 1 || (p.b.right != 1 && p.b.down != 1) || p.inner * p.columns > LARGEST) return false;
  if (start && (p.d.right != 1 || p.d.first == p.c.first)) return false;  // what overlaps would be added twice
  multiply(c.axes > 2 ? c.sizes[0] : 1, p);
  return true;
}
}  // namespace products

extern "C" {
using T = AtenTensorHandle;

AOTITorchError l2l_mm(T c, T a, T b) {
  return products::done(c, nullptr, a, b) ? AOTI_TORCH_SUCCESS : aoti_torch_cpu_mm_out(c, a, b);
}
AOTITorchError l2l_bmm(T c, T a, T b) {
  return products::done(c, nullptr, a, b) ? AOTI_TORCH_SUCCESS : aoti_torch_cpu_bmm_out(c, a, b);
}
AOTITorchError l2l_addmm(T c, T d, T a, T b, double beta, double alpha) {
  bool here = beta == 1 && alpha == 1 && products::done(c, d, a, b);
  return here ? AOTI_TORCH_SUCCESS : aoti_torch_cpu_addmm_out(c, d, a, b, beta, alpha);
}
AOTITorchError l2l_baddbmm(T c, T d, T a, T b, double beta, double alpha) {
  bool here = beta == 1 && alpha == 1 && products::done(c, d, a, b);
  return here ? AOTI_TORCH_SUCCESS : aoti_torch_cpu_baddbmm_out(c, d, a, b, beta, alpha);
}
}
