// A curve that a reader draws: one value for each of evenly spaced columns, straight lines between them.

import {clamp} from "../page/numbers.js";

export const COLUMNS = 41;

export const columnOf = (x, [low, high]) =>
  clamp(Math.round((x - low) / (high - low) * (COLUMNS - 1)), 0, COLUMNS - 1);

// Every column between two places of the pen, as a pointer may leave some out.
export function stroke(curve, [from, fromY], [to, toY]) {
  const steps = Math.abs(to - from);
  for (let k = 0; k <= steps; k++) {
    const share = steps ? k / steps : 1;
    curve[from + Math.sign(to - from) * k] = fromY + share * (toY - fromY);
  }
}

// Where nothing is drawn yet, straight lines connect the columns that are; beyond them the curve is level.
export function fillGaps(curve, touched) {
  const drawn = [...touched.keys()].filter(k => touched[k]);
  curve.fill(curve[drawn[0]], 0, drawn[0]);
  curve.fill(curve[drawn.at(-1)], drawn.at(-1));
  drawn.slice(1).forEach((to, i) => stroke(curve, [drawn[i], curve[drawn[i]]], [to, curve[to]]));
}

// What a pen draws that knows nothing: straight lines from point to point.
export function straightLines({x, y}, range) {
  const curve = new Float64Array(COLUMNS), touched = new Uint8Array(COLUMNS);
  x.forEach((at, j) => { curve[columnOf(at, range)] = y[j]; touched[columnOf(at, range)] = 1; });
  fillGaps(curve, touched);
  return curve;
}

export function valueAt(curve, x, [low, high]) {
  const place = clamp((x - low) / (high - low) * (COLUMNS - 1), 0, COLUMNS - 1);
  const left = Math.min(Math.floor(place), COLUMNS - 2), share = place - left;
  return (1 - share) * curve[left] + share * curve[left + 1];
}

// The mean squared difference between the curve and `answer`, whose values belong to `grid`.
export function difference(curve, grid, answer, range) {
  return grid.reduce((sum, x, i) => sum + (valueAt(curve, x, range) - answer[i]) ** 2, 0) / grid.length;
}
