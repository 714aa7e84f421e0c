// What learner.js does, in single precision by kernel.wasm (see kernel/kernel.c): some ten times faster.

import {remainders} from "./adam.js";
import {innerRates} from "./methods.js";
import {layersOf} from "./net.js";

const NUMBERS = {maml: 0, anil: 0, "meta-sgd": 0, fomaml: 1, pretrain: 2, reptile: 3};  // MAML has rates of any kind
const filledUp = width => Math.ceil(width / 4) * 4;

// The kernel, or null where the browser or the page's content policy doesn't let it run.
export function loadKernel(base64) {
  try {
    const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
    return new WebAssembly.Module(bytes);
  } catch {
    return null;
  }
}

// Where each parameter lies among the kernel's, whose rows are filled up with zeros.
function placesOf(sizes) {
  const places = [];
  let at = 0;
  for (const {fanIn, fanOut} of layersOf(sizes)) for (let i = 0; i <= fanIn; i++, at += filledUp(fanOut))
    for (let k = 0; k < fanOut; k++) places.push(at + k);
  return places;
}

export class KernelLearner {
  constructor(kernel, settings, {values}) {
    const {method, sizes, alpha, tasks, shots, query, testSteps, testQuery, steps} = settings;
    const k = new WebAssembly.Instance(kernel).exports, room = count => ({at: k.room(count), count});
    layersOf(sizes).forEach(({fanIn, fanOut}) => k.add_layer(fanIn, fanOut));
    const most = shots + Math.max(query, testQuery), size = k.ready(most, Math.max(steps, testSteps));
    const parameters = () => Object.fromEntries(["values", "grad", "m", "v"].map(name => [name, room(size)]));
    Object.assign(this, settings, {k, places: placesOf(sizes), initial: parameters(), log: parameters(), t: 0});
    Object.assign(this, {a: room(size), x: room(tasks * most), y: room(tasks * most), out: room(testSteps + 1)});
    const rates = innerRates(method, sizes, alpha);
    this.put(this.initial.values, values);
    this.put(this.a, rates);
    this.put(this.log.values, rates.map(Math.log));
  }

  numbers({at, count}) { return new Float32Array(this.k.memory.buffer, at, count); }  // until memory grows

  put(room, values) {
    const numbers = this.numbers(room);
    this.places.forEach((place, i) => { numbers[place] = values[i]; });
  }

  taken(room) {
    const numbers = this.numbers(room);
    return Float64Array.from(this.places, place => numbers[place]);
  }

  get theta() { return {sizes: this.sizes, values: this.taken(this.initial.values)}; }
  get rates() { return this.taken(this.a); }

  putTasks(tasks) {
    const x = this.numbers(this.x), y = this.numbers(this.y);
    let at = 0;
    for (const {support, query} of tasks) for (const points of [support, query]) {
      x.set(points.x, at);
      y.set(points.y, at);
      at += points.x.length;
    }
  }

  // The meta-gradient, left in the kernel. Returns the loss.
  gradient(batch) {
    const {k, method, steps, shots, query, initial, log, a, x, y} = this;
    this.putTasks(batch);
    return k.batch_gradient(NUMBERS[method], initial.values.at, a.at, steps, batch.length, shots, query, x.at, y.at,
      initial.grad.at, method === "meta-sgd" ? log.grad.at : 0);
  }

  adam({values, grad, m, v}) {
    this.k.adam(values.at, grad.at, m.at, v.at, this.beta, ...remainders(this.t));
  }

  update(batch) {
    this.gradient(batch);
    this.t += 1;
    this.adam(this.initial);
    if (this.method !== "meta-sgd") return;
    const rates = this.numbers(this.a), byRates = this.numbers(this.log.grad), logs = this.numbers(this.log.values);
    for (const place of this.places) byRates[place] *= rates[place];  // the derivative with respect to their logarithms
    this.adam(this.log);
    for (const place of this.places) rates[place] = Math.exp(logs[place]);
  }

  norm(support) {
    this.putTasks([{support, query: {x: [], y: []}}]);
    return this.k.norm(this.initial.values.at, support.x.length, this.x.at, this.y.at);
  }

  errors(task, steps) {
    const {k, initial, a, x, y, out} = this;
    this.putTasks([task]);
    k.errors(initial.values.at, a.at, steps, task.support.x.length, task.query.x.length, x.at, y.at, out.at);
    return Array.from(this.numbers(out)).slice(0, steps + 1);
  }
}
