// The explorer "metatrain": each method trains in its own worker, and its figures grow while it trains.

import {Address} from "../page/address.js";
import {button, checkbox, grid, group, note, row, slider} from "../page/controls.js";
import {demonstrate} from "../page/demonstration.js";
import {announcement, atMostEvery, eachFrame, html, later, numbersTable, swatch} from "../page/dom.js";
import {readable, twoDecimals, whole, wholeWithin, within} from "../page/numbers.js";
import {share} from "../page/share.js";
import {Drawing} from "./drawing.js";
import {metatrainAsPython} from "./python.js";
import {Trainer} from "./trainer.js";

const INNER_ALPHAS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03];
const WHOLE = ["steps", "tasks", "shots", "seed", "fit"];
const COLUMNS = ["method", "iterations", "gradient norm", "query error before adaptation", "after 1 step",
  "after 10 steps"];

export function buildMetatrain(root, panel, settings) {
  const drawing = new Drawing(settings), {styles} = drawing, {last} = settings, methods = Object.keys(styles);
  const trainer = new Trainer(settings, {
    changed: atMostEvery(120, () => ask()),  // drawing must not cost the page its frames
    failed: message => { told.textContent = `Training stopped: ${message}`; label(); start.disabled = true; },
  });
  const {state} = trainer;
  const set = name => value => {  // another setting begins another training
    state[name] = value;
    keepOrder(state, name);
    reset();
  };
  const controls = makeControls(settings.streams.length, set, value => { state.fit = value; ask(); remember(); });
  const boxes = methodBoxes(styles, (method, on) => {
    state.methods = methods.filter(m => m === method ? on : state.methods.includes(m));
    trainer.show();
    ask();
    remember();
  });
  const start = button("Train", () => { trainer.toggle(); label(); });
  const label = () => {
    const begun = trainer.going ? "Pause" : furthest(trainer.seen) ? "Resume" : "Train";
    start.textContent = address.quiet ? "Train" : begun;  // a demonstration ends before the press is heard
  };
  const bar = html("progress", {max: last, value: 0, "aria-label": "iterations done"});
  const told = html("span", {class: "l2l-told"});
  const table = numbersTable("results as numbers", COLUMNS), spoken = announcement();
  const top = [start, button("Reset", () => reset()), bar, told];
  layOut(panel, settings.note, {top, boxes, drawing, controls, table, spoken});

  function reset() {
    trainer.reset();
    for (const [name, control] of Object.entries(controls)) control.value = state[name];
    for (const method of methods) boxes[method].value = state.methods.includes(method);
    label();
    remember();
  }
  function draw() {
    const {seen, going} = trainer, shown = state.methods.filter(method => seen[method]);
    drawing.showTask(state);
    start.disabled = !state.methods.length;
    label();
    root.l2l = {state, seen, going};
    const least = Math.min(...shown.map(method => seen[method].iteration));
    bar.value = shown.length ? least : 0;
    told.textContent = progressText(shown.map(method => seen[method]), last);
    table.fill(shown.map(method => tableRow(method, styles[method].label, seen[method])));
    drawing.show(seen, state);
    if (!going) say();
  }
  const say = later(600, () => { spoken.textContent = spokenText(trainer.seen, styles); });
  const ask = eachFrame(draw);
  const address = new Address(root, "metatrain", given => {
    for (const [name, {bounds}] of Object.entries(controls))
      state[name] = (WHOLE.includes(name) ? wholeWithin : within)(given[name], ...bounds, state[name]);
    if (given.methods !== undefined) state.methods = methods.filter(m => given.methods.split(",").includes(m));
    keepOrder(state, "lowA");
    keepOrder(state, "lowB");
    if (root.dataset.live === "yes") reset();
  });
  const remember = () => address.write(state);
  panel.append(share({python: () => metatrainAsPython(state, trainer.seen, settings), address}));
  reset();
  const aWhile = Array(24).fill(() => {});
  const stop = demonstrate(root, address, [() => trainer.toggle(), ...aWhile], reset);
  return {drawInWidth: () => { drawing.fit(); draw(); }, end: () => { stop(); trainer.end(); address.end(); }};
}

// The lower end of a range stays below the upper: the other one gives way.
function keepOrder(state, name) {
  for (const [low, high] of [["lowA", "highA"], ["lowB", "highB"]]) if (state[low] > state[high]) {
    if (name === high) state[low] = state[high]; else state[high] = state[low];
  }
}

function makeControls(seeds, set, setFit) {
  const amplitude = {min: 0.1, max: 8, step: 0.1, show: twoDecimals};
  const phase = {min: 0, max: 6.28, step: 0.02, show: twoDecimals};
  return {
    alpha: slider({label: "step size α", values: INNER_ALPHAS, onchange: set("alpha")}),
    steps: slider({label: "inner steps", min: 1, max: 10, onchange: set("steps")}),
    tasks: slider({label: "tasks per batch", min: 5, max: 50, step: 5, onchange: set("tasks")}),
    shots: slider({label: "shots", min: 2, max: 20, onchange: set("shots")}),
    lowA: slider({label: "amplitude from", ...amplitude, onchange: set("lowA")}),
    highA: slider({label: "amplitude to", ...amplitude, onchange: set("highA")}),
    lowB: slider({label: "phase from", ...phase, onchange: set("lowB")}),
    highB: slider({label: "phase to", ...phase, onchange: set("highB")}),
    seed: slider({label: "seed", max: seeds - 1, onchange: set("seed")}),
    fit: slider({label: "adaptation steps shown", max: 10, onchange: setFit}),
  };
}

const methodBoxes = (styles, onchange) => Object.fromEntries(Object.entries(styles).map(([method, style]) =>
  [method, checkbox({label: style.label, onchange: on => onchange(method, on)}, swatch(style))]));

function layOut(panel, text, {top, boxes, drawing, controls, table, spoken}) {
  panel.append(row(...top), group("methods to train", ...Object.values(boxes).map(box => box.root)), drawing.root,
    grid(Object.values(controls)), table.root, note(text), spoken);
}

const furthest = seen => Math.max(0, ...Object.values(seen).map(({iteration}) => iteration));

function progressText(seen, last) {
  const rate = seen.reduce((sum, one) => sum + one.rate, 0), done = seen.map(({iteration}) => iteration);
  const from = Math.min(...done), to = Math.max(...done);
  if (!seen.length) return "no method is chosen";
  const range = from === to ? whole(from) : `${whole(from)} to ${whole(to)}`;
  return `${range} of ${whole(last)} iterations${rate ? `, ${whole(rate)} a second in all` : ""}`;
}

const tableRow = (method, label, {iteration, history, curve}) =>
  [method, label, whole(iteration), ...[history.norm.at(-1), curve[0], curve[1], curve[10]].map(readable)];

function spokenText(seen, styles) {
  const said = Object.entries(seen).map(([method, {iteration, curve}]) =>
    `${styles[method].label} ${readable(curve[10])} after ${iteration} iterations`);
  return `Query error after 10 adaptation steps: ${said.join(", ")}`;
}
