// Meta-training, away from the page's own thread: every method in turn takes one outer step on the same batch, from the
// same first parameters, as l2l.train does for one seed. Says how things stand about ten times a second.

const TEST_STEPS = 10;
let training = null;

function begin(settings) {
  const {sizes, methods, seed, train, heldOut, metaTest, family, tasks, shots} = settings;
  const start = initialParameters(sizes, seed), batch = {tasks, shots, query: settings.query};
  const generator = new Generator(train);
  return {
    ...settings, batch, generator, iteration: 0, spent: 0,
    held: sampleTasks(new Generator(heldOut), {...batch, tasks: settings.heldOutTasks}, family),
    test: sampleTasks(new Generator(metaTest), {tasks: settings.testTasks, shots, query: 100}, family).map(({support, query}) => {
      const order = query.x.map((_, i) => i).sort((i, j) => query.x[i] - query.x[j]);  // for `sweep`
      return {support, query: {x: order.map(i => query.x[i]), y: order.map(i => query.y[i])}};
    }),
    learners: Object.fromEntries(methods.map(method => [method, {
      theta: {sizes, values: start.values.slice()},
      adam: {t: 0, m: new Float64Array(start.values.length), v: new Float64Array(start.values.length)},
      history: {iteration: [], norm: []}, curve: [],
    }])),
  };
}

function update({learners, generator, batch, family, alpha, steps, beta}) {
  const drawn = sampleTasks(generator, batch, family);
  for (const [method, learner] of Object.entries(learners)) {
    adam(learner.theta, batchGradient(method, learner.theta, drawn, alpha, steps).grad, learner.adam, beta);
  }
}

// The mean norm of the first adaptation gradient, and the mean query error after 0, 1, … adaptation steps.
function measure({learners, held, test, alpha, iteration}) {
  for (const {theta, history, curve} of Object.values(learners)) {
    history.iteration.push(iteration);
    history.norm.push(held.reduce((sum, task) => sum + Math.hypot(...gradient(theta, task.support).grad), 0) / held.length);
    curve.length = 0;
    curve.push(...Array(TEST_STEPS + 1).fill(0));
    for (const {support, query} of test) adapt(theta, support, alpha, TEST_STEPS).forEach((phi, k) => {
      curve[k] += meanSquare(sweep(phi, query.x), query.y) / test.length;
    });
  }
}
const due = iteration => iteration % (iteration < 100 ? 10 : iteration < 1000 ? 50 : 250) === 0;

function report({iteration, spent, learners}) {
  const shown = Object.fromEntries(Object.entries(learners).map(([method, {theta, history, curve}]) =>
    [method, {values: theta.values, history, curve}]));
  postMessage({iteration, rate: spent ? 1000 * iteration / spent : 0, shown});
}

let timer;
function work() {
  const began = performance.now();
  while (performance.now() - began < 80 && training.iteration < training.last) {
    update(training);
    training.iteration += 1;
    if (due(training.iteration) || training.iteration === training.last) measure(training);
  }
  training.spent += performance.now() - began;
  report(training);
  if (training.iteration < training.last) timer = setTimeout(work);
}

onmessage = ({data: {settings, go}}) => {
  if (settings) {
    training = begin(settings);
    measure(training);
    report(training);
  }
  clearTimeout(timer);
  if (go) timer = setTimeout(work);
};
