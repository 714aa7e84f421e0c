// Tasks of known loss. Along its own axes e_j a task is L(θ) = Σ_j h_j (u_j²/2 + κ u_j⁴/4), u_j = e_j·(θ - c): a
// parabola where the bend κ is 0. A task is {c, h, a}: its minimum, its curvatures there, and its angle.

import {add, dot} from "./vectors.js";

export const axesOf = ({c, a}) => c.length === 1 ? [[1]] : [[Math.cos(a), Math.sin(a)], [-Math.sin(a), Math.cos(a)]];

// Σ_j weight(h_j, u_j, e_j) e_j: what gradient and Hessian-vector product have in common.
function alongAxes(task, theta, weight) {
  const away = add(theta, -1, task.c);
  return axesOf(task).reduce((sum, e, j) => add(sum, weight(task.h[j], dot(e, away), e), e), theta.map(() => 0));
}

export function taskLoss(task, theta, bend) {
  const away = add(theta, -1, task.c);
  return axesOf(task).reduce((sum, e, j) => {
    const u = dot(e, away);
    return sum + task.h[j] * (u * u / 2 + bend * u ** 4 / 4);
  }, 0);
}

export const taskGradient = (task, theta, bend) => alongAxes(task, theta, (h, u) => h * (u + bend * u ** 3));
export const taskHvp = (task, theta, v, bend) =>
  alongAxes(task, theta, (h, u, e) => h * (1 + 3 * bend * u * u) * dot(e, v));

// The distance from its minimum, along an axis of curvature h, at which a task has the loss `level`; and the h for
// which this distance is r.
export const radius = (h, bend, level) => Math.sqrt(2 * level / (h / 2 + Math.sqrt(h * h / 4 + bend * h * level)));
export const curvatureAt = (r, bend, level) => level / (r * r / 2 + bend * r ** 4 / 4);

// The closed curve, in a plane of two parameters, on which a task has the loss `level`.
export function contour(task, bend, level) {
  const [e, f] = axesOf(task), [h, k] = task.h;
  return Array.from({length: 73}, (_, s) => {
    const t = s * Math.PI / 36, p = [Math.cos(t) / Math.sqrt(h), Math.sin(t) / Math.sqrt(k)];
    const r = radius(1, bend * (h * p[0] ** 4 + k * p[1] ** 4), level);  // L(c + r p) is the level
    return add(add(task.c, r * p[0], e), r * p[1], f);
  });
}
