// The network on a flat vector of parameters: W1 row by row, b1, W2, b2, … as l2l.net.flatten gives them. `theta` is
// {sizes, values}; points are {x, y}, two arrays of one length.

import {matrix, multiplyAdd, reuseScratch, transposed, zeros} from "./matrix.js";

// Of each layer: its widths on both sides, and where its W and b begin.
export function layersOf(sizes) {
  let at = 0;
  return sizes.slice(1).map((fanOut, l) => {
    const fanIn = sizes[l], layer = {fanIn, fanOut, W: at, b: at + fanIn * fanOut};
    at = layer.b + fanOut;
    return layer;
  });
}

export const parameterCount = sizes => sizes.slice(1).reduce((sum, fanOut, l) => sum + (sizes[l] + 1) * fanOut, 0);

// l2l.init_params in single precision.
export function initParams(sizes, generator) {
  const {fround} = Math, values = [];
  for (const {fanIn, fanOut} of layersOf(sizes)) {
    const bound = fround(1 / Math.sqrt(fanIn));
    for (let i = 0; i < (fanIn + 1) * fanOut; i++) values.push(fround(fround(2 * generator.single() - 1) * bound));
  }
  return {sizes, values: Float64Array.from(values)};
}

// x W + b, with W and b taken from `values`.
function affine(n, x, values, {fanIn, fanOut, W, b}) {
  const z = zeros(n, fanOut);
  for (let i = 0; i < n; i++) for (let k = 0; k < fanOut; k++) z.values[i * fanOut + k] = values[b + k];
  multiplyAdd(z, n, fanIn, fanOut, x, matrix(values, fanOut, W));
  return z;
}

function relu({values}) {
  for (let i = 0; i < values.length; i++) if (values[i] <= 0) values[i] = 0;  // NaN stays
}

// Multiplies by the ReLU's derivative, which is 1 where the ReLU is on and 0 elsewhere.
function reluBackward({values: d}, {values: activation}) {
  for (let i = 0; i < d.length; i++) if (!(activation[i] > 0)) d[i] = 0;
}

// The activations of every layer at the inputs x; the last are the predictions.
function forward({sizes, values}, x) {
  reuseScratch();
  const a = [matrix(Float64Array.from(x), 1)], layers = layersOf(sizes);
  layers.forEach((layer, l) => {
    a.push(affine(x.length, a[l], values, layer));
    if (l < layers.length - 1) relu(a[l + 1]);
  });
  return a;
}

export const mlp = (theta, x) => forward(theta, x).at(-1).values.slice();

export function meanSquare(predictions, y) {
  let sum = 0;
  for (let i = 0; i < y.length; i++) sum += (predictions[i] - y[i]) ** 2;
  return sum / y.length;
}

export const mse = (theta, {x, y}) => meanSquare(mlp(theta, x), y);

// The derivatives of all activations along v: the forward pass, differentiated.
function forwardAlong({sizes, values}, v, a) {
  const layers = layersOf(sizes), n = a[0].values.length, Ra = [zeros(n, 1)];
  layers.forEach((layer, l) => {
    const Rz = affine(n, a[l], v, layer);
    multiplyAdd(Rz, n, layer.fanIn, layer.fanOut, Ra[l], matrix(values, layer.fanOut, layer.W));
    if (l < layers.length - 1) reluBackward(Rz, a[l + 1]);
    Ra.push(Rz);
  });
  return Ra;
}

// into += aᵀ d at the layer's W; into += the sum of d over points at its b.
function addWeights(into, n, {fanIn, fanOut, W}, a, d) {
  multiplyAdd(matrix(into, fanOut, W), fanIn, n, fanOut, transposed(a), d);
}

function addBiases(into, n, {fanOut, b}, {values: d}) {
  for (let i = 0; i < n; i++) for (let k = 0; k < fanOut; k++) into[b + k] += d[i * fanOut + k];
}

// d Wᵀ, with W taken from `values`, added to what is given.
function addInputs(into, n, {fanIn, fanOut, W}, d, values) {
  multiplyAdd(into, n, fanOut, fanIn, d, transposed(matrix(values, fanOut, W)));
  return into;
}

// The loss, ∇L(θ) by reverse mode (put into `grad`) and, given a direction v, the Hessian times v: reverse mode
// differentiated forwards along v (Pearlmutter, 1994). R marks the derivative of a quantity along v.
export function gradient(theta, {x, y}, v = null, grad = new Float64Array(theta.values.length)) {
  const {sizes, values} = theta, layers = layersOf(sizes), n = x.length;
  const a = forward(theta, x), predictions = a.at(-1).values, Ra = v && forwardAlong(theta, v, a);
  const Hv = v && new Float64Array(values.length);
  let d = zeros(n, 1), Rd = v && zeros(n, 1), loss = 0;
  for (let i = 0; i < n; i++) {
    loss += (predictions[i] - y[i]) ** 2 / n;
    d.values[i] = 2 * (predictions[i] - y[i]) / n;
    if (v) Rd.values[i] = 2 * Ra.at(-1).values[i] / n;
  }
  grad.fill(0);
  for (let l = layers.length - 1; l >= 0; l--) {
    const layer = layers[l], {fanIn} = layer;
    addWeights(grad, n, layer, a[l], d);
    addBiases(grad, n, layer, d);
    if (v) {
      addWeights(Hv, n, layer, a[l], Rd);
      addWeights(Hv, n, layer, Ra[l], d);
      addBiases(Hv, n, layer, Rd);
    }
    if (l === 0) break;
    if (v) {
      Rd = addInputs(addInputs(zeros(n, fanIn), n, layer, Rd, values), n, layer, d, v);
      reluBackward(Rd, a[l]);
    }
    d = addInputs(zeros(n, fanIn), n, layer, d, values);
    reluBackward(d, a[l]);
  }
  return {grad, Hv, loss};
}
