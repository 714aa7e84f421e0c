import {html} from "./dom.js";

// Puts an explorer in place of its still picture. If that fails, the picture stays. `build` returns `drawInWidth`,
// which is called when there is a width, and again when it changes; and, where something would go on by itself, `end`,
// which is called when the explorer has left the page.
export function mount(kind, build) {
  const root = document.querySelector(`.l2l-explorer[data-kind="${kind}"]:not([data-live])`);
  root.dataset.live = "no";
  const still = root.querySelector(".l2l-still"), panel = html("div", {class: "l2l-panel"});
  root.append(panel);
  try {
    const {drawInWidth, end = () => {}} = build(root, panel);
    still.hidden = true;
    drawInWidth();
    const watching = [onNewWidth(panel, drawInWidth), followTheme(root)];
    onLeaving(root, () => { watching.forEach(stop => stop()); end(); });
    root.dataset.live = "yes";
  } catch (error) {
    panel.remove();
    still.hidden = false;
    still.querySelector("figcaption").append(" (The live version could not start.)");
    console.warn(`The ${kind} explorer could not start:`, error);
  }
}

function onNewWidth(panel, action) {
  let width = panel.clientWidth;
  const observer = new ResizeObserver(() => {
    if (panel.clientWidth && panel.clientWidth !== width) { width = panel.clientWidth; action(); }
  });
  observer.observe(panel);
  return () => observer.disconnect();
}

function followTheme(root) {  // lines are lightened where the page's text is light
  const scheme = matchMedia("(prefers-color-scheme: dark)"), observer = new MutationObserver(theme);
  function theme() {
    const [r, g, b] = getComputedStyle(root).color.match(/[\d.]+/g).map(Number);
    root.toggleAttribute("data-dark", 0.3 * r + 0.6 * g + 0.1 * b > 140);
  }
  theme();
  for (const watched of [document.documentElement, document.body]) observer.observe(watched, {attributes: true});
  scheme.addEventListener("change", theme);
  return () => { observer.disconnect(); scheme.removeEventListener("change", theme); };
}

function onLeaving(root, action) {  // a cell is cleared, or runs again
  const observer = new MutationObserver(() => {
    if (root.isConnected) return;
    observer.disconnect();
    action();
  });
  observer.observe(document, {childList: true, subtree: true});
}
