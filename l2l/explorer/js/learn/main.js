// The explorer "learn": the reader is the learner. Ten times five points of a curve that the reader draws; after each
// the truth, and everybody's error; at the end what the ten showed of their family, and a picture to keep.

import {Pencil} from "../draw/pencil.js";
import {Address} from "../page/address.js";
import {button, group, note, row} from "../page/controls.js";
import {demonstrate} from "../page/demonstration.js";
import {eachFrame, html, numbersTable, swatch} from "../page/dom.js";
import {readable, twoDecimals, wholeWithin} from "../page/numbers.js";
import {Plot} from "../page/plot.js";
import {share} from "../page/share.js";
import {decoded} from "../page/weights.js";
import {Numbers} from "./numbers.js";
import {picture, pictureLink} from "./picture.js";
import {learnAsPython} from "./python.js";
import {Questions} from "./questions.js";
import {Experiment, median, QUESTIONS, score, TASKS, verdict} from "./state.js";

const FLOOR = 0.0001;  // of the errors' axis
const NETWORKS = ["maml", "fomaml", "pretrain"];

export function buildLearn(root, panel, settings) {
  const {range, reach, styles, sizes, weights, families} = settings, labels = labelsOf(styles);
  const networks = Object.fromEntries(NETWORKS.map(method => [method, decoded(weights[method], sizes)]));
  const experiment = new Experiment(settings, networks), names = Object.keys(families);
  const cell = html("div", {style: "touch-action: none; cursor: crosshair"}), below = html("div");
  const plot = new Plot(cell, {title: "the task's points, and your curve", xlabel: "x", ylabel: "y", x: range,
    y: [-reach, reach], height: 300});
  const errors = new Plot(below, {title: "query error of each task", xlabel: "task", ylabel: "query error",
    x: [0.5, TASKS + 0.5], y: [FLOOR, 100], height: 220, log: true});
  const pencil = new Pencil(plot, {range, reach, changed: () => drawn()});
  const numbers = new Numbers(range, curve => {
    pencil.use(curve);
    refresh();
  }, () => { if (!act.disabled) act.click(); });
  const told = html("p", {class: "l2l-told", role: "status"}), act = button("", () => acts[experiment.phase]());
  const questions = new Questions(QUESTIONS, answers => { experiment.finish(answers); refresh(); });
  const table = numbersTable("query errors", ["learner", "this task", "median so far"]), result = html("div");
  const legend = row(...[["ours", {label: "you", color: "currentColor", width: 3}], ...Object.entries(styles)]
    .map(([, style]) => html("span", {class: "l2l-check"}, swatch(style), style.label)));
  const choices = names.map((name, i) => startOver(`Family ${i + 1}`, experiment, told,
    () => begin(name, experiment.seed)));
  const others = startOver("Ten other curves", experiment, told,
    () => begin(experiment.family, experiment.seed % 999 + 1));
  panel.append(group("family of curves", ...choices), told, result, cell, numbers.root, questions.root,
    row(act, others), legend, below, table.root, note(settings.note));

  let predictions = null;
  const acts = {
    draw: () => { predictions = experiment.judge(pencil.curve); pencil.locked = true; refresh(); },
    shown: () => { experiment.next(); if (experiment.phase === "draw") anotherTask(); refresh(); toThePen(); },
    asked: () => questions.send(),
    end: () => {
      const next = names[(names.indexOf(experiment.family) + 1) % names.length];
      begin(next, experiment.past[next] ? experiment.seed % 999 + 1 : experiment.seed);  // never the same curves again
    },
  };
  function toThePen() {  // the button can't be pressed now
    if (experiment.phase === "draw" && act.disabled) pencil.pen.root.focus({preventScroll: true});
  }
  function anotherTask() {
    pencil.locked = false;
    pencil.clear();
    predictions = null;
    numbers.show(pencil.curve);
  }
  function begin(family, seed) {
    experiment.begin(family, seed);
    anotherTask();
    questions.clear();
    refresh();
    toThePen();
  }

  function refresh() {
    const {task, phase, at} = experiment, judged = phase !== "draw";
    choices.forEach((choice, i) => choice.setAttribute("aria-pressed", names[i] === experiment.family));
    task.x.forEach((x, j) => plot.dot(`point ${j}`, x, task.y[j], {color: "currentColor"}, 5));
    if (judged) plot.line("truth", task.grid, task.truth, settings.truth); else plot.hide("truth");
    for (const method of NETWORKS)
      if (judged) plot.line(method, task.grid, predictions[method], styles[method]); else plot.hide(method);
    pencil.show();
    act.textContent = {draw: "Done", shown: at + 1 < TASKS ? "Next curve" : "What have you learnt?",
      asked: "Score my answers", end: "Another family"}[phase];
    act.disabled = phase === "draw" && !pencil.drawn;
    told.textContent = toldText(experiment);
    numbers.tell(task, phase === "draw");
    questions.root.hidden = phase !== "asked";
    const begun = experiment.curves.length > 0, first = begun && below.hidden;
    for (const part of [legend, below, table.root]) part.hidden = !begun;
    if (first) errors.fit();  // only now is there a width
    drawErrors(errors, experiment.errors, styles);
    table.fill(tableRows(experiment.errors, labels));
    showResult(result, experiment, labels);
    address.write({family: names.indexOf(experiment.family) + 1, seed: experiment.seed});
    root.l2l = {state: {...experiment, pencil: [...pencil.curve]}, predictions};
  }
  const drawn = eachFrame(() => { numbers.show(pencil.curve); refresh(); });  // a pointer is faster than the screen
  const address = new Address(root, "learn", given => {
    const open = root.dataset.live === "yes" ? begin : (...first) => experiment.begin(...first);
    open(names[given.family - 1] ?? experiment.family, wholeWithin(given.seed, 1, 999, experiment.seed));
  });
  panel.append(share({address, python: () => experiment.phase === "draw"
    ? "# First draw the curve and press Done: the code contains the true curve.\n" : learnAsPython(experiment)}));
  anotherTask();
  const stop = demonstrate(root, address, pencil.strokes(experiment.task), () => { anotherTask(); refresh(); }, 20);
  return {drawInWidth: () => { plot.fit(); errors.fit(); refresh(); }, end: () => { stop(); address.end(); }};
}

