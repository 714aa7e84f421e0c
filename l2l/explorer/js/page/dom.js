// Elements of the page, and when to draw them.

export function make(create, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) create.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) create.setAttribute(name, value === true ? "" : value);
  }
  create.append(...children);
  return create;
}

export const html = (tag, attributes = {}, ...children) => make(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) =>
  make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

export const lineStyle = ({color, dash = "", width = 2.2, opacity = 1}) =>
  `--c: ${color}; stroke-dasharray: ${dash || "none"}; stroke-width: ${width}; stroke-opacity: ${opacity}`;

// A line sample as legends have it, in a method's colour and line style.
export const swatch = style => svg("svg", {class: "l2l-swatch", width: 30, height: 10, "aria-hidden": "true"},
  svg("path", {d: "M1 5H29", class: "l2l-line", style: lineStyle(style)}));

// What a screen reader is told, without its being seen.
export const announcement = () => html("div", {class: "l2l-spoken", role: "status"});

// Results as numbers, one row a method, for those who read rather than look.
export function numbersTable(label, columns) {
  const body = html("tbody"), names = columns.map(name => html("th", {scope: "col"}, name));
  return {
    root: html("div", {class: "l2l-scroll", tabindex: 0, role: "region", "aria-label": label},
      html("table", {}, html("thead", {}, html("tr", {}, ...names)), body)),
    fill: rows => body.replaceChildren(...rows.map(([method, head, ...values]) =>
      html("tr", {"data-method": method}, html("th", {scope: "row"}, ...[head].flat()),
        ...values.map(text => html("td", {}, text))))),
  };
}

// The reader wants no motion.
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Runs `draw` before the next frame, however often it is asked for.
export function eachFrame(draw) {
  let asked = false;
  return () => {
    if (!asked) requestAnimationFrame(() => { asked = false; draw(); });
    asked = true;
  };
}

// Runs `action` soon, and again no sooner than `interval` milliseconds later, however often it is asked for.
export function atMostEvery(interval, action) {
  let timer = null, last = -Infinity;
  return () => {
    timer ??= setTimeout(() => { timer = null; last = performance.now(); action(); },
      Math.max(0, last + interval - performance.now()));
  };
}

export function later(delay, action) {  // once things have been quiet for a while
  let timer;
  return (...values) => { clearTimeout(timer); timer = setTimeout(action, delay, ...values); };
}
