// Meta-training of one method, outside the page's own thread, with about ten progress reports a second. A message
// {settings, kernel, go} starts a new training if it has settings; `go` says whether training runs or pauses.

import {loadKernel} from "../maths/kernel.js";
import {begin, measure, update} from "../maths/training.js";

let training = null, kernel, spent = 0, timer;  // spent: milliseconds

const due = iteration => iteration % (iteration < 100 ? 10 : iteration < 1000 ? 50 : 250) === 0;

function report() {
  const {iteration, learner: {theta, rates}, history, curve, precision} = training;
  postMessage({iteration, rate: spent ? 1000 * iteration / spent : 0, values: theta.values, rates, history, curve,
    precision});
}

function work() {
  const began = performance.now();
  while (performance.now() - began < 80 && training.iteration < training.last) {
    update(training);
    if (due(training.iteration) || training.iteration === training.last) measure(training);
  }
  spent += performance.now() - began;
  report();
  if (training.iteration < training.last) timer = setTimeout(work);
}

globalThis.onmessage = ({data: {settings, kernel: code, go}}) => {
  if (settings) {
    kernel ??= loadKernel(code);
    training = begin(settings, kernel);
    spent = 0;
    measure(training);
    report();
  }
  clearTimeout(timer);
  if (go) timer = setTimeout(work);
};
