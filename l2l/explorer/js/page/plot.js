import {lineStyle, make, svg} from "./dom.js";
import {clamp, round, roundUp} from "./numbers.js";

const FAR = 9999;  // further out, browsers draw nothing
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 16, 12, 42];  // pixels around what the axes hold

function ticks(low, high, count) {
  const step = roundUp((high - low) / count), found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) found.push(round(t, step / 10));
  return found;
}

function decades(...range) {
  const [low, high] = range.map(Math.log10), step = Math.max(1, Math.round((high - low) / 5)), found = [];
  for (let p = Math.ceil(low - 1e-9); p <= high + 1e-9; p += step) found.push(10 ** p);
  return found;
}

function tickText(t, log) {
  if (log && Math.abs(Math.log10(t)) > 3.5) return t.toExponential(0).replace("e+", "e");
  return Math.abs(t) >= 1e4 ? `${t / 1000}k` : String(t).replace("-", "−");
}

// Axes with lines in them, as wide as the page allows. A logarithmic y axis has `log`.
export class Plot {
  constructor(parent, {title, xlabel, ylabel, x, y, height, log = false, ratio = null, lowest = -Infinity}) {
    Object.assign(this, {xlabel, ylabel, x, y, height, log, ratio, lowest, items: new Map()});
    this.axes = svg("g", {class: "l2l-axes", "aria-hidden": "true"});
    this.inside = svg("svg", {});  // an inner svg cuts off what leaves it
    this.above = svg("g", {});
    this.root = svg("svg", {class: "l2l-plot", role: "group", "aria-label": title}, this.axes, this.inside, this.above);
    parent.append(this.root);
  }

  fit() {  // call once a width is known, and again when it or a range changes
    this.width = Math.max(240, this.root.parentElement.clientWidth);
    if (this.ratio) this.height = Math.min(420, this.width * this.ratio);
    const {width, height} = this;
    this.w = width - LEFT - RIGHT;
    this.h = height - TOP - BOTTOM;
    make(this.root, {width, height, viewBox: `0 0 ${width} ${height}`}, []);
    make(this.inside, {x: LEFT, y: TOP, width: this.w, height: this.h}, []);
    this.above.setAttribute("transform", `translate(${LEFT} ${TOP})`);
    this.drawAxes();
  }

  drawAxes() {
    const across = ticks(...this.x, this.w / 70);
    const up = this.log ? decades(...this.y) : ticks(...this.y, this.h / 45).filter(t => t >= this.lowest);
    const text = (x, y, content, anchor, more = {}) => svg("text", {x, y, "text-anchor": anchor, ...more}, content);
    this.axes.replaceChildren(
      ...across.flatMap(t => [
        svg("path", {d: `M${LEFT + this.px(t)} ${TOP}v${this.h}`}),
        text(LEFT + this.px(t), TOP + this.h + 17, tickText(t), "middle")]),
      ...up.flatMap(t => [
        svg("path", {d: `M${LEFT} ${TOP + this.py(t)}h${this.w}`}),
        text(LEFT - 6, TOP + this.py(t) + 4, tickText(t, this.log), "end")]),
      text(LEFT + this.w / 2, this.height - 5, this.xlabel, "middle"),
      text(0, 0, this.ylabel, "middle", {transform: `translate(12 ${TOP + this.h / 2}) rotate(-90)`}));
  }

  px(x) { return clamp((x - this.x[0]) / (this.x[1] - this.x[0]) * this.w, -FAR, FAR); }
  py(y) {
    const [low, high] = this.y, up = this.log ? Math.log(Math.max(y, 1e-300) / low) / Math.log(high / low) :
      (y - low) / (high - low);
    return clamp((1 - up) * this.h, -FAR, FAR);
  }
  toX(px) { return this.x[0] + px / this.w * (this.x[1] - this.x[0]); }
  toY(py) { return this.y[0] + (1 - py / this.h) * (this.y[1] - this.y[0]); }

  // Where a mouse or a finger is, in pixels of what the axes hold.
  pointer({clientX, clientY}) {
    const box = this.root.getBoundingClientRect(), scale = this.width / box.width;
    return [(clientX - box.left) * scale - LEFT, (clientY - box.top) * scale - TOP];
  }

  item(key, tag, attributes) {  // made once, then only moved
    if (!this.items.has(key)) {
      this.items.set(key, svg(tag));
      this.inside.append(this.items.get(key));
    }
    this.items.get(key).removeAttribute("display");
    return make(this.items.get(key), attributes, []);
  }

  line(key, x, y, style) {
    let d = "", gap = true;
    for (let i = 0; i < x.length; i++) {
      if (Number.isFinite(y[i])) d += `${gap ? "M" : "L"}${this.px(x[i]).toFixed(1)} ${this.py(y[i]).toFixed(1)}`;
      gap = !Number.isFinite(y[i]);
    }
    return this.item(key, "path", {class: "l2l-line", d: d || "M0 0", style: lineStyle(style)});
  }

  dot(key, x, y, style, r = 4) {
    const place = {cx: this.px(x), cy: this.py(y), r};
    return this.item(key, "circle", {class: "l2l-dot", ...place, style: `--c: ${style.color}`});
  }

  arrow(key, [x, y], [toX, toY], style) {
    const [a, b, c, d] = [this.px(x), this.py(y), this.px(toX), this.py(toY)];
    const length = Math.hypot(c - a, d - b), [u, v] = length > 0 ? [(c - a) / length, (d - b) / length] : [0, 0];
    const s = Math.min(9, length / 2), drawn = {width: 3, ...style};  // s: size of the head
    const barb = f => `${c - s * (u + f * v)} ${d - s * (v - f * u)}`;
    this.item(key, "path", {class: "l2l-line l2l-arrow", style: lineStyle(drawn), d: `M${a} ${b}L${c} ${d}`});
    this.item(`${key} head`, "path", {class: "l2l-line", style: lineStyle({...drawn, dash: ""}),
      d: `M${barb(0.6)}L${c} ${d}L${barb(-0.6)}`});
  }

  task(x, y, points, style) {  // the true function, and the stretch that holds the support points
    const [from, to] = [Math.min(...points), Math.max(...points)].map(point => this.px(point));
    this.item("shade", "rect", {class: "l2l-shade", x: from, width: to - from, y: 0, height: this.h});
    this.line("truth", x, y, style);
  }

  now(x) {
    this.line("now", [x, x], this.y, {color: "currentColor", width: 1, opacity: 0.6});
  }

  hide(...keys) {
    for (const key of keys) this.items.get(key)?.setAttribute("display", "none");
  }
}
