// The lines from which line 10 is put together, right ones and nearly right ones; what each does to the memory of a
// task, {phi, v, g}; and what is wrong with it, where something is.

const along = (v, factor, w) => v.map((value, i) => value + factor * w[i]);

// A program's memory `m` and its problem `t`: theta, alpha, steps, tasks, slope(part, φ) and hvp(φ, v).
const innerLoop = (from, at) => (m, t) => {
  for (let k = 0; k < t.steps; k++) m.phi[k + 1] = along(from(m, t, k), -t.alpha, t.slope("support", at(m, t, k)));
};
const jacobians = (order, at, sign = 1) => (m, t) => {
  for (const k of order(Array.from({length: t.steps}, (_, k) => k)))
    m.v = along(m.v, -sign * t.alpha, t.hvp(at(m, t, k), m.v));
};
const here = (m, t, k) => m.phi[k], theStart = (m, t) => t.theta;
const forwards = steps => steps, backwards = steps => steps.reverse();

const STEPPED = ["φ[k]", "φ[K]"];  // that an inner loop computes

// `needs` and `sets` say what a line reads and writes.
export const PIECES = {
  start: {group: "inner loop", text: "φ[0] = θ", sets: ["φ"], run: (m, t) => { m.phi = [t.theta]; }},
  inner: {group: "inner loop", text: "for k = 0 … K−1:  φ[k+1] = φ[k] − α ∇L(φ[k]; support)",
    needs: ["φ"], sets: STEPPED, run: innerLoop(here, here)},
  fromStart: {group: "inner loop", text: "for k = 0 … K−1:  φ[k+1] = θ − α ∇L(φ[k]; support)",
    needs: ["φ"], sets: STEPPED,
    wrong: "Each inner step starts from θ again, so that φ[K] is a single step away from θ.",
    run: innerLoop(theStart, here)},
  oldSlope: {group: "inner loop", text: "for k = 0 … K−1:  φ[k+1] = φ[k] − α ∇L(θ; support)",
    needs: ["φ"], sets: STEPPED,
    wrong: "All inner steps use the gradient at θ: together they are one step, K times as long.",
    run: innerLoop(here, theStart)},
  query: {group: "query gradient", text: "v = ∇L(φ[K]; query)", needs: ["φ", "φ[K]"], sets: ["v"],
    run: (m, t) => { m.v = t.slope("query", m.phi.at(-1)); }},
  support: {group: "query gradient", text: "v = ∇L(φ[K]; support)", needs: ["φ", "φ[K]"], sets: ["v"],
    wrong: "The outer loss is taken on the support points, which the inner loop has already fitted.",
    run: (m, t) => { m.v = t.slope("support", m.phi.at(-1)); }},
  atStart: {group: "query gradient", text: "v = ∇L(θ; query)", sets: ["v"],
    wrong: "The query gradient is taken before adaptation, at θ.",
    run: (m, t) => { m.v = t.slope("query", t.theta); }},
  back: {group: "second-order term", text: "for k = K−1 … 0:  v = v − α H(φ[k]) v", needs: ["φ", "v", "φ[k]"],
    run: jacobians(backwards, here)},
  forth: {group: "second-order term", text: "for k = 0 … K−1:  v = v − α H(φ[k]) v", needs: ["φ", "v", "φ[k]"],
    wrong: "The factors I − αH are applied in the wrong order: line 10 begins with the last inner step.",
    run: jacobians(forwards, here)},
  frozen: {group: "second-order term", text: "for k = K−1 … 0:  v = v − α H(θ) v", needs: ["v"],
    wrong: "All Hessians are evaluated at θ, but that of inner step k belongs to φ[k].",
    run: jacobians(backwards, theStart)},
  plus: {group: "second-order term", text: "for k = K−1 … 0:  v = v + α H(φ[k]) v", needs: ["φ", "v", "φ[k]"],
    wrong: "The second-order term has the wrong sign: the Jacobian of a step is I − αH.",
    run: jacobians(backwards, here, -1)},
  mean: {group: "over tasks", text: "g = g + v / T", needs: ["v"],
    run: (m, t) => { m.g = along(m.g, 1 / t.tasks, m.v); }},
  sum: {group: "over tasks", text: "g = g + v", needs: ["v"],
    wrong: "The gradients of the tasks are added, not averaged: g is T times too long.",
    run: (m, t) => { m.g = along(m.g, 1, m.v); }},
  last: {group: "over tasks", text: "g = v / T", needs: ["v"],
    wrong: "Only the last task is left in g.",
    run: (m, t) => { m.g = m.v.map(value => value / t.tasks); }},
};
