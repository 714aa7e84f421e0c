// The explorer "metatrain": MAML, FOMAML and pre-training run in a worker, and what the book draws of them grows here.

const INNER_ALPHAS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03];

function buildMetatrain(root, panel, settings) {
  const {styles: {truth: truthStyle, ...styles}, family, streams, defaults, task, sizes, last} = settings, methods = Object.keys(styles);
  const state = {alpha: defaults.alpha, steps: defaults.steps, tasks: defaults.tasks, shots: defaults.shots, seed: 0, fit: 10};
  const worker = new Worker(URL.createObjectURL(new Blob([settings.worker], {type: "text/javascript"})));
  let seen = null, going = false;

  // Another setting begins another training.
  const set = name => value => { state[name] = value; reset(); };
  const controls = {
    alpha: slider({label: "step size α", values: INNER_ALPHAS, onchange: set("alpha")}),
    steps: slider({label: "inner steps", min: 1, max: 5, onchange: set("steps")}),
    tasks: slider({label: "tasks a batch", min: 5, max: 50, step: 5, onchange: set("tasks")}),
    shots: slider({label: "points K", min: 2, max: 20, onchange: set("shots")}),
    seed: slider({label: "seed", max: streams.length - 1, onchange: set("seed")}),
    fit: slider({label: "steps in the fit", max: 10, onchange: value => { state.fit = value; ask(); remember(); }}),
  };
  const start = button("Train", () => { going = !going; worker.postMessage({go: going}); label(); });
  const label = () => { start.textContent = going ? "Pause" : seen?.iteration ? "Go on" : "Train"; };
  const bar = html("progress", {max: last, value: 0, "aria-label": "iterations done"}), told = html("span", {class: "l2l-told"});
  const spoken = html("div", {class: "l2l-spoken", role: "status"});
  const table = numbersTable("results as numbers", ["method", "gradient norm", "query error before", "after 1 step", "after 10 steps"]);
  const cells = [{}, {}, {class: "l2l-across"}].map(kind => html("div", kind));
  panel.append(
    html("div", {class: "l2l-row"}, start, button("Reset", () => reset()), bar, told),
    html("div", {class: "l2l-row"}, ...methods.map(m => html("span", {class: "l2l-check"}, swatch(styles[m]), styles[m].label))),
    html("div", {class: "l2l-plots"}, ...cells),
    html("div", {class: "l2l-controls"}, ...Object.values(controls).map(control => control.root)),
    table.root,
    html("p", {class: "l2l-note"}, settings.note), spoken);
  const norms = new Plot(cells[0], {title: "norm of the initial adaptation gradient", xlabel: "outer iteration", ylabel: "initial gradient norm", x: [0, 200], y: [0, 10], height: 240});
  const curve = new Plot(cells[1], {title: "query error after each adaptation step", xlabel: "adaptation steps", ylabel: "query error", x: [0, 10], y: [0.05, 20], height: 240, log: true});
  const fits = new Plot(cells[2], {title: "one task, with points on half of the axis", xlabel: "x", ylabel: "y", x: family.x_range, y: [-6, 6], height: 240});
  const grid = Float64Array.from({length: 121}, (_, i) => family.x_range[0] + (family.x_range[1] - family.x_range[0]) * i / 120);
  const truth = x => task.A * Math.sin(x + task.b), support = {x: task.x, y: task.x.map(truth)};

  function reset() {
    going = false;
    seen = null;
    worker.postMessage({go: false, settings: {...defaults, ...state, sizes, methods, family, last, ...settings.measured,
      train: streams[state.seed]}});
    for (const name of Object.keys(controls)) controls[name].value = state[name];
    label();
    remember();
  }
  worker.onmessage = ({data}) => {
    if (!root.isConnected) { worker.terminate(); return; }
    seen = data;
    if (seen.iteration >= last) going = false;
    ask();
  };
  worker.onerror = event => { told.textContent = `Training stopped: ${event.message}`; going = false; label(); };

  function room(plot, ...reach) {  // grows the axes, by steps, so that they don't creep
    const [across, up] = reach.map(roundUp);
    if (plot.x[1] === across && plot.y[1] === up) return;
    Object.assign(plot, {x: [0, across], y: [0, up]});
    plot.fit();
  }

  function draw() {
    fits.task(grid, grid.map(truth), task.x, truthStyle);
    label();
    root.l2l = {state, seen, going};
    const whole = n => Math.round(n).toLocaleString("en-GB"), done = seen?.iteration ?? 0;
    bar.value = done;
    told.textContent = `${whole(done)} of ${whole(last)} iterations${seen?.rate ? `, ${whole(seen.rate)} a second` : ""}`;
    table.fill(methods.map(method => {
      const {history, curve: errors} = seen?.shown[method] ?? {};
      return [method, styles[method].label, ...(seen ? [history.norm.at(-1), errors[0], errors[1], errors[10]].map(readable) : Array(4).fill("–"))];
    }));
    if (!seen) return;
    const {iteration, shown} = seen, all = methods.map(m => shown[m]);
    room(norms, Math.max(200, iteration), Math.max(...all.flatMap(({history}) => history.norm.filter(Number.isFinite)), 5));
    for (const method of methods) {
      const {values, history, curve: errors} = shown[method];
      norms.line(method, history.iteration, history.norm, styles[method]);
      curve.line(method, errors.map((_, k) => k), errors, styles[method]);
      fits.line(method, grid, sweep(adapt({sizes, values}, support, state.alpha, state.fit).at(-1), grid), styles[method]);
    }
    curve.now(state.fit);
    support.x.forEach((x, j) => fits.dot(`point ${j}`, x, support.y[j], {color: "currentColor"}, 5));
    if (!going) say();
  }
  const say = later(600, () => {
    if (seen) spoken.textContent = `${seen.iteration} iterations. Query error after 10 steps: ${methods.map(m => `${styles[m].label} ${readable(seen.shown[m].curve[10])}`).join(", ")}`;
  });
  const ask = eachFrame(draw);

  const NAMES = ["alpha", "steps", "tasks", "shots", "seed", "fit"];
  const address = new Address(root, "metatrain", given => {
    for (const name of NAMES) {
      const asked = within(given[name], ...controls[name].bounds, state[name]);
      state[name] = name === "alpha" ? asked : Math.round(asked);
    }
    if (root.dataset.live === "yes") reset();
  });
  const remember = () => address.write(Object.fromEntries(NAMES.map(name => [name, state[name]])));
  reset();
  return () => {
    [norms, curve, fits].forEach(p => p.fit());
    draw();
  };
}
