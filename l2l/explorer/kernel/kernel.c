// Meta-training once more, four numbers at a time: what `js/maths` does in plain JavaScript and double precision, here
// in single precision, for WebAssembly with SIMD. `make kernel` builds kernel.wasm of it.
//
// A layer's W and b are one matrix, b its last row, and every row of activations ends with the 1 that b is multiplied
// by. Rows are filled up with zeros to whole vectors. Nothing is freed: the page asks for its arrays once, by `room`.

#define INLINE static inline __attribute__((always_inline))
#define EXPORT __attribute__((visibility("default")))

enum { LANES = 4, DEEPEST = 8 };
typedef float vec __attribute__((vector_size(16), aligned(4)));
typedef int mask __attribute__((vector_size(16), aligned(4)));

typedef struct { int fan_in, fan_out, W; } layer;  // W: where the layer begins in the parameters
typedef struct { int n; const float *x, *y; } points;
enum { MAML, FOMAML, PRETRAIN, REPTILE };

static layer layers[DEEPEST];
static int depth, size;  // layers, and numbers in all parameters
static float *a[DEEPEST + 1], *Ra[DEEPEST + 1], *d[2], *Rd[2], *turned, *path, *g, *scaled, *slope, *Hv;

INLINE int up(int n) { return (n + LANES - 1) & ~(LANES - 1); }  // numbers in a row of parameters
INLINE int stride(int width) { return up(width + 1); }  // in a row of activations
INLINE vec load(const float *at) { return *(const vec *)at; }
INLINE void store(float *at, vec value) { *(vec *)at = value; }
INLINE vec all(float value) { return (vec){value, value, value, value}; }
INLINE vec where(mask on, vec value) { return (vec)((mask)value & on); }
static void clear(float *at, int n) { for (int i = 0; i < n; i += LANES) store(at + i, all(0)); }

extern unsigned char __heap_base;
static unsigned long used = 0;

// Room for so many numbers, all zero.
EXPORT float *room(int numbers) {
  unsigned long found = used ? used : ((unsigned long)&__heap_base + 15) & ~15ul;
  used = found + up(numbers) * sizeof(float);
  long missing = (long)(used - (__builtin_wasm_memory_size(0) << 16));
  if (missing > 0 && __builtin_wasm_memory_grow(0, (missing + 0xffff) >> 16) == ~0ul) __builtin_trap();
  return (float *)found;
}

// Appends a layer. The first is preceded by one input, the last followed by `ready`.
EXPORT void add_layer(int fan_in, int fan_out) {
  layers[depth++] = (layer){fan_in, fan_out, size};
  size += (fan_in + 1) * up(fan_out);
}

// Room for so many points and inner steps. Returns the numbers in all parameters, zeros at the ends of rows included.
EXPORT int ready(int most, int steps) {
  int widest = 0;
  for (int l = 0; l <= depth; l++) {
    int width = l ? layers[l - 1].fan_out : layers[0].fan_in;
    if (width > widest) widest = width;
    a[l] = room(most * stride(width));
    Ra[l] = room(most * stride(width));
  }
  for (int i = 0; i < 2; i++) d[i] = room(most * up(widest)), Rd[i] = room(most * up(widest));
  turned = room(up(widest) * up(widest));
  path = room((steps + 1) * size), g = room(size), scaled = room(size), slope = room(size), Hv = room(size);
  return size;
}

// out += A B for ROWS rows and VECTORS vectors of columns, whose sums stay in registers.
INLINE void block(const int ROWS, const int VECTORS, float *out, int out_row, int p, const float *A, int row,
                  int column, const float *B, int b_row) {
  vec sum[5][2];
  for (int i = 0; i < ROWS; i++) for (int v = 0; v < VECTORS; v++) sum[i][v] = load(out + i * out_row + LANES * v);
#pragma clang loop unroll_count(4)
  for (int j = 0; j < p; j++, A += column, B += b_row) {
    for (int i = 0; i < ROWS; i++) for (int v = 0; v < VECTORS; v++) sum[i][v] += all(A[i * row]) * load(B + LANES * v);
  }
  for (int i = 0; i < ROWS; i++) for (int v = 0; v < VECTORS; v++) store(out + i * out_row + LANES * v, sum[i][v]);
}

// out += A B for A of m × p, whose rows and columns are `row` and `column` numbers apart, and B of p × n.
static __attribute__((noinline)) void multiply_add(float *out, int out_row, int m, int p, int n, const float *A, int row, int column,
                         const float *B, int b_row) {
  for (int rows; m > 0; m -= rows, out += rows * out_row, A += rows * row) {
    int k = 0;
    rows = m >= 5 ? 5 : m >= 2 ? 2 : 1;
    for (; k + 2 * LANES <= n; k += 2 * LANES) {
      if (rows == 5) block(5, 2, out + k, out_row, p, A, row, column, B + k, b_row);
      else if (rows == 2) block(2, 2, out + k, out_row, p, A, row, column, B + k, b_row);
      else block(1, 2, out + k, out_row, p, A, row, column, B + k, b_row);
    }
    for (int i = 0; i < rows && k < n; i++)
      block(1, 1, out + i * out_row + k, out_row, p, A + i * row, row, column, B + k, b_row);
  }
}

