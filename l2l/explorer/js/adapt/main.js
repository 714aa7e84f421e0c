// The explorer "adapt": one task, its support points, and each network after some steps of gradient descent on them.

import {Address} from "../page/address.js";
import {button, grid, group, note, player, row} from "../page/controls.js";
import {demonstrate} from "../page/demonstration.js";
import {announcement, eachFrame, html, later, numbersTable} from "../page/dom.js";
import {readable} from "../page/numbers.js";
import {share} from "../page/share.js";
import {makeControls, networkBoxes, showState} from "./controls.js";
import {Drawing} from "./drawing.js";
import {adaptAsPython} from "./python.js";
import {compute, drawPoints, fromAddress, initialState, STEPS, storedNetworks, toAddress, usePreset} from "./state.js";

export function buildAdapt(root, panel, settings) {
  const {styles, iterations, compact, family} = settings;
  const networks = storedNetworks(settings), methods = Object.keys(networks), state = initialState(settings);
  const change = act => { play.stop(); act(); refresh(); };
  const controls = makeControls(state, settings, change);
  const boxes = networkBoxes(state, methods, styles, () => refresh());
  const drawing = new Drawing(state, settings, methods, change);
  const table = numbersTable("errors as numbers",
    ["network", "support error", "query error", "query error before adaptation"]);
  const spoken = announcement();
  const play = player("Play", () => {
    state.steps = state.steps >= STEPS ? 0 : state.steps + 1;
    refresh();
    return state.steps < STEPS;
  }, 6);
  layOut(panel, settings, {controls, boxes, drawing, table, spoken, play,
    use: preset => change(() => usePreset(state, preset, iterations, settings.shown)),
    drawOthers: () => change(() => {
      state.seed = state.seed % 999 + 1;
      drawPoints(state, state.x.length, family.x_range);
    }),
  });

  const errorsNow = ({support, query}) => [support[state.steps], query[state.steps], query[0]].map(readable);
  const say = later(500, result => {
    const errors = Object.keys(result).map(m => `${styles[m].label} ${readable(result[m].query[state.steps])}`);
    spoken.textContent = `Adaptation steps: ${state.steps}. Query error: ${errors.join(", ")}`;
  });
  function draw() {
    const started = performance.now(), result = compute(state, networks, drawing.grid, family.x_range, compact);
    drawing.show(result);
    table.fill(Object.keys(result).map(method => [method, styles[method].label, ...errorsNow(result[method])]));
    root.l2l = {state, result, ms: performance.now() - started};
    address.write(toAddress(state));
    say(result);
  }
  const ask = eachFrame(draw);
  const refresh = () => { showState(state, controls, boxes); ask(); };
  const address = new Address(root, compact ? "try" : "adapt", given => {
    fromAddress(state, given, settings, methods);
    if (root.dataset.live === "yes") refresh();
  });
  if (settings.shipped) panel.append(share({python: () => adaptAsPython(state, settings), address}));
  const {steps} = state, frames = Array.from({length: steps + 1}, (_, k) => () => { state.steps = k; refresh(); });
  const quiet = demonstrate(root, address, frames, () => { state.steps = steps; refresh(); }, 5);
  const end = () => { quiet(); play.stop(); address.end(); };
  return {drawInWidth: () => { drawing.fit(); refresh(); draw(); }, end};
}

function layOut(panel, {presets, compact, provenance}, {controls, boxes, drawing, table, spoken, play, ...acts}) {
  const {steps, half, iteration, alpha, A, b, n, noise} = controls, wide = html("div", {style: "flex: 1 1 20rem"});
  wide.append(steps.root);
  panel.append(
    group("ready-made tasks", "Try:", ...presets.map(preset => button(preset.name, () => acts.use(preset)))),
    group("networks shown", ...Object.values(boxes).map(box => box.root)),
    drawing.top,
    row(play.root, wide));
  if (!compact) panel.append(
    grid([iteration, alpha, A, b, n, noise]),
    row(half.root, button("Draw other points", acts.drawOthers)));
  panel.append(table.root);
  if (!compact) panel.append(drawing.bottom);
  panel.append(
    note("Drag the points, or move them with the arrow keys. Errors are mean squared errors; the query error is over ",
      "50 points along the whole axis. ", provenance),
    spoken);
}
