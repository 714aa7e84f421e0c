// The explorer "draw": the reader draws a curve first, by pointer, finger or keys; then the answers are drawn over it.

import {button, note, row} from "../page/controls.js";
import {demonstrate} from "../page/demonstration.js";
import {announcement, html, later, numbersTable, swatch} from "../page/dom.js";
import {readable} from "../page/numbers.js";
import {Plot} from "../page/plot.js";
import {share} from "../page/share.js";
import {Pencil} from "./pencil.js";
import {drawAsPython} from "./python.js";
import {difference} from "./state.js";

export function buildDraw(root, panel, {x, points, answers, styles, reach}) {
  const range = [x[0], x.at(-1)], cell = html("div", {style: "touch-action: none; cursor: crosshair"});
  const plot = new Plot(cell, {title: "your curve", xlabel: "x", ylabel: "y", x: range, y: [-reach, reach],
    height: 300});
  const pencil = new Pencil(plot, {range, reach, changed: () => refresh()});
  let shown = false;
  const table = numbersTable("how far your curve is from the answers", ["answer", "mean squared difference"]);
  const spoken = announcement();
  const show = button("Show the answer", () => { shown = !shown; refresh(); });
  const startAgain = () => { pencil.clear(); shown = false; refresh(); };
  const again = button("Start again", startAgain), address = {active: false};
  panel.append(cell, row(show, again), table.root,
    note("Draw the curve with a mouse or a finger, or with the arrow keys once the pen has the focus: left and right ",
      "move it along the axis, up and down draw, Shift makes the steps larger."), spoken);

  const say = later(500, found => { spoken.textContent = found; });
  function refresh() {
    const {curve, drawn, column} = pencil;
    points.x.forEach((at, j) => plot.dot(`point ${j}`, at, points.y[j], {color: "currentColor"}, 5));
    for (const [name, y] of Object.entries(answers)) {
      if (shown) plot.line(name, x, y, styles[name]);
      else plot.hide(name);
    }
    pencil.show();
    const off = Object.entries(answers).map(([name, y]) => [name, readable(difference(curve, x, y, range))]);
    table.root.hidden = !shown;
    table.fill(off.map(([name, text]) => [name, [swatch(styles[name]), styles[name].label], text]));
    show.textContent = shown ? "Hide the answer" : "Show the answer";
    show.disabled = !drawn;
    root.l2l = {state: {curve: [...curve], pen: column, drawn, shown}};
    if (shown) say(`Mean squared difference between your curve and the answers: ${
      off.map(([name, text]) => `${styles[name].label}, ${text}`).join("; ")}`);
  }
  panel.append(share({python: () => drawAsPython({x, points, answers}, pencil.curve), address}));
  return {drawInWidth: () => { plot.fit(); refresh(); },
    end: demonstrate(root, address, pencil.strokes(points), startAgain, 20)};
}
