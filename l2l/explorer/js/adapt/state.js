// What a reader sets in the explorer "adapt": a task A sin(x + b), its support points (x, with a deviation e from the
// curve), which networks are adapted to them, and how. And the results: each network's fit and errors.

import {adaptationPath, innerRates} from "../maths/methods.js";
import {meanSquare, mse} from "../maths/net.js";
import {Generator} from "../maths/random.js";
import {sweep} from "../maths/sweep.js";
import {clamp, evenly, numbers, round, wholeWithin, within} from "../page/numbers.js";
import {decoded} from "../page/weights.js";

export const STEPS = 50;
export const ALPHAS = [0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05];
const FINEST = 0.01;  // of points and sliders; what the address can say
const QUERY = 50;  // points

// The stored networks, by method and iteration; all start from the untrained one.
export function storedNetworks({sizes, weights: {untrained, ...trained}, scales}) {
  const start = {0: decoded(untrained, sizes)};
  const kept = Object.entries(trained).map(([method, texts]) => {
    const checkpoints = Object.entries(texts).map(([iteration, text]) => {
      const scale = scales[method]?.[iteration];  // the learned rates, as multiples of α
      return [iteration, {...decoded(text, sizes), scale: scale && decoded(scale, sizes).values}];
    });
    return [method, {...start, ...Object.fromEntries(checkpoints)}];
  });
  return {untrained: start, ...Object.fromEntries(kept)};
}

function ratesOf(method, {sizes, scale}, alpha) {
  const rates = innerRates(method, sizes, alpha);
  return scale ? rates.map((rate, i) => rate * scale[i]) : rates;
}

export function initialState({presets, iterations, compact, shown}) {
  const state = {seed: 1};
  usePreset(state, presets[0], iterations, shown);
  if (compact) state.steps = 1;
  return state;
}

export function usePreset(state, {name, ...preset}, iterations, shown) {
  const rest = {noise: 0, half: false, alpha: 0.01, iteration: iterations.at(-1), show: [...shown]};
  Object.assign(state, rest, preset, {e: preset.x.map(() => 0)});
}

export const truth = ({A, b}, x) => A * Math.sin(x + b);
export const valueOf = (state, j) => truth(state, state.x[j]) + state.e[j];

// The points are the first of a stream that the seed fixes: with one more point, the others stay.
export function drawPoints(state, n, [low, high]) {
  const generator = new Generator(state.seed), start = state.half ? (low + high) / 2 : low;
  const drawn = Array.from({length: n}, () => [generator.double(), generator.normal()]);
  state.x = drawn.map(([u]) => round(start + (high - start) * u, FINEST));
  state.e = drawn.map(([, normal]) => round(state.noise * normal, FINEST));
}

// Moves point j to (x, y), as a pointer does, or by `move`, as keys do.
export function movePoint(state, j, x, y, move, [low, high]) {
  const off = move ? state.e[j] + move[1] : y - truth(state, clamp(x, low, high));
  state.x[j] = round(clamp(move ? state.x[j] + move[0] : x, low, high), FINEST);
  state.e[j] = !move && Math.abs(off) < 0.25 ? 0 : round(clamp(off, -8, 8), FINEST);  // the curve attracts
}

// Each shown network's fit over `grid` after the chosen number of steps, and its errors after every step: those that
// the compact explorer doesn't show are left out.
export function compute(state, networks, grid, [low, high], compact) {
  const query = Float64Array.from({length: QUERY}, (_, i) => low + (high - low) * (i + 0.5) / QUERY);
  const support = {x: state.x, y: state.x.map((_, j) => valueOf(state, j))}, targets = query.map(x => truth(state, x));
  return Object.fromEntries(state.show.map(method => {
    const kept = networks[method], theta = kept[method === "untrained" ? 0 : state.iteration];
    const rates = ratesOf(method, theta, state.alpha);
    const path = adaptationPath(theta, support, rates, compact ? state.steps : STEPS);
    const needed = k => !compact || k === 0 || k === state.steps;
    return [method, {
      fit: sweep(path[state.steps], grid),
      support: path.map(phi => phi.loss ?? mse(phi, support)),
      query: path.map((phi, k) => needed(k) ? meanSquare(sweep(phi, query), targets) : NaN),
    }];
  }));
}

export const gridOver = ([low, high]) => evenly(low, high, 121);

export function toAddress({A, b, x, e, noise, half, seed, alpha, steps, iteration, show}) {
  return {A, b, x, e, noise, half: +half, seed, alpha, steps, iteration, show};
}

export function fromAddress(state, given, {iterations, family: {x_range: [low, high]}}, methods) {
  const x = numbers(given.x).slice(0, 20).map(value => clamp(value, low, high)), e = numbers(given.e);
  if (x.length) Object.assign(state, {x, e: x.map((_, j) => clamp(e[j] ?? 0, -8, 8))});
  Object.assign(state, {
    A: within(given.A, 0.1, 8, state.A),
    b: within(given.b, 0, 6.28, state.b),
    noise: within(given.noise, 0, 1, state.noise),
    half: given.half === "1",
    seed: wholeWithin(given.seed, 1, 999, state.seed),
    steps: wholeWithin(given.steps, 0, STEPS, state.steps),
    alpha: within(given.alpha, ALPHAS[0], ALPHAS.at(-1), state.alpha),
    iteration: iterations.includes(+given.iteration) ? +given.iteration : state.iteration,
    show: given.show === undefined ? state.show : methods.filter(m => given.show.split(",").includes(m)),
  });
}
