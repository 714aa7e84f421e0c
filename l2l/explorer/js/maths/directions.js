// Four directions for the start θ, and where a descent along each of them ends.

import {axesOf, taskGradient, taskHvp} from "./quartics.js";
import {add, dot, mean, norm} from "./vectors.js";

export const WAYS = ["exact", "first", "frozen", "reptile"];

export function innerPath(task, theta, alpha, steps, bend) {
  const path = [theta];
  for (let k = 0; k < steps; k++) path.push(add(path[k], -alpha, taskGradient(task, path[k], bend)));
  return path;
}

// What each method descends at θ, the mean over tasks; support and query loss are the same.
export function direction(way, tasks, theta, {alpha, steps, bend}) {
  return mean(tasks.map(task => {
    const path = innerPath(task, theta, alpha, steps, bend);
    if (way === "reptile") return add(theta, -1, path[steps]).map(value => value / alpha);
    let v = taskGradient(task, path[steps], bend);
    if (way !== "first") for (let k = steps - 1; k >= 0; k--)
      v = add(v, -alpha, taskHvp(task, way === "frozen" ? theta : path[k], v, bend));
    return v;
  }));
}

// One outer step from θ, at a rate that suits the local curvature; null if the descent has converged or diverged.
export function outerStep(way, tasks, theta, settings) {
  const v = direction(way, tasks, theta, settings), small = 1e-4;
  const curvature = norm(theta.map((_, j) => {
    const aside = theta.map((value, i) => value + (i === j) * small);
    return norm(add(direction(way, tasks, aside, settings), -1, v)) / small;
  }));
  const next = add(theta, -0.5 / Math.max(curvature, 1e-9), v);
  return !near(theta) || norm(add(next, -1, theta)) <= 1e-7 ? null : next;
}

export const near = theta => norm(theta) < 50;

// What a method weights a parabola of curvature h by.
function weight(way, h, {alpha, steps}) {
  const left = (1 - alpha * h) ** steps;
  return {exact: h * left * left, frozen: h * left * left, first: h * left, reptile: (1 - left) / alpha}[way];
}

// Where a method converges on parabolas: θ* = (Σ W_i)⁻¹ Σ W_i c_i; null if θ* repels the descent.
export function restingPoint(way, tasks, settings) {
  const size = tasks[0].c.length, W = Array.from({length: size}, () => Array(size).fill(0)), Wc = Array(size).fill(0);
  for (const task of tasks) axesOf(task).forEach((e, j) => {
    const w = weight(way, task.h[j], settings);
    for (let p = 0; p < size; p++) {
      for (let q = 0; q < size; q++) W[p][q] += w * e[p] * e[q];
      Wc[p] += w * e[p] * dot(e, task.c);
    }
  });
  if (size === 1) return W[0][0] > 1e-12 ? [Wc[0] / W[0][0]] : null;
  const det = W[0][0] * W[1][1] - W[0][1] * W[1][0];
  if (!(det > 1e-12) || !(W[0][0] > 0)) return null;  // not positive definite
  return [(W[1][1] * Wc[0] - W[0][1] * Wc[1]) / det, (W[0][0] * Wc[1] - W[1][0] * Wc[0]) / det];
}
