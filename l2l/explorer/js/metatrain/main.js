// The explorer "metatrain": MAML, FOMAML and pre-training run in a worker, and what the book draws of them grows here.

import {Address} from "../page/address.js";
import {button, grid, note, row, slider} from "../page/controls.js";
import {announcement, eachFrame, html, later, numbersTable, swatch} from "../page/dom.js";
import {readable, wholeWithin, within} from "../page/numbers.js";
import {Drawing} from "./drawing.js";
import {Trainer} from "./trainer.js";

const INNER_ALPHAS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03];
const COLUMNS = ["method", "gradient norm", "query error before", "after 1 step", "after 10 steps"];

export function buildMetatrain(root, panel, settings) {
  const drawing = new Drawing(settings), {styles} = drawing, {last} = settings;
  const trainer = new Trainer(settings, Object.keys(styles), {
    changed: () => { if (root.isConnected) ask(); else trainer.worker.terminate(); },
    failed: message => { told.textContent = `Training stopped: ${message}`; label(); },
  });
  const {state} = trainer;
  const controls = makeControls(settings.streams.length, {
    set: name => value => { state[name] = value; reset(); },  // another setting begins another training
    setFit: value => { state.fit = value; ask(); remember(); },
  });
  const start = button("Train", () => { trainer.toggle(); label(); });
  const label = () => { start.textContent = trainer.going ? "Pause" : trainer.seen?.iteration ? "Go on" : "Train"; };
  const bar = html("progress", {max: last, value: 0, "aria-label": "iterations done"});
  const told = html("span", {class: "l2l-told"});
  const table = numbersTable("results as numbers", COLUMNS), spoken = announcement();
  const top = [start, button("Reset", () => reset()), bar, told];
  layOut(panel, settings.note, {top, drawing, controls, table, spoken});

  function reset() {
    trainer.reset();
    for (const [name, control] of Object.entries(controls)) control.value = state[name];
    label();
    remember();
  }
  function draw() {
    const {seen, going} = trainer;
    drawing.showTask();
    label();
    root.l2l = {state, seen, going};
    bar.value = seen?.iteration ?? 0;
    told.textContent = progressText(seen, last);
    table.fill(tableRows(seen, styles));
    if (!seen) return;
    drawing.show(seen, state);
    if (!going) say();
  }
  const say = later(600, () => { if (trainer.seen) spoken.textContent = spokenText(trainer.seen, styles); });
  const ask = eachFrame(draw);
  const address = new Address(root, "metatrain", given => {
    for (const [name, {bounds}] of Object.entries(controls))
      state[name] = (name === "alpha" ? within : wholeWithin)(given[name], ...bounds, state[name]);
    if (root.dataset.live === "yes") reset();
  });
  const remember = () => address.write(state);
  reset();
  return () => { drawing.fit(); draw(); };
}

function makeControls(seeds, {set, setFit}) {
  return {
    alpha: slider({label: "step size α", values: INNER_ALPHAS, onchange: set("alpha")}),
    steps: slider({label: "inner steps", min: 1, max: 5, onchange: set("steps")}),
    tasks: slider({label: "tasks a batch", min: 5, max: 50, step: 5, onchange: set("tasks")}),
    shots: slider({label: "points K", min: 2, max: 20, onchange: set("shots")}),
    seed: slider({label: "seed", max: seeds - 1, onchange: set("seed")}),
    fit: slider({label: "steps in the fit", max: 10, onchange: setFit}),
  };
}

function layOut(panel, text, {top, drawing, controls, table, spoken}) {
  const legend = Object.values(drawing.styles).map(style =>
    html("span", {class: "l2l-check"}, swatch(style), style.label));
  panel.append(row(...top), row(...legend), drawing.root, grid(Object.values(controls)));
  panel.append(table.root, note(text), spoken);
}

const whole = n => Math.round(n).toLocaleString("en-GB");

function progressText(seen, last) {
  const rate = seen?.rate ? `, ${whole(seen.rate)} a second` : "";
  return `${whole(seen?.iteration ?? 0)} of ${whole(last)} iterations${rate}`;
}

function tableRows(seen, styles) {
  return Object.entries(styles).map(([method, {label}]) => {
    if (!seen) return [method, label, ...Array(4).fill("–")];
    const {history, curve} = seen.shown[method];
    return [method, label, ...[history.norm.at(-1), curve[0], curve[1], curve[10]].map(readable)];
  });
}

function spokenText({iteration, shown}, styles) {
  const errors = Object.entries(styles).map(([method, {label}]) => `${label} ${readable(shown[method].curve[10])}`);
  return `${iteration} iterations. Query error after 10 steps: ${errors.join(", ")}`;
}
