// The explorer "adapt": one task, its support points, and each network after some steps of gradient descent on them.

const FINEST = 0.01;  // of points and sliders; what the address can say
const STEPS = 50;
const ALPHAS = [0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05];

function decoded(text) {  // little-endian float32, as the runs hold them
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({length: bytes.length / 4}, (_, i) => view.getFloat32(4 * i, true));
}

function buildAdapt(root, panel, settings) {
  const {sizes, weights, styles, iterations, presets, compact, family} = settings;
  const parameters = {untrained: {0: {sizes, values: decoded(weights.untrained)}}};
  for (const [method, kept] of Object.entries(weights)) if (method !== "untrained") {
    parameters[method] = {0: parameters.untrained[0]};
    for (const [iteration, text] of Object.entries(kept)) parameters[method][iteration] = {sizes, values: decoded(text)};
  }
  const methods = Object.keys(parameters);
  const count = settings.sizes.slice(1).reduce((sum, n, l) => sum + (sizes[l] + 1) * n, 0);
  for (const kept of Object.values(parameters)) for (const {values} of Object.values(kept))
    if (values.length !== count) throw new Error(`a network of widths ${sizes} has ${count} parameters, got ${values.length}`);
  const [low, high] = family.x_range, middle = (low + high) / 2;
  const grid = Float64Array.from({length: 121}, (_, i) => low + (high - low) * i / 120);
  const query = Float64Array.from({length: 50}, (_, i) => low + (high - low) * (i + 0.5) / 50);

  const state = {A: 3, b: 1, x: [], e: [], noise: 0, half: false, seed: 1, alpha: 0.01, steps: 1, iteration: iterations.at(-1), show: [...methods]};

  // The points are the first of a stream that the seed fixes: with one more point, the others stay.
  function drawPoints(n) {
    const generator = new Generator(state.seed), start = state.half ? middle : low;
    const drawn = Array.from({length: n}, () => [generator.double(), generator.normal()]);
    state.x = drawn.map(([u]) => round(start + (high - start) * u, FINEST));
    state.e = drawn.map(([, normal]) => round(state.noise * normal, FINEST));
  }
  const truth = x => state.A * Math.sin(x + state.b);

  // Controls.
  const set = (name, then = () => {}) => value => { play.stop(); state[name] = value; then(); refresh(); };
  const redraw = () => drawPoints(state.x.length);
  const controls = {
    steps: slider({label: "adaptation steps", max: STEPS, onchange: set("steps")}),
    iteration: slider({label: "meta-training", values: iterations, show: n => `${n.toLocaleString("en-GB")} it.`, onchange: set("iteration")}),
    A: slider({label: "amplitude A", min: 0.1, max: 8, step: 0.1, show: v => v.toFixed(2), onchange: set("A")}),
    b: slider({label: "phase b", min: 0, max: 6.28, step: 0.02, show: v => v.toFixed(2), onchange: set("b")}),
    n: slider({label: "support points", min: 1, max: 20, onchange: n => { play.stop(); drawPoints(n); refresh(); }}),
    noise: slider({label: "noise", min: 0, max: 1, step: 0.05, show: v => v.toFixed(2), onchange: set("noise", redraw)}),
    alpha: slider({label: "step size α", values: ALPHAS, onchange: set("alpha")}),
    half: checkbox({label: "points on one half of the axis", onchange: set("half", redraw)}),
  };
  const shown = Object.fromEntries(methods.map(method => [method, checkbox({label: styles[method].label, onchange: on => {
    state.show = methods.filter(m => m === method ? on : state.show.includes(m));
    refresh();
  }}, swatch(styles[method]))]));
  const play = player("Play", () => {
    state.steps = state.steps >= STEPS ? 0 : state.steps + 1;
    refresh();
    return state.steps < STEPS;
  }, 6);
  const use = preset => { play.stop(); Object.assign(state, {noise: 0, half: false, alpha: 0.01, iteration: iterations.at(-1), show: [...methods]}, preset);
    state.e = preset.x.map(() => 0); refresh(); };

  // The parts of the page.
  const top = html("div", {}), spoken = html("div", {class: "l2l-spoken", role: "status"});
  const bottom = html("div", {class: "l2l-plots"}), cells = [html("div"), html("div")];
  bottom.append(...cells);
  panel.append(
    html("div", {class: "l2l-row", role: "group", "aria-label": "ready-made tasks"}, "Try:",
      ...presets.map(({name, ...preset}) => button(name, () => use(preset)))),
    html("div", {class: "l2l-row", role: "group", "aria-label": "networks shown"}, ...methods.map(m => shown[m].root)),
    top,
    html("div", {class: "l2l-row"}, play.root, html("div", {style: "flex: 1 1 15rem"}, controls.steps.root)));
  const names = compact ? [] : ["iteration", "alpha", "A", "b", "n", "noise"];
  if (!compact) panel.append(html("div", {class: "l2l-controls"}, ...names.map(name => controls[name].root)),
    html("div", {class: "l2l-row"}, controls.half.root, button("Draw other points", () => {
      play.stop(); state.seed = state.seed % 999 + 1; redraw(); refresh(); })));
  const table = numbersTable("errors as numbers", ["network", "support error", "query error", "query error before"]);
  panel.append(table.root);
  if (!compact) panel.append(bottom);
  panel.append(html("p", {class: "l2l-note"}, "Drag the points, or move them with the arrow keys. Errors are mean squared errors; the query error is over 50 points along the whole axis. " + settings.provenance), spoken);

  const plot = new Plot(top, {title: "the task, its support points and the adapted networks", xlabel: "x", ylabel: "y", x: [low, high], y: [-6, 6], height: 300});
  const errors = compact ? [] : ["support", "query"].map((part, i) =>
    new Plot(cells[i], {title: `${part} error after each step`, xlabel: "adaptation steps", ylabel: `${part} error`, x: [0, STEPS], y: [0.001, 100], height: 210, log: true}));
  let handles = [];

  function makeHandles() {
    if (handles.length === state.x.length) return;
    handles.forEach(handle => handle.root.remove());
    handles = state.x.map((_, j) => plot.handle({
      label: `support point ${j + 1}`, range: [low, high],
      at: () => [state.x[j], truth(state.x[j]) + state.e[j]],
      describe: () => `x ${state.x[j].toFixed(2)}, y ${(truth(state.x[j]) + state.e[j]).toFixed(2)}`,
      moved: (x, y, key) => {
        play.stop();
        const off = key ? state.e[j] + key[1] : y - truth(clamp(x, low, high));
        state.x[j] = round(clamp(key ? state.x[j] + key[0] : x, low, high), FINEST);
        state.e[j] = !key && Math.abs(off) < 0.25 ? 0 : round(clamp(off, -8, 8), FINEST);  // the curve attracts
        refresh();
      },
    }));
  }

  // What is computed: each network's path of parameters, and from it the curves.
  function compute() {
    const support = {x: state.x, y: state.x.map((x, j) => truth(x) + state.e[j])}, targets = query.map(truth);
    return Object.fromEntries(state.show.map(method => {
      const kept = parameters[method], path = adapt(kept[state.iteration] ?? kept[0], support, state.alpha, compact ? state.steps : STEPS);
      return [method, {
        fit: sweep(path[state.steps], grid),
        support: path.map(phi => phi.loss ?? mse(phi, support)),
        query: path.map((phi, k) => !compact || k === 0 || k === state.steps ? meanSquare(sweep(phi, query), targets) : NaN),
      }];
    }));
  }

  function draw() {
    const started = performance.now(), result = compute();
    const reach = Math.max(6, Math.ceil(1.2 * state.A));
    if (plot.y[1] !== reach || !plot.w) { plot.y = [-reach, reach]; plot.fit(); }
    plot.task(grid, grid.map(truth), state.x, styles.truth);
    for (const method of methods) {
      const found = result[method], style = styles[method];
      if (!found) { for (const p of [plot, ...errors]) p.hide(method); continue; }
      plot.line(method, grid, found.fit, style);
      errors.forEach((p, i) => p.line(method, found.query.map((_, k) => k), i ? found.query : found.support, style));
    }
    errors.forEach(p => p.now(state.steps));
    makeHandles();
    handles.forEach(handle => handle.place());
    table.fill(state.show.map(method => {
      const {support, query} = result[method];
      return [method, styles[method].label, ...[support[state.steps], query[state.steps], query[0]].map(readable)];
    }));
    root.l2l = {state, result, ms: performance.now() - started};
    address.write({A: state.A, b: state.b, x: state.x, e: state.e, noise: state.noise, half: +state.half, seed: state.seed,
      alpha: state.alpha, steps: state.steps, iteration: state.iteration, show: state.show});
    say(result);
  }
  const say = later(500, result => {
    spoken.textContent = `After ${state.steps} steps, query error: ` +
      state.show.map(m => `${styles[m].label} ${readable(result[m].query[state.steps])}`).join(", ");
  });
  const ask = eachFrame(draw);
  function refresh() {
    for (const name of ["steps", "iteration", "A", "b", "noise", "alpha", "half"]) controls[name].value = state[name];
    controls.n.value = state.x.length;
    for (const method of methods) shown[method].value = state.show.includes(method);
    ask();
  }

  const {name: _, ...first} = presets[0];
  Object.assign(state, first, compact ? {steps: 1} : {});
  state.e = state.x.map(() => 0);
  const address = new Address(root, compact ? "try" : "adapt", given => {
    const x = numbers(given.x).slice(0, 20).map(value => clamp(value, low, high)), e = numbers(given.e);
    if (x.length) Object.assign(state, {x, e: x.map((_, j) => clamp(e[j] ?? 0, -8, 8))});
    Object.assign(state, {
      A: within(given.A, 0.1, 8, state.A), b: within(given.b, 0, 6.28, state.b), noise: within(given.noise, 0, 1, state.noise),
      half: given.half === "1", seed: Math.round(within(given.seed, 1, 999, state.seed)), steps: Math.round(within(given.steps, 0, STEPS, state.steps)),
      alpha: within(given.alpha, ALPHAS[0], ALPHAS.at(-1), state.alpha),
      iteration: iterations.includes(+given.iteration) ? +given.iteration : state.iteration,
      show: given.show === undefined ? state.show : methods.filter(m => given.show.split(",").includes(m)),
    });
    if (root.dataset.live === "yes") refresh();
  });
  return () => {
    [plot, ...errors].forEach(p => p.fit());
    refresh();
    draw();
  };
}
