// From a moment in the page to a link, and to Python that computes the same with l2l.

import {button, row} from "./controls.js";
import {html} from "./dom.js";

export const listed = values =>
  `[${Array.from(values, value => Array.isArray(value) ? listed(value) : value).join(", ")}]`;

// Two buttons. `python()` gives the lines; they are also shown, for browsers that do not let pages copy. Only a page
// of the book has an address.
export function share({python, address}) {
  const code = html("pre", {hidden: true, tabindex: 0, role: "region", "aria-label": "Python"});
  const told = html("span", {role: "status"});
  const tell = text => { told.textContent = text; };
  const copy = text => (navigator.clipboard?.writeText(text) ?? Promise.reject())
    .then(() => tell("Copied."), () => tell("Your browser does not let pages copy: select the text below."));
  const show = text => {
    code.textContent = text;
    code.hidden = false;
    copy(text);
  };
  const link = address.active ? [button("Copy link", () => show(address.link()))] : [];
  return html("div", {class: "l2l-share"}, row(button("Copy as Python", () => show(python())), ...link, told), code);
}
