// What all explorers are made of: elements, controls, a plot, points that can be dragged, and the state in the URL.

function make(create, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) create.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) create.setAttribute(name, value === true ? "" : value);
  }
  create.append(...children);
  return create;
}
const html = (tag, attributes = {}, ...children) => make(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const round = (value, unit) => +(Math.round(value / unit) * unit).toFixed(6);
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function readable(value) {  // a number as people write it
  if (!Number.isFinite(value)) return "∞";
  const size = Math.abs(value);
  return size >= 1e4 || (size < 1e-3 && size > 0) ? value.toExponential(1) : value.toFixed(size < 10 ? 3 : 1);
}

let names = 0;
const newName = () => `l2l-${++names}-${Math.random().toString(36).slice(2, 7)}`;

// A labelled slider. `values` may list what its positions mean; otherwise they are numbers from min to max. A value that
// it is given, by an address for one, is kept and shown as it is, with the thumb at the nearest position.
function slider({label, min = 0, max, step = 1, values, show = String, onchange}) {
  const id = newName(), output = html("output", {for: id, "aria-hidden": "true"});
  const range = values ? {min: 0, max: values.length - 1, step: 1} : {min, max, step};
  let held;
  const hold = value => {
    held = value;
    output.textContent = show(held);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const input = html("input", {type: "range", id, ...range, oninput: () => {
    hold(values ? values[+input.value] : +input.value);
    onchange(held);
  }});
  return {
    root: html("div", {class: "l2l-control"}, html("label", {for: id}, label), input, output),
    get value() { return held; },
    set value(value) {
      input.value = values ? values.indexOf(values.reduce((a, b) => Math.abs(b - value) < Math.abs(a - value) ? b : a)) : value;
      hold(value);
    },
    bounds: values ? [values[0], values.at(-1)] : [min, max],
  };
}

function checkbox({label, onchange}, ...more) {
  const input = html("input", {type: "checkbox", onchange: () => onchange(input.checked)});
  return {root: html("label", {class: "l2l-check"}, input, ...more, label), input,
    get value() { return input.checked; }, set value(value) { input.checked = value; }};
}

const button = (label, onclick) => html("button", {type: "button", onclick}, label);

// A line sample as legends have it, in a method's colour and line style.
const swatch = style => svg("svg", {class: "l2l-swatch", width: 30, height: 10, "aria-hidden": "true"},
  svg("path", {d: "M1 5H29", class: "l2l-line", style: lineStyle(style)}));

const lineStyle = ({color, dash = "", width = 2.2, opacity = 1}) =>
  `--c: ${color}; stroke-dasharray: ${dash || "none"}; stroke-width: ${width}; stroke-opacity: ${opacity}`;

function roundUp(value) {  // to 1, 2 or 5 times a power of ten
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(f => f * power).find(v => v >= value * 0.999);
}

function ticks(low, high, count) {
  const step = roundUp((high - low) / count), found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) found.push(round(t, step / 10));
  return found;
}

// Results as numbers, one row a method, for those who read rather than look.
function numbersTable(label, columns) {
  const body = html("tbody");
  return {
    root: html("div", {class: "l2l-scroll", tabindex: 0, role: "region", "aria-label": label}, html("table", {},
      html("thead", {}, html("tr", {}, ...columns.map(name => html("th", {scope: "col"}, name)))), body)),
    fill: rows => body.replaceChildren(...rows.map(([method, head, ...values]) => html("tr", {"data-method": method},
      html("th", {scope: "row"}, ...[head].flat()), ...values.map(text => html("td", {}, text))))),
  };
}

// Axes with lines in them, as wide as the page allows. A logarithmic y axis has `log`.
class Plot {
  constructor(parent, {title, xlabel, ylabel, x, y, height, log = false, ratio = null, lowest = -Infinity}) {
    Object.assign(this, {xlabel, ylabel, x, y, height, log, ratio, lowest, items: new Map(), left: 52, bottom: 42, top: 12, right: 16});
    this.axes = svg("g", {class: "l2l-axes", "aria-hidden": "true"});
    this.inside = svg("svg", {});  // an inner svg cuts off what leaves it
    this.above = svg("g", {});
    this.root = svg("svg", {class: "l2l-plot", role: "group", "aria-label": title}, this.axes, this.inside, this.above);
    parent.append(this.root);
  }

  fit() {  // call once a width is known, and again when it or a range changes
    this.width = Math.max(240, this.root.parentElement.clientWidth);
    if (this.ratio) this.height = Math.min(420, this.width * this.ratio);
    this.w = this.width - this.left - this.right;
    this.h = this.height - this.top - this.bottom;
    make(this.root, {width: this.width, height: this.height, viewBox: `0 0 ${this.width} ${this.height}`}, []);
    make(this.inside, {x: this.left, y: this.top, width: this.w, height: this.h}, []);
    this.above.setAttribute("transform", `translate(${this.left} ${this.top})`);
    const across = ticks(...this.x, this.w / 70), up = this.log ? this.decades() : ticks(...this.y, this.h / 45).filter(t => t >= this.lowest);
    const text = (x, y, content, anchor, more = {}) => svg("text", {x, y, "text-anchor": anchor, ...more}, content);
    this.axes.replaceChildren(
      ...across.flatMap(t => [
        svg("path", {d: `M${this.left + this.px(t)} ${this.top}v${this.h}`}),
        text(this.left + this.px(t), this.top + this.h + 17, this.tick(t), "middle")]),
      ...up.flatMap(t => [
        svg("path", {d: `M${this.left} ${this.top + this.py(t)}h${this.w}`}),
        text(this.left - 6, this.top + this.py(t) + 4, this.tick(t, this.log), "end")]),
      text(this.left + this.w / 2, this.height - 5, this.xlabel, "middle"),
      text(0, 0, this.ylabel, "middle", {transform: `translate(12 ${this.top + this.h / 2}) rotate(-90)`}));
  }

  decades() {
    const [low, high] = this.y.map(Math.log10), found = [];
    for (let p = Math.ceil(low - 1e-9); p <= high + 1e-9; p += Math.max(1, Math.round((high - low) / 5))) found.push(10 ** p);
    return found;
  }

  tick(t, log = false) {
    if (log && Math.abs(Math.log10(t)) > 3.5) return t.toExponential(0).replace("e+", "e");
    return Math.abs(t) >= 1e4 ? `${t / 1000}k` : String(t).replace("-", "−");
  }

  px(x) { return clamp((x - this.x[0]) / (this.x[1] - this.x[0]) * this.w, -9999, 9999); }  // further out, browsers draw nothing
  py(y) {
    const at = this.log ? Math.log(Math.max(y, 1e-300) / this.y[0]) / Math.log(this.y[1] / this.y[0]) : (y - this.y[0]) / (this.y[1] - this.y[0]);
    return clamp((1 - at) * this.h, -9999, 9999);
  }
  toX(px) { return this.x[0] + px / this.w * (this.x[1] - this.x[0]); }
  toY(py) { return this.y[0] + (1 - py / this.h) * (this.y[1] - this.y[0]); }

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
    return this.item(key, "circle", {class: "l2l-dot", cx: this.px(x), cy: this.py(y), r, style: `--c: ${style.color}`});
  }

  arrow(key, [x, y], [toX, toY], style) {
    const [a, b, c, d] = [this.px(x), this.py(y), this.px(toX), this.py(toY)];
    const length = Math.hypot(c - a, d - b), [u, v] = length > 0 ? [(c - a) / length, (d - b) / length] : [0, 0];
    const head = Math.min(9, length / 2);
    this.item(key, "path", {class: "l2l-line l2l-arrow", style: lineStyle({width: 3, ...style}), d: `M${a} ${b}L${c} ${d}`});
    this.item(`${key} head`, "path", {class: "l2l-line", style: lineStyle({width: 3, ...style, dash: ""}),
      d: `M${c - head * (u + 0.6 * v)} ${d - head * (v - 0.6 * u)}L${c} ${d}L${c - head * (u - 0.6 * v)} ${d - head * (v + 0.6 * u)}`});
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

  // A point that mouse, finger and arrow keys move. `at()` says where it is, `moved(x, y)` puts it where it should be;
  // keys also pass the move itself, [dx, dy].
  handle({label, at, value = () => at()[0], moved, describe, dimensions = 2, symbol = "circle", step = 0.1, range}) {
    const mark = symbol === "circle" ? svg("circle", {r: 6.5}) : svg("path", {d: symbol});
    const root = svg("g", {class: "l2l-handle", tabindex: 0, role: "slider", "aria-label": label,
      "aria-valuemin": range[0], "aria-valuemax": range[1]}, svg("circle", {r: 17, class: "l2l-reach"}), mark);
    let offset = null;
    const position = event => {
      const box = this.root.getBoundingClientRect(), scale = this.width / box.width;
      return [(event.clientX - box.left) * scale - this.left, (event.clientY - box.top) * scale - this.top];
    };
    root.addEventListener("pointerdown", event => {
      const [x, y] = position(event), [atX, atY] = at();
      offset = [this.px(atX) - x, this.py(atY) - y];
      root.setPointerCapture(event.pointerId);
      root.focus({preventScroll: true});
      event.preventDefault();
    });
    root.addEventListener("touchstart", event => event.preventDefault(), {passive: false});  // don't scroll
    root.addEventListener("pointermove", event => {
      if (!offset) return;
      const [x, y] = position(event);
      moved(this.toX(x + offset[0]), this.toY(y + offset[1]));
    });
    for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, () => { offset = null; });
    root.addEventListener("keydown", event => {
      const direction = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
      if (!direction || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const [x, y] = at(), by = step * (event.shiftKey ? 10 : 1);
      const [dx, dy] = dimensions === 1 && direction[1] ? [direction[1], 0] : direction;
      moved(x + dx * by, y + dy * by, [dx * by, dy * by]);
    });
    this.above.append(root);
    return {root, place: () => {
      const [x, y] = at();
      root.setAttribute("transform", `translate(${this.px(x)} ${this.py(y)})`);
      root.setAttribute("aria-valuenow", round(value(), 0.01));
      root.setAttribute("aria-valuetext", describe());
    }};
  }
}

// Runs `draw` before the next frame, however often it is asked for.
function eachFrame(draw) {
  let asked = false;
  return () => {
    if (!asked) requestAnimationFrame(() => { asked = false; draw(); });
    asked = true;
  };
}

function later(delay, action) {  // once things have been quiet for a while
  let timer;
  return (...values) => { clearTimeout(timer); timer = setTimeout(action, delay, ...values); };
}

// A play button: `tick()` is called `rate` times a second until it returns false.
function player(label, tick, rate) {
  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; root.textContent = label; };
  const root = button(label, () => {
    if (timer) { stop(); return; }
    root.textContent = "Pause";
    timer = setInterval(() => { if (!root.isConnected || tick() === false) stop(); }, 1000 / (calm() ? 1 : rate));
    if (tick() === false) stop();
  });
  return {root, stop, get playing() { return timer !== null; }};
}

