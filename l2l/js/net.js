// The library's mathematics on a flat vector of parameters: W1 row by row, b1, W2, b2, … as l2l.net.flatten gives them.
// Everything is in double precision. `theta` is {sizes, values}; points are {x, y}, two arrays of one length.

function offsets(sizes) {
  let at = 0;
  return sizes.slice(1).map((outputs, l) => {
    const layer = {inputs: sizes[l], outputs, W: at, b: at + sizes[l] * outputs};
    at = layer.b + outputs;
    return layer;
  });
}

// out += A · B for matrices of m × p and p × n in arrays, each given as {values, at, row, column}: where it begins, and
// how far it is to the next row and column. Half of A is zeros where units are off, so each row's others are collected
// first; then four columns are summed at a time, in variables, which is faster than in arrays.
let factors = new Float64Array(64), starts = new Int32Array(64);

function multiplyAdd({values: out, at, row}, m, p, n, {values: a, at: aAt, row: aRow, column: aColumn}, B) {
  const {values: b, column: step} = B;
  if (factors.length < p) [factors, starts] = [new Float64Array(p), new Int32Array(p)];
  for (let i = 0; i < m; i++) {
    let count = 0, k = 0;
    for (let j = 0; j < p; j++) {
      const factor = a[aAt + i * aRow + j * aColumn];
      if (factor !== 0) {
        factors[count] = factor;
        starts[count++] = B.at + j * B.row;
      }
    }
    const to = at + i * row;
    for (; k + 3 < n; k += 4) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let j = 0; j < count; j++) {
        const factor = factors[j], w = starts[j] + k * step;
        s0 += factor * b[w];
        s1 += factor * b[w + step];
        s2 += factor * b[w + 2 * step];
        s3 += factor * b[w + 3 * step];
      }
      out[to + k] += s0;
      out[to + k + 1] += s1;
      out[to + k + 2] += s2;
      out[to + k + 3] += s3;
    }
    for (; k < n; k++) for (let j = 0; j < count; j++) out[to + k] += factors[j] * b[starts[j] + k * step];
  }
}
const matrix = (values, row, at = 0) => ({values, at, row, column: 1});
const transposed = ({values, at, row, column}) => ({values, at, row: column, column: row});

// Intermediate values live in one array that every gradient uses again: browsers take long to find memory.
let scratch = new Float64Array(1 << 14), used = 0;
function zeros(rows, columns) {
  if (used + rows * columns > scratch.length) [scratch, used] = [new Float64Array(2 * (used + rows * columns)), 0];
  return matrix(scratch.subarray(used, used += rows * columns).fill(0), columns);
}

// x W + b, with W and b taken from `values`.
function affine(n, x, values, {inputs, outputs, W, b}) {
  const z = zeros(n, outputs);
  for (let i = 0; i < n; i++) for (let k = 0; k < outputs; k++) z.values[i * outputs + k] = values[b + k];
  multiplyAdd(z, n, inputs, outputs, x, matrix(values, outputs, W));
  return z;
}

function relu({values}) {
  for (let i = 0; i < values.length; i++) if (values[i] <= 0) values[i] = 0;  // NaN stays
}

// The activations of every layer at the inputs x; the last are the outputs.
function forward({sizes, values}, x) {
  used = 0;
  const a = [matrix(Float64Array.from(x), 1)], layers = offsets(sizes);
  layers.forEach((layer, l) => {
    a.push(affine(x.length, a[l], values, layer));
    if (l < layers.length - 1) relu(a[l + 1]);
  });
  return a;
}

const outputs = (theta, x) => forward(theta, x).at(-1).values.slice();

// The same outputs at many increasing x, for two hidden layers. The second's z is linear in x until a unit of the first
// switches at x = -b/w, so sweeping from left to right changes its slope and offset a unit at a time: ten times faster.
function sweep(theta, x) {
  const {sizes, values} = theta, [first, second, last, more] = offsets(sizes);
  if (!last || more) return outputs(theta, x);
  const width = second.outputs, slope = new Float64Array(width), offset = values.slice(second.b, second.b + width);
  const head = values.slice(last.W, last.b), out = new Float64Array(x.length).fill(values[last.b]);
  const at = new Float64Array(first.outputs), switches = [];
  const toggle = (j, sign) => {
    const w = sign * values[first.W + j], b = sign * values[first.b + j], row = second.W + j * width;
    for (let k = 0; k < width; k++) {
      slope[k] += w * values[row + k];
      offset[k] += b * values[row + k];
    }
  };
  for (let j = 0; j < first.outputs; j++) {
    const w = values[first.W + j], b = values[first.b + j], off = w * x[0] + b <= 0;
    if (!off) toggle(j, 1);
    at[j] = -b / w;
    if (off ? w > 0 : w < 0) switches.push(j);  // to the right of the first x
  }
  switches.sort((i, j) => at[i] - at[j]);
  for (let i = 0, next = 0; i < x.length; i++) {
    for (; next < switches.length && at[switches[next]] < x[i]; next++) {
      toggle(switches[next], Math.sign(values[first.W + switches[next]]));
    }
    const here = x[i];
    let sum = 0;
    for (let k = 0; k < width; k++) {
      const z = slope[k] * here + offset[k];
      if (!(z <= 0)) sum += z * head[k];
    }
    out[i] += sum;
  }
  return out;
}

