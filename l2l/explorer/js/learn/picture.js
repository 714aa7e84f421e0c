// The reader's ten curves as one picture, drawn in the colour of the text; as a file, black on white.

import {html} from "../page/dom.js";
import {evenly, readable} from "../page/numbers.js";
import {COLUMNS} from "../draw/state.js";

const [ACROSS, WIDTH, HEIGHT, GAP, REACH] = [5, 150, 110, 14, 8];

export function picture({tasks, curves, errors, range}) {
  const columns = evenly(...range, COLUMNS), [low, high] = range;
  const px = x => ((x - low) / (high - low) * WIDTH).toFixed(1);
  const py = y => (HEIGHT / 2 * (1 - Math.max(-1.05, Math.min(1.05, y / REACH)))).toFixed(1);
  const path = (x, y) => Array.from(x, (at, i) => `${i ? "L" : "M"}${px(at)} ${py(y[i])}`).join("");
  const panel = ({x, y, grid, truth}, i) => {
    const left = (i % ACROSS) * (WIDTH + GAP) + 1, top = Math.floor(i / ACROSS) * (HEIGHT + 34) + 18;
    return `<g transform="translate(${left} ${top})"><text y="-5" font-size="12" fill="currentColor">${i + 1}: error `
      + `${readable(errors.ours[i])}</text><rect width="${WIDTH}" height="${HEIGHT}" fill="none" stroke="currentColor" `
      + `stroke-opacity=".3"/><path d="${path(grid, truth)}" fill="none" stroke="#8a8a8a" stroke-width="4" `
      + `stroke-opacity=".7"/><path d="${path(columns, curves[i])}" fill="none" stroke="currentColor" `
      + `stroke-width="1.8"/>`
      + `${x.map((at, j) => `<circle cx="${px(at)}" cy="${py(y[j])}" r="3" fill="currentColor"/>`).join("")}</g>`;
  };
  const size = [ACROSS * (WIDTH + GAP), 2 * (HEIGHT + 34)];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.join(" ")}" role="img" font-family="sans-serif" `
    + `aria-label="Your ten curves over the true ones, with the error of each">${tasks.map(panel).join("")}</svg>`;
}

export function pictureLink(experiment, words) {
  const escaped = words.join(" ").replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const file = picture(experiment).replace("<svg ", '<svg style="color: #222; background: white" ')
    .replace("</svg>", `<desc>${escaped}</desc></svg>`);
  return html("a", {download: "ten-curves.svg", href: `data:image/svg+xml,${encodeURIComponent(file)}`},
    "Save the picture");
}