// A button that starts over. If curves would be lost, the first press only warns, and the second one acts.
function startOver(label, experiment, told, start) {
  let warned = 0;
  return button(label, () => {
    const {curves: {length}, phase} = experiment, sure = phase === "end" || length === warned;
    warned = sure ? 0 : length;
    if (sure) start();
    else told.textContent = `Your curves so far (${length}) would be lost. To start over, press “${label}” again.`;
  });
}

const labelsOf = styles => Object.fromEntries(Object.entries(styles).map(([name, {label}]) => [name, label]));

function toldText({phase, at, errors}) {
  const task = `Task ${at + 1} of ${TASKS}`, error = readable(errors.ours.at(-1) ?? NaN);
  return {
    draw: `${task}: five points of a curve. Draw the whole curve. ${at ? "" : "All ten curves come from one "
      + "family, and nobody tells you which. Your curve starts as the dotted line."}`,
    shown: `${task}: your query error is ${error}. The wide grey line is the true curve.`,
    asked: "Ten curves are done. What do they have in common?",
    end: "What ten curves taught you:",
  }[phase];
}

function drawErrors(plot, errors, styles) {
  const all = {ours: {color: "currentColor", width: 3}, ...styles};
  for (const [name, style] of Object.entries(all)) {
    const found = errors[name] ?? [], x = found.map((_, i) => i + 1), y = found.map(e => Math.max(e, FLOOR));
    plot.line(name, x, y, style);
    for (let i = 0; i < TASKS; i++)
      if (Number.isFinite(y[i])) plot.dot(`${name} ${i}`, x[i], y[i], style, name === "ours" ? 5 : 3);
      else plot.hide(`${name} ${i}`);
  }
}

const tableRows = (errors, labels) => Object.entries({ours: "you", ...labels}).filter(([name]) => errors[name]?.length)
  .map(([name, label]) => [name, label, readable(errors[name].at(-1)), readable(median(errors[name]))]);

function showResult(result, experiment, labels) {
  if (experiment.phase !== "end") { result.replaceChildren(); return; }
  if (result.childElementCount) return;
  const marks = score(experiment.answers, experiment.families[experiment.family]);
  const shown = value => typeof value === "number" ? twoDecimals(value) : value;
  const words = verdict(experiment, labels);
  const drawn = html("div", {class: "l2l-picture"});
  drawn.innerHTML = picture(experiment);
  result.append(
    ...words.map(text => html("p", {}, text)),
    html("ul", {}, ...marks.map(({ask, given, right, good}) => html("li", {},
      `${ask}: ${shown(given)}. ${given === right ? "Right." : `${good ? "Close enough" : "No"}: ${shown(right)}.`}`))),
    drawn, row(pictureLink(experiment, words)));
}
