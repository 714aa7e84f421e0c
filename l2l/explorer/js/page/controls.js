// What a reader sets: sliders, boxes to tick, buttons, and a button that plays.

import {calm, html} from "./dom.js";

let names = 0;
const newName = () => `l2l-${++names}-${Math.random().toString(36).slice(2, 7)}`;

// A labelled slider. `values` may list what its positions mean; otherwise they are numbers from min to max. A value
// that is set, for example from an address, is shown as it is, with the thumb at the nearest position.
export function slider({label, min = 0, max, step = 1, values, show = String, onchange}) {
  const id = newName(), text = html("output", {for: id, "aria-hidden": "true"});
  const range = values ? {min: 0, max: values.length - 1, step: 1} : {min, max, step};
  const say = value => {
    text.textContent = show(value);
    input.setAttribute("aria-valuetext", text.textContent);
  };
  const input = html("input", {type: "range", id, ...range, oninput: () => {
    const value = values ? values[+input.value] : +input.value;
    say(value);
    onchange(value);
  }});
  const nearest = value => values.indexOf(values.reduce((a, b) => Math.abs(b - value) < Math.abs(a - value) ? b : a));
  return {
    root: html("div", {class: "l2l-control"}, html("label", {for: id}, label), input, text),
    set value(value) {
      input.value = values ? nearest(value) : value;
      say(value);
    },
    bounds: values ? [values[0], values.at(-1)] : [min, max],
  };
}

export function checkbox({label, onchange}, ...more) {
  const input = html("input", {type: "checkbox", onchange: () => onchange(input.checked)});
  return {
    root: html("label", {class: "l2l-check"}, input, ...more, label),
    set value(value) { input.checked = value; },
  };
}

export const button = (label, onclick) => html("button", {type: "button", onclick}, label);

// A row of controls; one with a name is a group for screen readers too.
export const row = (...children) => html("div", {class: "l2l-row"}, ...children);
export const group = (name, ...children) =>
  html("div", {class: "l2l-row", role: "group", "aria-label": name}, ...children);
export const grid = controls => html("div", {class: "l2l-controls"}, ...controls.map(({root}) => root));
export const note = (...sentences) => html("p", {class: "l2l-note"}, sentences.join(""));

// A play button: `tick()` is called `rate` times a second until it returns false.
export function player(label, tick, rate) {
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
