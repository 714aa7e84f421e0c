// The explorer "line10": a few tasks with known losses, the inner paths from one start, and four directions for it.
// Along its own axes e_j a task is L(θ) = Σ_j h_j (u_j²/2 + κ u_j⁴/4), u_j = e_j·(θ - c): a parabola where κ is 0.

const LEVEL = 0.15;  // the loss at which a task's handles of curvature sit
const [SMALLEST, LARGEST] = [0.08, 4];  // curvatures
const WAYS = ["exact", "first", "frozen", "reptile"];

const dot = (v, w) => v.reduce((sum, value, j) => sum + value * w[j], 0);
const add = (v, factor, w) => v.map((value, j) => value + factor * w[j]);
const norm = v => Math.hypot(...v);
const mean = vectors => vectors.reduce((sum, v) => add(sum, 1 / vectors.length, v), vectors[0].map(() => 0));
const axes = ({c, a}) => c.length === 1 ? [[1]] : [[Math.cos(a), Math.sin(a)], [-Math.sin(a), Math.cos(a)]];

// Σ_j weight(h_j, u_j, e_j) e_j: what loss, gradient and Hessian-vector product have in common.
function alongAxes(task, theta, weight) {
  return axes(task).reduce((sum, e, j) => add(sum, weight(task.h[j], dot(e, add(theta, -1, task.c)), e), e), theta.map(() => 0));
}
const taskGradient = (task, theta, bend) => alongAxes(task, theta, (h, u) => h * (u + bend * u ** 3));
const taskHessian = (task, theta, v, bend) => alongAxes(task, theta, (h, u, e) => h * (1 + 3 * bend * u * u) * dot(e, v));
const taskLoss = (task, theta, bend) =>
  axes(task).reduce((sum, e, j) => { const u = dot(e, add(theta, -1, task.c)); return sum + task.h[j] * (u * u / 2 + bend * u ** 4 / 4); }, 0);

function innerPath(task, theta, alpha, steps, bend) {
  const path = [theta];
  for (let k = 0; k < steps; k++) path.push(add(path[k], -alpha, taskGradient(task, path[k], bend)));
  return path;
}

// What each method descends at θ, the mean over tasks; support and query loss are the same.
function direction(way, tasks, theta, {alpha, steps, bend}) {
  return mean(tasks.map(task => {
    const path = innerPath(task, theta, alpha, steps, bend);
    if (way === "reptile") return add(theta, -1, path[steps]).map(value => value / alpha);
    let v = taskGradient(task, path[steps], bend);
    if (way !== "first") for (let k = steps - 1; k >= 0; k--)
      v = add(v, -alpha, taskHessian(task, way === "frozen" ? theta : path[k], v, bend));
    return v;
  }));
}

// Where a method comes to rest on parabolas: θ* = (Σ W_i)⁻¹ Σ W_i c_i; null where it is pushed away from there.
function restingPoint(way, tasks, {alpha, steps}) {
  const weight = h => {
    const left = (1 - alpha * h) ** steps;
    return {exact: h * left * left, frozen: h * left * left, first: h * left, reptile: (1 - left) / alpha}[way];
  };
  const size = tasks[0].c.length, W = Array.from({length: size}, () => Array(size).fill(0)), Wc = Array(size).fill(0);
  for (const task of tasks) axes(task).forEach((e, j) => {
    for (let p = 0; p < size; p++) {
      for (let q = 0; q < size; q++) W[p][q] += weight(task.h[j]) * e[p] * e[q];
      Wc[p] += weight(task.h[j]) * e[p] * dot(e, task.c);
    }
  });
  if (size === 1) return W[0][0] > 1e-12 ? [Wc[0] / W[0][0]] : null;
  const det = W[0][0] * W[1][1] - W[0][1] * W[1][0];
  if (!(det > 1e-12) || !(W[0][0] > 0)) return null;  // not positive definite
  return [(W[1][1] * Wc[0] - W[0][1] * Wc[1]) / det, (W[0][0] * Wc[1] - W[1][0] * Wc[0]) / det];
}

const radius = (h, bend, level) => Math.sqrt(2 * level / (h / 2 + Math.sqrt(h * h / 4 + bend * h * level)));
const curvatureAt = (r, bend, level) => level / (r * r / 2 + bend * r ** 4 / 4);

// The second handle sits on the side where there is more room; the first, which also turns the task, stays where it is.
const side = (task, j) => j === 1 && dot(task.c, axes(task)[j]) > 0 ? -1 : 1;