// out = or += [A 1] W, row by row, with W and b taken from `values`.
static void affine(float *out, int n, const float *A, const float *values, layer l) {
  multiply_add(out, stride(l.fan_out), n, l.fan_in + 1, up(l.fan_out), A, stride(l.fan_in), 1, values + l.W,
               up(l.fan_out));
}

// The activations of every layer; the last are the predictions.
static __attribute__((noinline)) void forward(const float *theta, points s) {
  for (int i = 0; i < s.n; i++) store(a[0] + i * LANES, (vec){s.x[i], 1, 0, 0});
  for (int l = 0; l < depth; l++) {
    int width = layers[l].fan_out, row = stride(width);
    clear(a[l + 1], s.n * row);
    affine(a[l + 1], s.n, a[l], theta, layers[l]);
    if (l + 1 < depth) for (int i = 0; i < s.n; i++) {
      float *z = a[l + 1] + i * row;
      for (int k = 0; k < width; k += LANES) store(z + k, where(~(load(z + k) <= all(0)), load(z + k)));  // NaN stays
      z[width] = 1;
    }
  }
}

INLINE float prediction(int i) { return a[depth][i * stride(layers[depth - 1].fan_out)]; }

static float mean_square(points s) {
  float sum = 0;
  for (int i = 0; i < s.n; i++) sum += (prediction(i) - s.y[i]) * (prediction(i) - s.y[i]);
  return sum / s.n;
}

// What flows back where the ReLU is on.
static void relu_backward(float *d, int n, const float *activation, int width) {
  for (int i = 0; i < n; i++) for (int k = 0; k < width; k += LANES) {
    float *here = d + i * up(width) + k;
    store(here, where(load(activation + i * stride(width) + k) > all(0), load(here)));
  }
}

// The derivatives of all activations along v: the forward pass, differentiated.
static void forward_along(const float *theta, const float *v, int n) {
  clear(Ra[0], n * LANES);
  for (int l = 0; l < depth; l++) {
    int width = layers[l].fan_out, row = stride(width);
    clear(Ra[l + 1], n * row);
    affine(Ra[l + 1], n, a[l], v, layers[l]);
    if (l) affine(Ra[l + 1], n, Ra[l], theta, layers[l]);
    if (l + 1 < depth) for (int i = 0; i < n; i++) for (int k = 0; k < width; k += LANES) {
      float *here = Ra[l + 1] + i * row + k;
      store(here, where(load(a[l + 1] + i * row + k) > all(0), load(here)));
    }
  }
}

// into += [A 1]ᵀ D at the layer's W and b.
static void add_weights(float *into, int n, layer l, const float *A, const float *D) {
  multiply_add(into + l.W, up(l.fan_out), l.fan_in + 1, n, up(l.fan_out), A, 1, stride(l.fan_in), D,
               up(l.fan_out));
}

// The transpose of a matrix of `row` numbers a row, four by four, its rows filled up with zeros.
static void transpose(float *out, int m, int n, const float *A) {
  int row = up(n), across = up(m);
  for (int i = 0; i < m; i += LANES) for (int k = 0; k < n; k += LANES) {
    vec r[LANES];
    for (int j = 0; j < LANES; j++) r[j] = i + j < m ? load(A + (i + j) * row + k) : all(0);
    vec s = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), t = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    vec u = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), w = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    float *to = out + k * across + i;
    store(to, __builtin_shufflevector(s, t, 0, 1, 4, 5));
    store(to + across, __builtin_shufflevector(s, t, 2, 3, 6, 7));
    store(to + 2 * across, __builtin_shufflevector(u, w, 0, 1, 4, 5));
    store(to + 3 * across, __builtin_shufflevector(u, w, 2, 3, 6, 7));
  }
}

// into += D Wᵀ, with W taken from `values`.
static void add_inputs(float *into, int n, layer l, const float *D, const float *values) {
  transpose(turned, l.fan_in, l.fan_out, values + l.W);
  multiply_add(into, up(l.fan_in), n, l.fan_out, up(l.fan_in), D, up(l.fan_out), 1, turned, up(l.fan_in));
}

