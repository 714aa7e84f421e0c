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

// out += in · W (+ bias), in: [n, inputs], rows in one array. Inputs that a ReLU has switched off cost nothing.
function multiplyAdd(out, n, input, values, {inputs, outputs, W, b}, withBias) {
  const row = new Float64Array(outputs);  // sums are kept here: writing through `out` is half as fast
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < outputs; k++) row[k] = out[i * outputs + k] + (withBias ? values[b + k] : 0);
    for (let j = 0; j < inputs; j++) {
      const a = input[i * inputs + j], w = W + j * outputs;
      if (a !== 0) for (let k = 0; k < outputs; k++) row[k] += a * values[w + k];
    }
    out.set(row, i * outputs);
  }
  return out;
}

// The activations of every layer at the inputs x; the last are the outputs.
function forward({sizes, values}, x) {
  const activations = [Float64Array.from(x)], layers = offsets(sizes);
  layers.forEach((layer, l) => {
    const z = multiplyAdd(new Float64Array(x.length * layer.outputs), x.length, activations[l], values, layer, true);
    if (l < layers.length - 1) for (let i = 0; i < z.length; i++) if (!(z[i] > 0)) z[i] = 0 * z[i];
    activations.push(z);
  });
  return activations;
}

const outputs = (theta, x) => forward(theta, x).at(-1);

// The same outputs at many increasing x. With one input the second layer's z is linear in x until a unit of the first
// switches at x = -b/w, so sweeping from left to right changes its slope and offset a unit at a time: ten times faster.
function sweep({sizes, values}, x) {
  const [first, second, ...rest] = offsets(sizes), n = x.length, width = second.outputs;
  const slope = new Float64Array(width), offset = values.slice(second.b, second.b + width);
  const toggle = (j, sign) => {
    const w = sign * values[first.W + j], b = sign * values[first.b + j], row = second.W + j * width;
    for (let k = 0; k < width; k++) {
      slope[k] += w * values[row + k];
      offset[k] += b * values[row + k];
    }
  };
  const switches = [];
  for (let j = 0; j < first.outputs; j++) {
    const w = values[first.W + j], b = values[first.b + j];
    if (w < 0 || (w === 0 && b > 0)) toggle(j, 1);  // on at the far left
    if (w !== 0) switches.push([-b / w, j, Math.sign(w)]);
  }
  switches.sort((p, q) => p[0] - q[0]);
  let z = new Float64Array(n * width);
  for (let i = 0, next = 0; i < n; i++) {
    for (; next < switches.length && switches[next][0] < x[i]; next++) toggle(switches[next][1], switches[next][2]);
    for (let k = 0; k < width; k++) z[i * width + k] = slope[k] * x[i] + offset[k];
  }
  for (const layer of rest) {
    for (let i = 0; i < z.length; i++) if (!(z[i] > 0)) z[i] = 0 * z[i];
    z = multiplyAdd(new Float64Array(n * layer.outputs), n, z, values, layer, true);
  }
  return z;
}

function meanSquare(predictions, y) {
  let sum = 0;
  for (let i = 0; i < y.length; i++) sum += (predictions[i] - y[i]) ** 2;
  return sum / y.length;
}

const mse = (theta, {x, y}) => meanSquare(outputs(theta, x), y);

// ∇L(θ) by reverse mode and, given a direction v, the Hessian times v: reverse mode differentiated forwards along v
// (Pearlmutter, 1994). R marks the derivative of a quantity along v.
function gradient(theta, {x, y}, v = null) {
  const {sizes, values} = theta, layers = offsets(sizes), n = x.length;
  const a = forward(theta, x), grad = new Float64Array(values.length);
  let d = a.at(-1).map((output, i) => 2 * (output - y[i]) / n);
  let Ra, Rd, Hv;
  if (v) {
    Hv = new Float64Array(values.length);
    Ra = [new Float64Array(n)];
    layers.forEach((layer, l) => {
      const Rz = multiplyAdd(new Float64Array(n * layer.outputs), n, a[l], v, layer, true);
      multiplyAdd(Rz, n, Ra[l], values, layer, false);
      if (l < layers.length - 1) for (let i = 0; i < Rz.length; i++) if (!(a[l + 1][i] > 0)) Rz[i] = 0;
      Ra.push(Rz);
    });
    Rd = Ra.at(-1).map(r => 2 * r / n);
  }
  for (let l = layers.length - 1; l >= 0; l--) {
    const {inputs, outputs, W, b} = layers[l];
    const before = new Float64Array(n * inputs), Rbefore = v && new Float64Array(n * inputs);
    for (let i = 0; i < n; i++) {
      const at = i * outputs;
      for (let k = 0; k < outputs; k++) {
        grad[b + k] += d[at + k];
        if (v) Hv[b + k] += Rd[at + k];
      }
      for (let j = 0; j < inputs; j++) {
        const from = i * inputs + j, active = l === 0 || a[l][from] > 0, w = W + j * outputs;
        if (!active) continue;  // a unit that is off passes nothing back, and its Ra is zero as well
        const activation = a[l][from], Ractivation = v ? Ra[l][from] : 0;
        let sum = 0, Rsum = 0;
        for (let k = 0; k < outputs; k++) {
          grad[w + k] += activation * d[at + k];
          sum += d[at + k] * values[w + k];
        }
        if (v) for (let k = 0; k < outputs; k++) {
          Hv[w + k] += Ractivation * d[at + k] + activation * Rd[at + k];
          Rsum += Rd[at + k] * values[w + k] + d[at + k] * v[w + k];
        }
        before[from] = sum;
        if (v) Rbefore[from] = Rsum;
      }
    }
    [d, Rd] = [before, Rbefore];
  }
  return {grad, Hv, outputs: a.at(-1)};
}

// p - alpha g, as new parameters.
function stepped({sizes, values}, alpha, grad) {
  const moved = new Float64Array(values.length);
  for (let i = 0; i < moved.length; i++) moved[i] = values[i] - alpha * grad[i];
  return {sizes, values: moved};
}

// The inner loop: θ^(0), …, θ^(K).
function adapt(theta, support, alpha, steps) {
  const path = [theta];
  for (let k = 0; k < steps; k++) path.push(stepped(path[k], alpha, gradient(path[k], support).grad));
  return path;
}

// One task's meta-gradient and loss. MAML multiplies by (I - αH_0) … (I - αH_{K-1}), the last factor first.
function metaGradient(method, theta, {support, query}, alpha, steps) {
  if (method === "pretrain") {
    const all = {x: [...support.x, ...query.x], y: [...support.y, ...query.y]};
    const {grad, outputs} = gradient(theta, all);
    return {grad, loss: meanSquare(outputs, all.y)};
  }
  const path = adapt(theta, support, alpha, steps);
  let {grad, outputs} = gradient(path[steps], query);
  if (method === "maml") for (let k = steps - 1; k >= 0; k--) {
    const {Hv} = gradient(path[k], support, grad);
    for (let i = 0; i < grad.length; i++) grad[i] -= alpha * Hv[i];
  }
  return {grad, loss: meanSquare(outputs, query.y)};
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