function buildLine10(root, panel, {styles, presets}) {
  const state = {dims: 1, tasks: [], theta: [], alpha: 0.5, steps: 1, bend: 0, equal: false};
  let places = null, rested = false, handles = [], madeFor = "";
  const copy = value => JSON.parse(JSON.stringify(value));
  const forget = () => { play.stop(); places = null; };
  const set = name => value => { forget(); state[name] = value; refresh(); };
  const controls = {
    alpha: slider({label: "step size α", min: 0.05, max: 1.2, step: 0.05, show: v => v.toFixed(2), onchange: set("alpha")}),
    steps: slider({label: "inner steps K", min: 1, max: 10, onchange: set("steps")}),
    bend: slider({label: "bend κ", min: 0, max: 0.5, step: 0.02, show: v => v.toFixed(2), onchange: set("bend")}),
    count: slider({label: "tasks", min: 1, max: 3, onchange: n => {
      forget();
      const more = copy(presets.find(({tasks}) => tasks.length === 3).tasks)
        .map(({c, h, a}) => ({c: c.slice(0, state.dims), h: h.slice(0, state.dims), a: state.dims === 1 ? 0 : a}));
      state.tasks = [...state.tasks, ...more.slice(state.tasks.length)].slice(0, n);
      refresh();
    }}),
    equal: checkbox({label: "arrows of equal length", onchange: on => { state.equal = on; refresh(); }}),
  };
  const scenes = {};  // the other number of dimensions, as it was left
  const turn = dims => {
    forget();
    scenes[state.dims] = copy({tasks: state.tasks, theta: state.theta});
    const {tasks, theta} = scenes[dims] ?? presets.find(preset => preset.theta.length === dims);
    Object.assign(state, {dims, ...copy({tasks, theta})});
    refresh();
  };
  const dimensions = [1, 2].map(dims => button(`${dims} parameter${dims > 1 ? "s" : ""}`, () => turn(dims)));
  const use = ({name, ...preset}) => { forget(); Object.assign(state, {equal: false}, copy(preset), {dims: preset.theta.length}); refresh(); };

  const iteration = () => {  // each method takes one outer step, at a rate that suits the curvature it meets
    let moving = false;
    for (const way of WAYS) {
      const here = places[way].at(-1), v = direction(way, state.tasks, here, state), small = 1e-4;
      const curvature = norm(here.map((_, j) => norm(add(direction(way, state.tasks, here.map((t, q) => t + (q === j) * small), state), -1, v)) / small));
      const next = add(here, -0.5 / Math.max(curvature, 1e-9), v), move = norm(add(next, -1, here));
      if (!(norm(here) < 50) || move <= 1e-7) continue;
      places[way].push(next);
      moving = true;
    }
    return moving;
  };
  const play = player("Play", () => {
    if (!places || rested) places = Object.fromEntries(WAYS.map(way => [way, [state.theta]]));
    let moving = true;
    for (let n = calm() ? 4000 : 2; n > 0 && moving; n--) moving = iteration();
    rested = !moving;
    refresh();
    return moving;
  }, 30);

  const top = html("div"), spoken = html("div", {class: "l2l-spoken", role: "status"});
  const table = numbersTable("directions as numbers", ["method", "direction at θ", "length ÷ exact", "angle to exact", "comes to rest at"]);
  panel.append(
    html("div", {class: "l2l-row", role: "group", "aria-label": "ready-made tasks"}, "Try:", ...presets.map(p => button(p.name, () => use(p)))),
    html("div", {class: "l2l-row", role: "group", "aria-label": "number of parameters"}, ...dimensions, play.root, button("Back to θ", () => { forget(); refresh(); })),
    top,
    html("div", {class: "l2l-controls"}, ...Object.values(controls).map(control => control.root)),
    table.root,
    html("p", {class: "l2l-note"}, "Drag the minima (diamonds), the curvatures (squares) and the start θ (disc), or move them with the arrow keys. Arrows point where a descent goes, each as long as its direction; if the longest would leave the figure, all are shortened by one factor. ",
      "Rings mark where each descent comes to rest, by the closed form for parabolas. On parabolas (κ = 0) a Hessian is the same everywhere, so taking all of them at θ does no harm; bend them and see."), spoken);
  const line = new Plot(top, {title: "losses of the tasks over θ, and four directions", xlabel: "θ", ylabel: "loss", x: [-3, 3], y: [-0.62, 1.5], lowest: 0, height: 360});
  const plane = new Plot(top, {title: "tasks in the plane, inner paths, and four directions", xlabel: "θ₁", ylabel: "θ₂", x: [-3, 3], y: [-2.1, 2.1], ratio: 0.7});

  const DIAMOND = "M0 -8L8 0L0 8L-8 0Z", SQUARE = "M-5.5 -5.5H5.5V5.5H-5.5Z";
  function makeHandles(plot) {
    handles.forEach(handle => handle.root.remove());
    const flat = state.dims === 1, dimensions = state.dims;
    const bound = (v, size) => v.map(value => round(clamp(value, -size, size), 0.01));
    const moves = put => (x, y) => { forget(); put(flat ? [x] : [x, y]); refresh(); };
    const name = v => v.map(value => value.toFixed(2)).join(", ");
    handles = state.tasks.flatMap((_, i) => [
      plot.handle({label: `minimum of task ${i + 1}`, symbol: DIAMOND, dimensions, range: [-2.5, 2.5], step: 0.05,
        at: () => flat ? [state.tasks[i].c[0], 0] : state.tasks[i].c, describe: () => name(state.tasks[i].c),
        moved: moves(v => { state.tasks[i].c = bound(v, flat ? 2.5 : 2); })}),
      ...state.tasks[i].h.map((_, j) => plot.handle({label: `curvature ${flat ? "" : `${j + 1} `}of task ${i + 1}`, symbol: SQUARE, dimensions, range: [SMALLEST, LARGEST], step: 0.05,
        at: () => {
          const task = state.tasks[i], place = add(task.c, side(task, j) * radius(task.h[j], state.bend, LEVEL), axes(task)[j]);
          return flat ? [place[0], LEVEL] : place;
        },
        value: () => state.tasks[i].h[j], describe: () => `h ${state.tasks[i].h[j].toFixed(2)}${!flat && j === 0 ? `, angle ${Math.round(state.tasks[i].a * 180 / Math.PI)}°` : ""}`,
        moved: moves(v => {
          const task = state.tasks[i], away = add(v, -1, task.c);
          if (!flat && j === 0 && norm(away) > 0.05) task.a = round(Math.atan2(away[1], away[0]), 0.01);  // the first also turns the task
          const r = !flat && j === 0 ? norm(away) : side(task, j) * dot(away, axes(task)[j]);
          task.h[j] = round(clamp(r > 0 ? curvatureAt(r, state.bend, LEVEL) : LARGEST, SMALLEST, LARGEST), 0.01);
        })})),
    ]);
    handles.push(plot.handle({label: "start θ", dimensions, range: plot.x, step: 0.05, at: () => flat ? [state.theta[0], 0] : state.theta,
      describe: () => name(state.theta), moved: moves(v => { state.theta = bound(v, flat ? 2.9 : 2); })}));
  }

  function draw() {
    const flat = state.dims === 1, plot = flat ? line : plane, {tasks, theta, alpha, steps, bend} = state;
    (flat ? plane : line).root.style.display = "none";
    plot.root.style.display = "";
    if (!plot.w) plot.fit();
    const shape = `${state.dims} ${tasks.length}`;
    if (madeFor !== shape) { makeHandles(plot); madeFor = shape; }
    const v = Object.fromEntries(WAYS.map(way => [way, direction(way, tasks, theta, state)]));
    const rest = Object.fromEntries(WAYS.map(way => [way, bend ? null : restingPoint(way, tasks, state)]));
    const longest = Math.max(...WAYS.map(way => norm(v[way])));
    const scale = way => state.equal ? 0.9 / norm(v[way]) : Math.min(1, 1.6 / longest);
    const grey = (opacity, width = 1.4) => ({color: "currentColor", width, opacity});
    for (let i = 0; i < 3; i++) {
      const keys = [`loss ${i}`, `loss ${i}b`, `path ${i}`, `name ${i}`, ...Array.from({length: 11}, (_, k) => `path ${i} ${k}`)];
      const task = tasks[i];
      if (!task) { plot.hide(...keys); continue; }
      if (flat) {
        const x = Array.from({length: 121}, (_, n) => -3 + n / 20);
        plot.line(keys[0], x, x.map(t => taskLoss(task, [t], bend)), grey(0.75));
      } else [LEVEL, 4 * LEVEL].forEach((level, n) => {
        const [e, f] = axes(task), around = Array.from({length: 73}, (_, s) => {
          const t = s * Math.PI / 36, p = [Math.cos(t) / Math.sqrt(task.h[0]), Math.sin(t) / Math.sqrt(task.h[1])];
          const r = radius(1, bend * (task.h[0] * p[0] ** 4 + task.h[1] * p[1] ** 4), level);  // L(c + r p) is the level
          return add(add(task.c, r * p[0], e), r * p[1], f);
        });
        plot.line(keys[n], around.map(p => p[0]), around.map(p => p[1]), grey(0.75 - 0.3 * n));
      });
      const path = innerPath(task, theta, alpha, steps, bend), up = flat ? path.map(p => taskLoss(task, p, bend)) : path.map(p => p[1]);
      plot.line(keys[2], path.map(p => p[0]), up, grey(0.9));
      keys.slice(4).forEach((key, k) => k > 0 && k <= steps && Number.isFinite(up[k]) ? plot.dot(key, path[k][0], up[k], {color: "currentColor"}, 2.6) : plot.hide(key));
      const [x, y] = flat ? [task.c[0], 0] : task.c;
      plot.item(keys[3], "text", {class: "l2l-name", x: plot.px(x) + 10, y: plot.py(y) - 10}).textContent = `${i + 1}`;
    }
    WAYS.forEach((way, n) => {
      const row = -0.14 - 0.13 * n, from = flat ? [theta[0], row] : theta, style = styles[way];
      const to = flat ? [theta[0] - scale(way) * v[way][0], row] : add(theta, -scale(way), v[way]);
      if (norm(v[way]) < Infinity && norm(v[way]) > 0 && !places) plot.arrow(way, from, to, style);
      else plot.hide(way, `${way} head`);
      if (rest[way]) plot.dot(`${way} rest`, rest[way][0], flat ? row : rest[way][1], style, way === "frozen" ? 10 : 7).setAttribute("class", "l2l-ring");
      else plot.hide(`${way} rest`);
      const trail = places?.[way].filter(p => norm(p) < 50);
      if (trail) {
        plot.line(`${way} trail`, trail.map(p => p[0]), trail.map(p => flat ? row : p[1]), style);
        plot.dot(`${way} place`, trail.at(-1)[0], flat ? row : trail.at(-1)[1], style, 5);
      } else plot.hide(`${way} trail`, `${way} place`);
    });
    handles.forEach(handle => handle.place());
    const vector = p => p.map(readable).join(", ").replaceAll("-", "−");
    const where = way => rest[way] ? vector(rest[way]) : !bend ? "nowhere: pushed away" : !places ? "press Play" : norm(places[way].at(-1)) < 50 ? vector(places[way].at(-1)) : "runs away";
    table.fill(WAYS.map(way => {
      const cosine = dot(v[way], v.exact) / norm(v[way]) / norm(v.exact), angle = Math.acos(clamp(cosine, -1, 1)) * 180 / Math.PI;
      return [way, [swatch(styles[way]), " ", styles[way].label],
        vector(v[way]), readable(norm(v[way]) / norm(v.exact)), Number.isFinite(angle) ? `${angle.toFixed(1)}°` : "–", where(way)];
    }));
    root.l2l = {state, directions: v, rest, places: places && Object.fromEntries(WAYS.map(way => [way, places[way].at(-1)])), playing: play.playing};
    address.write({d: state.dims, theta, c: tasks.flatMap(t => t.c), h: tasks.flatMap(t => t.h), a: tasks.map(t => t.a), alpha, steps, bend, equal: +state.equal});
    say(where);
  }
  const say = later(500, where => {
    spoken.textContent = `Comes to rest: ${WAYS.map(way => `${styles[way].label} ${where(way)}`).join("; ")}`;
  });
  const ask = eachFrame(draw);
  function refresh() {
    for (const name of ["alpha", "steps", "bend", "equal"]) controls[name].value = state[name];
    controls.count.value = state.tasks.length;
    dimensions.forEach((choice, n) => choice.setAttribute("aria-pressed", state.dims === n + 1));
    ask();
  }

  const {name: _, ...first} = copy(presets[0]);
  Object.assign(state, first, {dims: first.theta.length});
  const address = new Address(root, "line10", given => {
    const dims = given.d === "1" ? 1 : 2, all = ["theta", "c", "h", "a"].map(name => numbers(given[name]));
    const [theta, c, h, a] = all, count = Math.min(3, Math.floor(c.length / dims));
    if (theta.length !== dims || !count || h.length < dims * count || a.length < count) return;
    forget();
    Object.assign(state, {dims, theta: theta.map(v => clamp(v, -2.9, 2.9)), tasks: Array.from({length: count}, (_, i) => ({
      c: c.slice(dims * i, dims * (i + 1)).map(v => clamp(v, -2.5, 2.5)), h: h.slice(dims * i, dims * (i + 1)).map(v => clamp(v, SMALLEST, LARGEST)), a: a[i]}))});
    Object.assign(state, {alpha: within(given.alpha, 0.05, 1.2, state.alpha), steps: Math.round(within(given.steps, 1, 10, state.steps)), bend: within(given.bend, 0, 0.5, state.bend), equal: given.equal === "1"});
    if (root.dataset.live === "yes") refresh();
  });
  return () => {
    line.w = plane.w = 0;
    refresh();
    draw();
  };
}
