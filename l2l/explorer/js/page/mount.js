import {html} from "./dom.js";

// Puts an explorer in place of its still picture. If that fails, the picture stays. What `build` returns is called when
// there is a width to draw in, and again when it changes.
export function mount(kind, build) {
  const root = document.querySelector(`.l2l-explorer[data-kind="${kind}"]:not([data-live])`);
  root.dataset.live = "no";
  const still = root.querySelector(".l2l-still"), panel = html("div", {class: "l2l-panel"});
  root.append(panel);
  try {
    const drawInWidth = build(root, panel);
    still.hidden = true;
    drawInWidth();
    onNewWidth(panel, drawInWidth);
    root.dataset.live = "yes";
  } catch (error) {
    panel.remove();
    still.hidden = false;
    still.querySelector("figcaption").append(" (The live version could not start.)");
    console.warn(`The ${kind} explorer could not start:`, error);
  }
  followTheme(root);
}

function onNewWidth(panel, action) {
  let width = panel.clientWidth;
  new ResizeObserver(() => {
    if (panel.clientWidth && panel.clientWidth !== width) { width = panel.clientWidth; action(); }
  }).observe(panel);
}

function followTheme(root) {  // lines are lightened where the page's text is light
  const theme = () => {
    const [r, g, b] = getComputedStyle(root).color.match(/[\d.]+/g).map(Number);
    root.toggleAttribute("data-dark", 0.3 * r + 0.6 * g + 0.1 * b > 140);
  };
  theme();
  for (const watched of [document.documentElement, document.body])
    new MutationObserver(theme).observe(watched, {attributes: true});
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
}
