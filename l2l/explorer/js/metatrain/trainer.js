// What a reader sets in the explorer "metatrain", and a worker for each method that trains with it.

export class Trainer {
  constructor(settings, {changed, failed}) {
    const {defaults: {alpha, steps, tasks, shots}, family: {amplitude, phase}, shown} = settings;
    Object.assign(this, {settings, changed, failed, workers: {}});
    this.state = {methods: [...shown], alpha, steps, tasks, shots, seed: 0, fit: 10,
      lowA: amplitude[0], highA: amplitude[1], lowB: phase[0], highB: phase[1]};
    this.seen = {};  // the last message of each method's worker
    this.going = false;
    this.url = URL.createObjectURL(new Blob([settings.worker], {type: "text/javascript"}));
  }

  // Every shown method begins afresh.
  reset() {
    this.going = false;
    this.seen = {};
    Object.keys(this.workers).forEach(method => this.begin(method));
    this.show();
  }

  // Workers for the methods that are shown, and for no others.
  show() {
    const {state: {methods}, workers, seen} = this;
    for (const method of Object.keys(workers).filter(method => !methods.includes(method))) {
      workers[method].terminate();
      delete workers[method];
      delete seen[method];
    }
    for (const method of methods.filter(method => !workers[method])) {
      const worker = workers[method] = new Worker(this.url);
      worker.onmessage = ({data}) => this.receive(method, data);
      worker.onerror = event => {
        this.going = false;
        this.failed(event.message ?? "the page's content security policy blocks workers (worker-src blob:)");
      };
      this.begin(method);
    }
  }

  begin(method) {
    const {settings: {defaults, sizes, family, last, measured, streams, kernel}, state} = this;
    const {lowA, highA, lowB, highB} = state, own = {...family, amplitude: [lowA, highA], phase: [lowB, highB]};
    this.workers[method].postMessage({go: this.going, kernel,
      settings: {...defaults, ...state, method, sizes, family: own, last, ...measured, train: streams[state.seed]}});
  }

  toggle() {
    this.going = !this.going;
    Object.values(this.workers).forEach(worker => worker.postMessage({go: this.going}));
  }

  receive(method, message) {
    this.seen[method] = message;
    const {state: {methods}, seen, settings: {last}} = this;
    if (methods.every(name => seen[name]?.iteration >= last)) this.going = false;
    this.changed();
  }

  end() {
    Object.values(this.workers).forEach(worker => worker.terminate());
    URL.revokeObjectURL(this.url);
  }
}
