import {later} from "./dom.js";

// The state as `#name?key=value&…`, so that a link leads to this moment. Only a page of the book has an address of its
// own.
export class Address {
  constructor(root, name, apply) {
    this.prefix = `#${name}?`;
    this.active = root.closest(".bd-article") !== null || root.dataset.address === "on";
    const read = () => {
      const here = this.active && location.hash.startsWith(this.prefix);
      if (here) apply(Object.fromEntries(new URLSearchParams(location.hash.slice(this.prefix.length))));
      return here;
    };
    const write = later(300, text => history.replaceState(history.state, "", this.prefix + text));
    let last;
    this.quiet = false;  // while nobody has touched anything
    this.link = () => location.href.split("#")[0] + this.prefix + last;
    this.write = state => {  // from the first change on: opening a page leaves its address as it is
      if (this.quiet) return;
      const text = new URLSearchParams(state).toString();
      if (this.active && last !== undefined && text !== last) write(text);
      last = text;
    };
    if (this.active) addEventListener("hashchange", read);
    this.end = () => removeEventListener("hashchange", read);
    this.linked = read();  // the reader came by a link
    if (this.linked) addEventListener("load", () => root.scrollIntoView({block: "start"}));
  }
}
