// The explorer "line10": a few tasks with known losses, the inner paths from one start, and four directions for it.

import {WAYS} from "../maths/directions.js";
import {dot, norm} from "../maths/vectors.js";
import {Address} from "../page/address.js";
import {button, checkbox, grid, group, note, player, slider} from "../page/controls.js";
import {demonstrate} from "../page/demonstration.js";
import {announcement, calm, eachFrame, later, numbersTable, swatch} from "../page/dom.js";
import {clamp, readable, twoDecimals} from "../page/numbers.js";
import {share} from "../page/share.js";
import {Drawing} from "./drawing.js";
import {line10AsPython} from "./python.js";
import {endText, Scene, vectorText} from "./state.js";

const COLUMNS = ["method", "direction at θ", "length ÷ exact", "angle to exact", "converges to"];

export function buildLine10(root, panel, {styles, presets}) {
  const scene = new Scene(presets), {state} = scene;
  const forget = () => { play.stop(); scene.descents = null; };
  const change = act => { forget(); act(); refresh(); };
  const play = player("Play", () => {
    const moving = scene.descend(calm() ? 4000 : 2);
    refresh();
    return moving;
  }, 30);
  const controls = makeControls(scene, change, () => refresh());
  const dimensions = [1, 2].map(dims =>
    button(`${dims} parameter${dims > 1 ? "s" : ""}`, () => change(() => scene.setDimensions(dims))));
  const drawing = new Drawing(state, styles, change);
  const table = numbersTable("directions as numbers", COLUMNS), spoken = announcement();
  layOut(panel, presets, {controls, dimensions, play, drawing, table, spoken,
    use: preset => change(() => scene.use(preset)), back: () => change(() => {})});

  const say = later(500, found => {
    const ends = WAYS.map(way => `${styles[way].label} ${endText(way, found, state.bend)}`);
    spoken.textContent = `Converges to: ${ends.join("; ")}`;
  });
  function draw() {
    const found = scene.compute();
    drawing.show(found, scene.descents);
    table.fill(WAYS.map(way => tableRow(way, styles[way], found, state.bend)));
    root.l2l = {state, ...found, playing: play.playing};
    address.write(scene.toAddress());
    say(found);
  }
  const ask = eachFrame(draw);
  function refresh() {
    for (const name of ["alpha", "steps", "bend", "equal"]) controls[name].value = state[name];
    controls.count.value = state.tasks.length;
    dimensions.forEach((choice, n) => choice.setAttribute("aria-pressed", state.dims === n + 1));
    ask();
  }
  const address = new Address(root, "line10", given => {
    if (!scene.fromAddress(given)) return;
    forget();
    if (root.dataset.live === "yes") refresh();
  });
  panel.append(share({python: () => line10AsPython(state), address}));
  let moving = true;
  const frames = Array(60).fill(() => { if (moving) { moving = scene.descend(1); refresh(); } });
  const quiet = demonstrate(root, address, frames, () => { forget(); refresh(); }, 20);
  const end = () => { quiet(); play.stop(); address.end(); };
  return {drawInWidth: () => { drawing.forgetWidth(); refresh(); draw(); }, end};
}

function makeControls(scene, change, refresh) {
  const {state} = scene, set = name => ({onchange: value => change(() => { state[name] = value; })});
  const fine = {show: twoDecimals};
  return {
    alpha: slider({label: "step size α", min: 0.05, max: 1.2, step: 0.05, ...fine, ...set("alpha")}),
    steps: slider({label: "inner steps K", min: 1, max: 10, ...set("steps")}),
    bend: slider({label: "bend κ", min: 0, max: 0.5, step: 0.02, ...fine, ...set("bend")}),
    count: slider({label: "tasks", min: 1, max: 3, onchange: n => change(() => scene.setCount(n))}),
    equal: checkbox({label: "arrows of equal length", onchange: on => { state.equal = on; refresh(); }}),
  };
}

function layOut(panel, presets, {controls, dimensions, play, drawing, table, spoken, use, back}) {
  panel.append(
    group("ready-made tasks", "Try:", ...presets.map(preset => button(preset.name, () => use(preset)))),
    group("number of parameters", ...dimensions, play.root, button("Back to the start θ", back)),
    drawing.top,
    grid(Object.values(controls)),
    table.root,
    note("Drag the minima (diamonds), the curvatures (squares) and the start θ (disc), or move them with the arrow ",
      "keys. Each arrow shows a method's descent direction, to scale; if the longest would leave the figure, all are ",
      "shortened by one factor. A ring marks the point to which a method converges, by the closed form for ",
      "parabolas. On parabolas (κ = 0) the Hessian of a task is the same everywhere, so evaluating all Hessians at θ ",
      "changes nothing; increase κ to see when it does."),
    spoken);
}

function tableRow(way, style, found, bend) {
  const {[way]: v, exact} = found.directions, cosine = dot(v, exact) / norm(v) / norm(exact);
  const angle = Math.acos(clamp(cosine, -1, 1)) * 180 / Math.PI;
  return [way, [swatch(style), " ", style.label], vectorText(v), readable(norm(v) / norm(exact)),
    Number.isFinite(angle) ? `${angle.toFixed(1)}°` : "–", endText(way, found, bend)];
}