function meanSquare(predictions, y) {
  let sum = 0;
  for (let i = 0; i < y.length; i++) sum += (predictions[i] - y[i]) ** 2;
  return sum / y.length;
}

const mse = (theta, {x, y}) => meanSquare(outputs(theta, x), y);

// The loss, ∇L(θ) by reverse mode (put into `grad`) and, given a direction v, the Hessian times v: reverse mode
// differentiated forwards along v (Pearlmutter, 1994). R marks the derivative of a quantity along v.
function gradient(theta, {x, y}, v = null, grad = new Float64Array(theta.values.length)) {
  const {sizes, values} = theta, layers = offsets(sizes), n = x.length, a = forward(theta, x), outputs = a.at(-1).values;
  const Hv = v && new Float64Array(values.length), Ra = [zeros(n, 1)];
  grad.fill(0);
  const passed = ({values: d}, {values: activation}) => {  // only where the ReLU is on
    for (let i = 0; i < d.length; i++) if (!(activation[i] > 0)) d[i] = 0;
  };
  if (v) layers.forEach((layer, l) => {
    const Rz = affine(n, a[l], v, layer);
    multiplyAdd(Rz, n, layer.inputs, layer.outputs, Ra[l], matrix(values, layer.outputs, layer.W));
    if (l < layers.length - 1) passed(Rz, a[l + 1]);
    Ra.push(Rz);
  });
  let d = zeros(n, 1), Rd = v && zeros(n, 1), loss = 0;
  for (let i = 0; i < n; i++) {
    loss += (outputs[i] - y[i]) ** 2 / n;
    d.values[i] = 2 * (outputs[i] - y[i]) / n;
    if (v) Rd.values[i] = 2 * Ra.at(-1).values[i] / n;
  }
  for (let l = layers.length - 1; l >= 0; l--) {
    const {inputs, outputs, W, b} = layers[l];
    const toWeights = (into, a, d) => multiplyAdd(matrix(into, outputs, W), inputs, n, outputs, transposed(a), d);
    const toBiases = (into, {values: d}) => {
      for (let i = 0; i < n; i++) for (let k = 0; k < outputs; k++) into[b + k] += d[i * outputs + k];
    };
    toWeights(grad, a[l], d);
    toBiases(grad, d);
    if (v) {
      toWeights(Hv, a[l], Rd);
      toWeights(Hv, Ra[l], d);
      toBiases(Hv, Rd);
    }
    if (l === 0) break;
    const before = zeros(n, inputs), toW = transposed(matrix(values, outputs, W));
    multiplyAdd(before, n, outputs, inputs, d, toW);
    passed(before, a[l]);
    if (v) {
      const Rbefore = zeros(n, inputs);
      multiplyAdd(Rbefore, n, outputs, inputs, Rd, toW);
      multiplyAdd(Rbefore, n, outputs, inputs, d, transposed(matrix(v, outputs, W)));
      passed(Rbefore, a[l]);
      Rd = Rbefore;
    }
    d = before;
  }
  return {grad, Hv, loss};
}

// The inner loop: θ^(0), …, θ^(K), all but the last with its support `loss`.
function adapt(theta, support, alpha, steps) {
  const {sizes, values} = theta, size = values.length, room = new Float64Array(steps * size), grad = new Float64Array(size);
  const path = [{...theta}];
  for (let k = 0; k < steps; k++) {
    const here = path[k].values, next = room.subarray(k * size, (k + 1) * size);
    path[k].loss = gradient(path[k], support, null, grad).loss;
    for (let i = 0; i < size; i++) next[i] = here[i] - alpha * grad[i];
    path.push({sizes, values: next});
  }
  return path;
}

// One task's meta-gradient and loss. MAML multiplies by (I - αH_0) … (I - αH_{K-1}), the last factor first.
function metaGradient(method, theta, {support, query}, alpha, steps) {
  if (method === "pretrain") return gradient(theta, {x: [...support.x, ...query.x], y: [...support.y, ...query.y]});
  const path = adapt(theta, support, alpha, steps), {grad, loss} = gradient(path[steps], query);
  if (method === "maml") for (let k = steps - 1; k >= 0; k--) {
    const {Hv} = gradient(path[k], support, grad);
    for (let i = 0; i < grad.length; i++) grad[i] -= alpha * Hv[i];
  }
  return {grad, loss};
}

// The mean over a batch of tasks: what the outer optimiser descends.
function batchGradient(method, theta, batch, alpha, steps) {
  const grad = new Float64Array(theta.values.length);
  let loss = 0;
  for (const task of batch) {
    const one = metaGradient(method, theta, task, alpha, steps);
    loss += one.loss / batch.length;
    for (let i = 0; i < grad.length; i++) grad[i] += one.grad[i] / batch.length;
  }
  return {grad, loss};
}

// One Adam update, in place.
function adam(theta, grad, state, rate) {
  state.t += 1;
  const {m, v, t} = state, correction = 1 - 0.9 ** t, spread = 1 - 0.999 ** t;
  for (let i = 0; i < grad.length; i++) {
    m[i] += 0.1 * (grad[i] - m[i]);
    v[i] += 0.001 * (grad[i] ** 2 - v[i]);
    theta.values[i] -= rate * m[i] / correction / (Math.sqrt(v[i] / spread) + 1e-8);
  }
}
