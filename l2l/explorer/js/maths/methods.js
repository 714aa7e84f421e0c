// The inner loop and the methods' meta-gradients. Every parameter has an inner rate of its own, `rates`: α for most
// methods, zero but for the head in ANIL, and in Meta-SGD what was learnt.

import {gradient, layersOf, parameterCount} from "./net.js";

export const uniformRates = (sizes, alpha) => new Float64Array(parameterCount(sizes)).fill(alpha);

// The rates with which a method begins.
export function innerRates(method, sizes, alpha) {
  const rates = uniformRates(sizes, alpha);
  if (method === "anil") rates.fill(0, 0, layersOf(sizes).at(-1).W);
  return rates;
}

// The inner loop: θ^(0), …, θ^(K), all but the last with its support `loss`.
export function adaptationPath(theta, support, rates, steps) {
  const {sizes, values} = theta, size = values.length, grad = new Float64Array(size);
  const room = new Float64Array(steps * size), path = [{...theta}];
  for (let k = 0; k < steps; k++) {
    const here = path[k].values, next = room.subarray(k * size, (k + 1) * size);
    path[k].loss = gradient(path[k], support, null, grad).loss;
    for (let i = 0; i < size; i++) next[i] = here[i] - rates[i] * grad[i];
    path.push({sizes, values: next});
  }
  return path;
}

const together = ({support, query}) => ({x: [...support.x, ...query.x], y: [...support.y, ...query.y]});

// Reptile: (θ - φ)/α, adapted to all of the task's points.
function reptile(theta, task, rates, steps) {
  const points = together(task), phi = adaptationPath(theta, points, rates, steps)[steps];
  return {grad: theta.values.map((value, i) => (value - phi.values[i]) / rates[i]), loss: gradient(phi, points).loss};
}

// One task's meta-gradient and loss. Where the second-order term is kept, line 10 multiplies by (I - H_0 a) …
// (I - H_{K-1} a), the last factor first, where a is the diagonal of rates. Meta-SGD learns them too: `byRates`.
function metaGradient(method, theta, task, rates, steps) {
  if (method === "pretrain") return gradient(theta, together(task));
  if (method === "reptile") return reptile(theta, task, rates, steps);
  const {support, query} = task, path = adaptationPath(theta, support, rates, steps);
  const {grad, loss} = gradient(path[steps], query);
  if (method === "fomaml") return {grad, loss};
  const byRates = method === "meta-sgd" ? new Float64Array(grad.length) : null;
  for (let k = steps - 1; k >= 0; k--) {
    const {grad: slope, Hv} = gradient(path[k], support, grad.map((g, i) => rates[i] * g));
    if (byRates) for (let i = 0; i < grad.length; i++) byRates[i] -= slope[i] * grad[i];
    for (let i = 0; i < grad.length; i++) grad[i] -= Hv[i];
  }
  return {grad, loss, byRates};
}

// The mean over a batch of tasks: what the outer optimiser descends.
export function batchGradient(method, theta, batch, rates, steps) {
  const all = batch.map(task => metaGradient(method, theta, task, rates, steps)), share = 1 / batch.length;
  const mean = part => part(all[0])?.map((_, i) => all.reduce((sum, one) => sum + share * part(one)[i], 0)) ?? null;
  const loss = all.reduce((sum, one) => sum + share * one.loss, 0);
  return {grad: mean(({grad}) => grad), byRates: mean(({byRates}) => byRates), loss};
}
