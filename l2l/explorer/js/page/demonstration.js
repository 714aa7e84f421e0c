import {calm} from "./dom.js";

// Plays `frames` once, when the explorer is first in view, and then `back`, which restores the state. Any touch ends
// it at once. Nothing plays for a reader who wants no motion, or has followed a link to another moment. Returns `stop`.
export function demonstrate(root, address, frames, back, rate = 12) {
  let timer = null, done = calm() || address.linked;
  const touches = ["pointerdown", "keydown", "focusin", "wheel"];
  const stop = () => {
    if (timer) { clearInterval(timer); timer = null; back(); requestAnimationFrame(() => { address.quiet = false; }); }
    done = true;
    observer.disconnect();
    touches.forEach(touch => root.removeEventListener(touch, stop, true));
  };
  const observer = new IntersectionObserver(([{isIntersecting}]) => {
    if (!isIntersecting || done || timer) return;
    let next = 0;
    address.quiet = true;
    timer = setInterval(() => { if (next < frames.length) frames[next++](); else stop(); }, 1000 / rate);
  }, {threshold: 0.6});
  if (!done) {
    touches.forEach(touch => root.addEventListener(touch, stop, true));
    observer.observe(root);
  }
  return stop;
}