// The state as `#name?key=value&…`, so that a link leads to this moment. Only a page of the book has an address of its own.
class Address {
  constructor(root, name, apply) {
    Object.assign(this, {prefix: `#${name}?`, active: root.closest(".bd-article") !== null || root.dataset.address === "on"});
    const read = () => {
      const here = this.active && location.hash.startsWith(this.prefix);
      if (here) apply(Object.fromEntries(new URLSearchParams(location.hash.slice(this.prefix.length))));
      return here;
    };
    const write = later(300, text => history.replaceState(history.state, "", this.prefix + text));
    let last;
    this.write = state => {  // from the first change on: to open a page changes nothing, and leaves others' states alone
      const text = new URLSearchParams(state).toString();
      if (this.active && last !== undefined && text !== last) write(text);
      last = text;
    };
    if (this.active) addEventListener("hashchange", read);
    if (read()) addEventListener("load", () => root.scrollIntoView({block: "start"}));
  }
}

// What an address says, where it says something that can be.
const within = (text, low, high, otherwise) =>
  text === undefined || !Number.isFinite(+text) ? otherwise : clamp(+text, low, high);
const numbers = text => text ? text.split(",").map(Number).filter(Number.isFinite) : [];

// Puts an explorer in place of its still picture. If that fails, the picture stays.
function mount(kind, build) {
  const root = document.querySelector(`.l2l-explorer[data-kind="${kind}"]:not([data-live])`);
  root.dataset.live = "no";
  const still = root.querySelector(".l2l-still"), panel = html("div", {class: "l2l-panel"});
  root.append(panel);
  try {
    const drawn = build(root, panel);
    still.hidden = true;
    drawn();
    let width = panel.clientWidth;
    new ResizeObserver(() => {
      if (panel.clientWidth && panel.clientWidth !== width) { width = panel.clientWidth; drawn(); }
    }).observe(panel);
    root.dataset.live = "yes";
  } catch (error) {
    panel.remove();
    still.hidden = false;
    still.querySelector("figcaption").append(" (The live version could not start.)");
    console.warn(`The ${kind} explorer could not start:`, error);
  }
  const theme = () => {  // lines are lightened where the page's text is light
    const [r, g, b] = getComputedStyle(root).color.match(/[\d.]+/g).map(Number);
    root.toggleAttribute("data-dark", 0.3 * r + 0.6 * g + 0.1 * b > 140);
  };
  theme();
  for (const watched of [document.documentElement, document.body])
    new MutationObserver(theme).observe(watched, {attributes: true});
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
}