// ∇L(θ), put into `grad` where that is given; and, along a direction v, the Hessian times v, put into `product`: reverse
// mode differentiated forwards along v (Pearlmutter, 1994). R marks the derivative of a quantity along v.
static __attribute__((noinline)) float gradient(const float *theta, points s, float *grad, const float *v, float *product) {
  forward(theta, s);
  if (grad) clear(grad, size);
  if (v) forward_along(theta, v, s.n), clear(product, size);
  int last = stride(layers[depth - 1].fan_out), now = 0;
  for (int i = 0; i < s.n; i++) {
    store(d[0] + i * LANES, (vec){2 * (prediction(i) - s.y[i]) / s.n, 0, 0, 0});
    if (v) store(Rd[0] + i * LANES, (vec){2 * Ra[depth][i * last] / s.n, 0, 0, 0});
  }
  for (int l = depth - 1; l >= 0; l--, now = !now) {
    layer here = layers[l];
    float *D = d[now], *RD = Rd[now], *below = d[!now], *Rbelow = Rd[!now];
    if (grad) add_weights(grad, s.n, here, a[l], D);
    if (v) add_weights(product, s.n, here, a[l], RD), add_weights(product, s.n, here, Ra[l], D);
    if (l == 0) break;
    clear(below, s.n * up(here.fan_in));
    add_inputs(below, s.n, here, D, theta);
    if (v) {
      clear(Rbelow, s.n * up(here.fan_in));
      add_inputs(Rbelow, s.n, here, RD, theta);
      add_inputs(Rbelow, s.n, here, D, v);
      relu_backward(Rbelow, s.n, a[l], here.fan_in);
    }
    relu_backward(below, s.n, a[l], here.fan_in);
  }
  return mean_square(s);
}

#define EACH for (int i = 0; i < size; i += LANES)

// The inner loop, with a rate for every parameter: θ^(0), …, θ^(steps), one behind the other in `path`.
static __attribute__((noinline)) void adapt(const float *theta, const float *rates, points support, int steps) {
  EACH store(path + i, load(theta + i));
  for (float *here = path; here < path + steps * size; here += size) {
    gradient(here, support, g, 0, 0);
    EACH store(here + size + i, load(here + i) - load(rates + i) * load(g + i));
  }
}

// Adds one task's part of the meta-gradient. MAML multiplies by (I - H_0 a) … (I - H_{K-1} a), the last factor first,
// where a is the diagonal of rates; on the way stands the derivative by the rates, put into `by_rates` where that is
// given (Meta-SGD). ANIL's rates are zero but for the head.
static float one_task(int method, const float *theta, const float *rates, int steps, points support, points query,
                      float share, float *grad, float *by_rates) {
  points both = {support.n + query.n, support.x, support.y};
  float loss;
  if (method == PRETRAIN) {
    loss = gradient(theta, both, g, 0, 0);
    EACH store(grad + i, load(grad + i) + all(share) * load(g + i));
    return loss;
  }
  adapt(theta, rates, method == REPTILE ? both : support, steps);
  float *phi = path + steps * size;
  if (method == REPTILE) {
    EACH store(grad + i, load(grad + i) + all(share) * (load(theta + i) - load(phi + i)) / load(rates + i));
    forward(phi, both);
    return mean_square(both);
  }
  loss = gradient(phi, query, g, 0, 0);
  if (method == MAML) for (float *here = phi - size; here >= path; here -= size) {
    EACH store(scaled + i, load(rates + i) * load(g + i));
    gradient(here, support, by_rates ? slope : 0, scaled, Hv);
    if (by_rates) EACH store(by_rates + i, load(by_rates + i) - all(share) * load(slope + i) * load(g + i));
    EACH store(g + i, load(g + i) - load(Hv + i));
  }
  EACH store(grad + i, load(grad + i) + all(share) * load(g + i));
  return loss;
}

// The mean over a batch whose points lie task by task, support before query. Returns the loss.
EXPORT float batch_gradient(int method, const float *theta, const float *rates, int steps, int tasks, int shots,
                            int query, const float *x, const float *y, float *grad, float *by_rates) {
  float loss = 0, share = 1.0f / tasks;
  clear(grad, size);
  if (by_rates) clear(by_rates, size);
  for (int t = 0; t < tasks; t++, x += shots + query, y += shots + query) {
    points support = {shots, x, y}, rest = {query, x + shots, y + shots};
    loss += share * one_task(method, theta, rates, steps, support, rest, share, grad, by_rates);
  }
  return loss;
}

// The query error of one task after 0, 1, …, steps adaptation steps.
EXPORT void errors(const float *theta, const float *rates, int steps, int shots, int query, const float *x,
                   const float *y, float *out) {
  points support = {shots, x, y}, rest = {query, x + shots, y + shots};
  adapt(theta, rates, support, steps);
  for (int k = 0; k <= steps; k++) {
    forward(path + k * size, rest);
    out[k] = mean_square(rest);
  }
}

// The norm of the first adaptation gradient.
EXPORT float norm(const float *theta, int shots, const float *x, const float *y) {
  float sum = 0;
  gradient(theta, (points){shots, x, y}, g, 0, 0);
  for (int i = 0; i < size; i++) sum += g[i] * g[i];
  return __builtin_sqrtf(sum);
}

// One update of Adam, in place; `remain_m` and `remain_v` are 1 - β₁ᵗ and 1 - β₂ᵗ.
EXPORT void adam(float *theta, const float *grad, float *m, float *v, float rate, float remain_m, float remain_v) {
  for (int i = 0; i < size; i++) {
    m[i] += 0.1f * (grad[i] - m[i]);
    v[i] += 0.001f * (grad[i] * grad[i] - v[i]);
    theta[i] -= rate * m[i] / remain_m / (__builtin_sqrtf(v[i] / remain_v) + 1e-8f);
  }
}
