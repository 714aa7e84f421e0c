// What can be dragged in the explorer "line10": the tasks' minima, their curvatures, and the start θ.

import {handle} from "../page/handle.js";
import {clamp, round, twoDecimals} from "../page/numbers.js";
import {curvaturePlace, LARGEST, LEVEL, SMALLEST, setCurvature} from "./state.js";

const DIAMOND = "M0 -8L8 0L0 8L-8 0Z", SQUARE = "M-5.5 -5.5H5.5V5.5H-5.5Z";

const pair = v => v.map(twoDecimals).join(", ");
const bounded = (v, size) => v.map(value => round(clamp(value, -size, size), 0.01));

// `change(act)` lets a reader's act change the state, and shows it.
export function makeHandles(plot, state, change) {
  const flat = state.dims === 1, onAxis = (v, y = 0) => flat ? [v[0], y] : v;
  const movable = ({put, ...rest}) => handle(plot, {dimensions: state.dims, step: 0.05, ...rest,
    moved: (x, y) => change(() => put(flat ? [x] : [x, y]))});
  const minimum = i => movable({
    label: `minimum of task ${i + 1}`, symbol: DIAMOND, range: [-2.5, 2.5],
    at: () => onAxis(state.tasks[i].c),
    describe: () => pair(state.tasks[i].c),
    put: v => { state.tasks[i].c = bounded(v, flat ? 2.5 : 2); },
  });
  const curvature = (i, j) => movable({
    label: `curvature ${flat ? "" : `${j + 1} `}of task ${i + 1}`, symbol: SQUARE, range: [SMALLEST, LARGEST],
    at: () => onAxis(curvaturePlace(state.tasks[i], j, state.bend), LEVEL),
    value: () => state.tasks[i].h[j],
    describe: () => curvatureText(state.tasks[i], j),
    put: v => setCurvature(state.tasks[i], j, v, state.bend),
  });
  const start = () => movable({
    label: "start θ", range: plot.x,
    at: () => onAxis(state.theta),
    describe: () => pair(state.theta),
    put: v => { state.theta = bounded(v, flat ? 2.9 : 2); },
  });
  return [...state.tasks.flatMap(({h}, i) => [minimum(i), ...h.map((_, j) => curvature(i, j))]), start()];
}

function curvatureText({h, a}, j) {
  const turns = h.length > 1 && j === 0;  // its task
  return `h ${twoDecimals(h[j])}${turns ? `, angle ${Math.round(a * 180 / Math.PI)}°` : ""}`;
}
