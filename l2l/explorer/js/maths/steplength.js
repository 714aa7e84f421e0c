// One step of every length (chapter 8): q(m), the query error at θ - mα∇L^s(θ), and the curvature along that step.

import {gradient, meanSquare} from "./net.js";
import {sweep} from "./sweep.js";

export function stepped(theta, grad, alpha, m) {
  return {sizes: theta.sizes, values: theta.values.map((value, i) => value - m * alpha * grad[i])};
}

// The query error of one task at each multiple m of the step, along its gradient. The query points are in increasing
// order.
export function errorsByLength(theta, grad, query, alpha, multiples) {
  return multiples.map(m => meanSquare(sweep(stepped(theta, grad, alpha, m), query.x), query.y));
}

// The mean over tasks.
export function meanByLength(theta, tasks, alpha, multiples) {
  const mean = multiples.map(() => 0);
  for (const {support, query} of tasks) {
    const {grad} = gradient(theta, support);
    errorsByLength(theta, grad, query, alpha, multiples).forEach((error, k) => { mean[k] += error / tasks.length; });
  }
  return mean;
}

// Where the values are least, by a parabola through the least and its neighbours; at an end of the range, that end.
export function bestLength(multiples, q) {
  const i = q.indexOf(Math.min(...q)), [left, middle, right] = [q[i - 1], q[i], q[i + 1]];
  if (left === undefined || right === undefined) return multiples[i];
  return multiples[i] + (multiples[1] - multiples[0]) * (left - right) / (left - 2 * middle + right) / 2;
}

// αλ_max of the support Hessian, by power iteration, and the curvature along the step, α gᵀHg / gᵀg, with g = `grad`.
export function curvatures(theta, support, grad, alpha, rounds = 15) {
  const unit = v => { const length = Math.hypot(...v); return v.map(value => value / length); };
  const times = v => gradient(theta, support, v).Hv, g = unit(grad);
  let v = times(g);
  const along = v.reduce((sum, value, i) => sum + value * g[i], 0);
  for (let k = 0; k < rounds; k++) v = times(unit(v));
  return {sharpness: alpha * Math.hypot(...v), along: alpha * along};
}
