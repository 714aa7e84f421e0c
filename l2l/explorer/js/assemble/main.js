// The explorer "assemble": the reader puts line 10 together from pieces, and the page runs it.

import {button, group, note, row} from "../page/controls.js";
import {demonstrate} from "../page/demonstration.js";
import {html} from "../page/dom.js";
import {share} from "../page/share.js";
import {PIECES} from "./pieces.js";
import {assembledAsPython} from "./python.js";
import {judge} from "./state.js";

export function buildAssemble(root, panel, settings) {
  const problem = {...settings, theta: {...settings.theta, values: Float64Array.from(settings.theta.values)}};
  const program = [], lines = html("ol", {class: "l2l-program", "aria-label": "your program, for each task"});
  const words = html("div", {role: "status", class: "l2l-told"});
  const groups = [...new Set(Object.values(PIECES).map(piece => piece.group))];
  const offered = Object.fromEntries(Object.entries(PIECES).map(([name, {text}]) =>
    [name, button(text, () => { if (!program.includes(name)) program.push(name); refresh(); })]));
  const shelf = groups.map(title => group(title, html("span", {class: "l2l-title"}, title),
    ...order(Object.keys(PIECES).filter(name => PIECES[name].group === title)).map(name => offered[name])));
  const runButton = button("Run", () => {
    const found = judge(program, problem);
    root.l2l.found = found;
    const off = found.deviation === null ? "" : `Deviation from the exact meta-gradient: ${percent(found.deviation)}. `;
    words.textContent = off + found.words.join(" ");
  });
  const start = () => { program.length = 0; refresh(); };
  const clear = button("Clear", start), address = {active: false};
  panel.append(html("p", {}, "Press the lines that you need, and put them in order. For each task:"), lines,
    row(runButton, clear), words, ...shelf, note(settings.note),
    share({python: () => assembledAsPython(program, problem), address}));

  function move(i, by) {
    const [name] = program.splice(i, 1);
    program.splice(i + by, 0, name);
    refresh();
    lines.children[i + by].querySelector("button:enabled").focus();
  }
  function remove(i) {
    program.splice(i, 1);
    refresh();
    const next = lines.children[Math.min(i, program.length - 1)]?.querySelector("button:last-child");
    (next ?? Object.values(offered)[0]).focus();
  }
  function refresh() {
    words.textContent = "";
    lines.replaceChildren(...program.map((name, i) => html("li", {}, html("code", {}, PIECES[name].text),
      named("↑", "move up", name, i > 0 && (() => move(i, -1))), named("↓", "move down", name, i + 1 < program.length
        && (() => move(i, 1))), named("✕", "remove", name, () => remove(i)))));
    for (const [name, choice] of Object.entries(offered)) choice.setAttribute("aria-disabled", program.includes(name));
    for (const one of [runButton, clear]) one.disabled = program.length === 0;
    root.l2l = {state: {program: [...program]}, found: null};
  }
  const wrongWay = ["inner", "start"].map(name => () => offered[name].click()), turn = () => program.reverse();
  const end = demonstrate(root, address, [...wrongWay, () => { turn(); refresh(); }, () => {}], start, 1.5);
  return {drawInWidth: refresh, end};
}

function named(symbol, what, name, act) {
  const control = button(symbol, act || (() => {}));
  control.setAttribute("aria-label", `${what}: ${PIECES[name].text}`);
  control.disabled = !act;
  return control;
}

// The right one is not always the first.
const order = names => [...names].sort((a, b) => PIECES[a].text.localeCompare(PIECES[b].text));

const percent = value => value < 1e-9 ? "none beyond rounding"
  : `${value < 0.1 ? (100 * value).toPrecision(2) : Math.round(100 * value)} %`;
