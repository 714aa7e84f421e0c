import {svg} from "./dom.js";
import {round} from "./numbers.js";

const ENDS = {Home: [-Infinity, 0], End: [Infinity, 0], PageUp: [0, 10], PageDown: [0, -10]};
const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};

// A point of a plot that mouse, finger and arrow keys move. `at()` says where it is, `moved(x, y)` puts it where it
// should be; keys also pass the move itself, [dx, dy]; with `ends`, Home and End go as far as there is room.
export function handle(plot, {label, symbol, range, at, value = () => at()[0], describe, moved, ...keys}) {
  const mark = symbol ? svg("path", {d: symbol}) : svg("circle", {r: 6.5});
  const root = svg("g", {class: "l2l-handle", tabindex: 0, role: "slider", "aria-label": label,
    "aria-valuemin": range[0], "aria-valuemax": range[1]}, svg("circle", {r: 17, class: "l2l-reach"}), mark);
  followPointer(root, plot, at, moved);
  followKeys(root, at, moved, keys);
  plot.above.append(root);
  return {root, place: () => {
    const [x, y] = at();
    root.setAttribute("transform", `translate(${plot.px(x)} ${plot.py(y)})`);
    root.setAttribute("aria-valuenow", round(value(), 0.01));
    root.setAttribute("aria-valuetext", describe());
  }};
}

function followPointer(root, plot, at, moved) {
  let offset = null;
  root.addEventListener("pointerdown", event => {
    const [x, y] = plot.pointer(event), [atX, atY] = at();
    offset = [plot.px(atX) - x, plot.py(atY) - y];
    root.setPointerCapture(event.pointerId);
    root.focus({preventScroll: true});
    event.preventDefault();
  });
  root.addEventListener("touchstart", event => event.preventDefault(), {passive: false});  // don't scroll
  root.addEventListener("pointermove", event => {
    if (!offset) return;
    const [x, y] = plot.pointer(event);
    moved(plot.toX(x + offset[0]), plot.toY(y + offset[1]));
  });
  for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, () => { offset = null; });
}

function followKeys(root, at, moved, {dimensions = 2, step = 0.1, ends = false}) {
  root.addEventListener("keydown", event => {
    const arrow = ARROWS[event.key] ?? (ends ? ENDS[event.key] : undefined);
    if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [x, y] = at(), by = step * (event.shiftKey ? 10 : 1);
    const [dx, dy] = dimensions === 1 && arrow[1] ? [arrow[1], 0] : arrow;
    moved(x + dx * by, y + dy * by, [dx * by, dy * by]);
  });
}
