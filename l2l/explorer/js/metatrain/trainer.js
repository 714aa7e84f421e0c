// What a reader sets in the explorer "metatrain", and the worker that trains with it.

export class Trainer {
  constructor(settings, methods, {changed, failed}) {
    const {alpha, steps, tasks, shots} = settings.defaults;
    Object.assign(this, {settings, methods, changed, state: {alpha, steps, tasks, shots, seed: 0, fit: 10}});
    this.seen = null;  // the worker's last message
    this.going = false;
    const url = URL.createObjectURL(new Blob([settings.worker], {type: "text/javascript"}));
    this.worker = new Worker(url);
    this.worker.onmessage = ({data}) => this.receive(data);
    this.worker.onerror = event => { this.going = false; failed(event.message); };
  }

  reset() {
    const {settings: {defaults, sizes, family, last, measured, streams}, state, methods} = this;
    this.going = false;
    this.seen = null;
    this.worker.postMessage({go: false,
      settings: {...defaults, ...state, sizes, methods, family, last, ...measured, train: streams[state.seed]}});
  }

  toggle() {
    this.going = !this.going;
    this.worker.postMessage({go: this.going});
  }

  receive(message) {
    this.seen = message;
    if (message.iteration >= this.settings.last) this.going = false;
    this.changed();
  }
}
