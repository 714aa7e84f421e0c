// The explorer "step": the mean query error against the length of one step, for a run at a moment of its training, and
// one task beside it.

import {Address} from "../page/address.js";
import {button, grid, group, note, slider} from "../page/controls.js";
import {demonstrate} from "../page/demonstration.js";
import {announcement, eachFrame, html, later, numbersTable} from "../page/dom.js";
import {handle} from "../page/handle.js";
import {iterationsText, readable, twoDecimals} from "../page/numbers.js";
import {Plot} from "../page/plot.js";
import {share} from "../page/share.js";
import {stepAsPython} from "./python.js";
import {MULTIPLES, Scene} from "./state.js";

const BLACK = {color: "currentColor", width: 1.2};

export function buildStep(root, panel, settings) {
  const scene = new Scene(settings), {state} = scene, {runs, styles} = settings;
  const cells = [html("div"), html("div")];
  const lengths = new Plot(cells[0], {title: "mean query error against the length of the step",
    xlabel: "length m of the step", ylabel: "query error", x: [0, 3], y: [0.05, 20],
    height: 280, log: true});
  const fits = new Plot(cells[1], {title: "one task, before and after the step", xlabel: "x", ylabel: "y",
    x: scene.range, y: [-6, 6], height: 280});
  const change = act => { act(); refresh(); };
  const set = name => ({onchange: value => change(() => { state[name] = value; })});
  const fine = {show: twoDecimals};
  const choices = Object.entries(runs).map(([name, {label}]) => button(label, () => change(() => scene.use(name))));
  const moments = settings.moments, controls = {
    iteration: slider({label: "meta-training", values: moments, show: iterationsText,
      onchange: value => change(() => { state.iteration = value; scene.use(state.run); })}),
    m: slider({label: "step length m", max: 3, step: 0.05, ...fine, ...set("m")}),
    A: slider({label: "amplitude A", min: 0.1, max: 5, step: 0.1, ...fine, ...set("A")}),
    b: slider({label: "phase b", min: 0, max: 3.14, step: 0.02, ...fine, ...set("b")}),
  };
  const handles = state.x.map((_, j) => handle(fits, {
    label: `support point ${j + 1}`, range: scene.range, dimensions: 1, ends: true,
    at: () => [state.x[j], scene.truth(state.x[j])],
    describe: () => `x ${twoDecimals(state.x[j])}`, moved: x => change(() => scene.move(j, x))}));
  const columns = ["tasks", "best m", "error at m = 0", "error at m = 1", "error at the best m"];
  const table = numbersTable("best step lengths and query errors", columns);
  const facts = html("p", {class: "l2l-told"}), spoken = announcement();
  panel.append(group("run", ...choices), html("div", {class: "l2l-plots"}, ...cells), grid(Object.values(controls)),
    facts, table.root, note(settings.note), spoken);

  const say = later(500, text => { spoken.textContent = text; });
  function draw() {
    const found = scene.compute(), {alpha, q, own, best, ownBest, sharpness, along} = found, {method} = runs[state.run];
    lengths.line("all", MULTIPLES, q, styles[method]);
    lengths.line("own", MULTIPLES, own, {...BLACK, dash: "2 3"});
    lengths.line("one", [1, 1], lengths.y, {...BLACK, opacity: 0.5});
    lengths.line("m", [state.m, state.m], lengths.y, {...BLACK, dash: "4 4", opacity: 0.7});
    lengths.dot("best", best, Math.min(...q), styles[method], 5);
    lengths.dot("own best", ownBest, Math.min(...own), {color: "currentColor"}, 4);
    fits.line("truth", found.axis, found.truth, styles.truth);
    fits.line("before", found.axis, found.before, {...styles[method], width: 1.2, dash: "2 3"});
    fits.line("after", found.axis, found.after, styles[method]);
    handles.forEach(({place}) => place());
    table.fill([["all", `${settings.tasks} tasks`, best, q], ["own", "this task", ownBest, own]].map(
      ([name, label, at, errors]) => [name, label, at >= MULTIPLES.at(-1) ? "> 3" : readable(at),
        ...[errors[0], errors[10], Math.min(...errors)].map(readable)]));
    const far = ownBest >= MULTIPLES.at(-1) ? "more than 3" : twoDecimals(ownBest);
    facts.textContent = `α = ${alpha}. The best step on this task has ${far} times the trained length. `
      + `The sharpness λ_max times α is ${twoDecimals(sharpness)}, the curvature along the step times α `
      + `${twoDecimals(along)}.`;
    root.l2l = {state, ...found};
    address.write(state);
    say(`Best step length m: ${readable(best)} over all tasks, ${readable(ownBest)} for this task`);
  }
  const ask = eachFrame(draw);
  function refresh() {
    for (const name of ["iteration", "m", "A", "b"]) controls[name].value = state[name];
    controls.iteration.root.hidden = scene.iterations.length < 2;
    Object.keys(runs).forEach((name, i) => choices[i].setAttribute("aria-pressed", name === state.run));
    ask();
  }
  const address = new Address(root, "step", given => {
    scene.fromAddress(given);
    if (root.dataset.live === "yes") refresh();
  });
  panel.append(share({python: () => stepAsPython(scene, settings), address}));
  const there = MULTIPLES.slice(0, 26), backAgain = there.slice(10).reverse();
  const stop = demonstrate(root, address, [...there, ...backAgain].map(m => () => change(() => { state.m = m; })),
    () => change(() => { state.m = 1; }));
  return {drawInWidth: () => { lengths.fit(); fits.fit(); refresh(); draw(); }, end: () => { stop(); address.end(); }};
}
