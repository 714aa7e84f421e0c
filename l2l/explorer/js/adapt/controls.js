// The controls of the explorer "adapt". `change(act)` lets a reader's act change the state, and shows it.

import {checkbox, slider} from "../page/controls.js";
import {swatch} from "../page/dom.js";
import {iterationsText, twoDecimals} from "../page/numbers.js";
import {ALPHAS, drawPoints, STEPS} from "./state.js";

export function makeControls(state, {iterations, family: {x_range: range}}, change) {
  const set = (name, then = () => {}) => ({onchange: value => change(() => { state[name] = value; then(); })});
  const redraw = () => drawPoints(state, state.x.length, range);
  const fine = {show: twoDecimals};
  return {
    steps: slider({label: "adaptation steps", max: STEPS, ...set("steps")}),
    iteration: slider({label: "meta-training", values: iterations, show: iterationsText, ...set("iteration")}),
    A: slider({label: "amplitude A", min: 0.1, max: 8, step: 0.1, ...fine, ...set("A")}),
    b: slider({label: "phase b", min: 0, max: 6.28, step: 0.02, ...fine, ...set("b")}),
    n: slider({label: "support points", min: 1, max: 20,
      onchange: n => change(() => drawPoints(state, n, range))}),
    noise: slider({label: "noise", min: 0, max: 1, step: 0.05, ...fine, ...set("noise", redraw)}),
    alpha: slider({label: "step size α", values: ALPHAS, ...set("alpha")}),
    half: checkbox({label: "points on one half of the axis", ...set("half", redraw)}),
  };
}

// A box to tick for each network; the steps play on.
export function networkBoxes(state, methods, styles, refresh) {
  return Object.fromEntries(methods.map(method => [method, checkbox({label: styles[method].label, onchange: on => {
    state.show = methods.filter(m => m === method ? on : state.show.includes(m));
    refresh();
  }}, swatch(styles[method]))]));
}

export function showState(state, controls, boxes) {
  for (const name of ["steps", "iteration", "A", "b", "noise", "alpha", "half"]) controls[name].value = state[name];
  controls.n.value = state.x.length;
  for (const [method, box] of Object.entries(boxes)) box.value = state.show.includes(method);
}
