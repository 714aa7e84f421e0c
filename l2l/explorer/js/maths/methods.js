// The inner loop and the three methods' meta-gradients.

import {gradient} from "./net.js";

// The inner loop: θ^(0), …, θ^(K), all but the last with its support `loss`.
export function adaptationPath(theta, support, alpha, steps) {
  const {sizes, values} = theta, size = values.length, grad = new Float64Array(size);
  const room = new Float64Array(steps * size), path = [{...theta}];
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
  const path = adaptationPath(theta, support, alpha, steps), {grad, loss} = gradient(path[steps], query);
  if (method === "maml") for (let k = steps - 1; k >= 0; k--) {
    const {Hv} = gradient(path[k], support, grad);
    for (let i = 0; i < grad.length; i++) grad[i] -= alpha * Hv[i];
  }
  return {grad, loss};
}

// The mean over a batch of tasks: what the outer optimiser descends.
export function batchGradient(method, theta, batch, alpha, steps) {
  const grad = new Float64Array(theta.values.length);
  let loss = 0;
  for (const task of batch) {
    const one = metaGradient(method, theta, task, alpha, steps);
    loss += one.loss / batch.length;
    for (let i = 0; i < grad.length; i++) grad[i] += one.grad[i] / batch.length;
  }
  return {grad, loss};
}
