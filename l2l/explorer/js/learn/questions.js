// What is asked at the end: choices, and numbers on sliders.

import {slider} from "../page/controls.js";
import {html} from "../page/dom.js";
import {twoDecimals} from "../page/numbers.js";

let forms = 0;

export class Questions {
  constructor(questions, answered) {
    Object.assign(this, {questions, answered, name: `l2l-questions-${++forms}`});
    this.told = html("p", {role: "status"});
    this.root = html("div", {role: "group", class: "l2l-questions",
      "aria-label": "what the ten curves have in common"});
    this.clear();
  }

  clear() {
    this.answers = {};
    this.told.textContent = "";
    this.root.replaceChildren(...Object.entries(this.questions).map(([name, question]) =>
      question.options ? this.choice(name, question) : this.number(name, question)), this.told);
  }

  choice(name, {ask, options}) {
    const radio = option => html("label", {class: "l2l-check"}, html("input", {type: "radio",
      name: `${this.name}-${name}`, onchange: () => { this.answers[name] = option; }}), option);
    return html("fieldset", {}, html("legend", {}, ask), ...options.map(radio));
  }

  number(name, {ask, min, max, step, start}) {
    const control = slider({label: ask, min, max, step, show: twoDecimals,
      onchange: value => { this.answers[name] = value; }});
    control.value = start;
    return control.root;
  }

  send() {
    const open = Object.keys(this.questions).filter(name => this.answers[name] === undefined);
    this.told.textContent = open.length ? `Unanswered: ${open.map(name => this.questions[name].ask).join("; ")}` : "";
    if (!open.length) this.answered(this.answers);
  }
}
