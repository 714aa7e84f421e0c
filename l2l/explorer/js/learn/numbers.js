// The same experiment in words and numbers: the points as text, and the curve's height typed in at eleven places.

import {valueAt} from "../draw/state.js";
import {html} from "../page/dom.js";
import {evenly, round, twoDecimals} from "../page/numbers.js";
import {smooth} from "./state.js";

const PLACES = 11;

export class Numbers {
  constructor(range, changed, done) {
    this.range = range;
    this.places = evenly(...range, PLACES);
    this.points = html("p");
    const typed = () => changed(smooth(this.inputs.map(input => +input.value)));
    this.inputs = Array.from(this.places, x => html("input", {type: "number", step: 0.1, value: 0, oninput: typed,
      onkeydown: event => { if (event.key === "Enter") done(); },
      "aria-label": `y at x ${round(x, 0.01)}`}));
    const cells = this.inputs.map((input, k) =>
      html("label", {}, `${round(this.places[k], 0.01)}`.replace("-", "−"), input));
    this.root = html("details", {class: "l2l-numbers"}, html("summary", {}, "In words and numbers"), this.points,
      html("div", {role: "group", "aria-label": "your curve: y at eleven places"}, ...cells));
  }

  show(curve) {
    this.inputs.forEach((input, k) => {
      if (document.activeElement !== input) input.value = round(valueAt(curve, this.places[k], this.range), 0.01);
    });
  }

  tell({x, y, truth, grid}, open) {
    const said = x.map((at, j) => `x ${twoDecimals(at)}, y ${twoDecimals(y[j])}`).join("; ");
    const heightsOfTruth = Array.from(this.places, at => truth[Math.round((at - grid[0]) / (grid[1] - grid[0]))]);
    const truthText = open ? "" : ` The true curve at x = −5, −4, …, 5: ${heightsOfTruth.map(twoDecimals).join("; ")}.`;
    this.points.textContent = `The points: ${said}.${truthText} Your curve, at each x:`;
    this.inputs.forEach(input => { input.disabled = !open; });
  }
}
