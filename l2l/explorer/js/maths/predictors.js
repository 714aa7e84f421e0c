// What could be known of a sinusoid A sin(x + b) from a few points: from two of them, and from all of them, weighted.

import {evenly} from "../page/numbers.js";

// From two points: y = p sin x + q cos x is linear in p and q (chapter 1).
export function solveTwo({x: [x1, x2], y: [y1, y2]}) {
  const determinant = Math.sin(x1 - x2);
  const p = (y1 * Math.cos(x2) - y2 * Math.cos(x1)) / determinant;
  const q = (y2 * Math.sin(x1) - y1 * Math.sin(x2)) / determinant;
  return x => p * Math.sin(x) + q * Math.cos(x);
}

const AMPLITUDES = 400, PHASES = 1200;  // as fine as the posterior of five points with noise 0.1 needs

// The posterior mean, for a uniform prior on the family's ranges and normal noise: an average over a grid of (A, b),
// each weighted by exp(-Σ_j (y_j - A sin(x_j + b))² / 2σ²) (chapter 10). The sum is a square in A.
export function bayes({x, y}, {amplitude, phase}, noise) {
  const middles = ([low, high], n) => evenly(low + (high - low) / n / 2, high - (high - low) / n / 2, n);
  const amplitudes = middles(amplitude, AMPLITUDES), yy = y.reduce((sum, value) => sum + value * value, 0);
  const phases = Array.from(middles(phase, PHASES), b => {
    let ss = 0, sy = 0;
    for (let j = 0; j < x.length; j++) {
      const s = Math.sin(x[j] + b);
      ss += s * s;
      sy += s * y[j];
    }
    return {b, ss, sy};
  });
  const misfit = (A, {ss, sy}) => yy - 2 * A * sy + A * A * ss;
  let least = Infinity, mass = 0, p = 0, q = 0;
  for (const one of phases) for (const A of amplitudes) least = Math.min(least, misfit(A, one));
  for (const one of phases) for (const A of amplitudes) {
    const weight = Math.exp((least - misfit(A, one)) / (2 * noise * noise));
    mass += weight;
    p += weight * A * Math.cos(one.b);
    q += weight * A * Math.sin(one.b);
  }
  return x => (p * Math.sin(x) + q * Math.cos(x)) / mass;
}
