// One method's meta-training in plain JavaScript, from the first parameters `start`.

import {adam, adamInit} from "./adam.js";
import {adaptationPath, batchGradient, innerRates} from "./methods.js";
import {gradient, meanSquare} from "./net.js";
import {sweep} from "./sweep.js";

export class Learner {
  constructor({method, sizes, alpha, steps, beta}, start) {
    Object.assign(this, {method, steps, beta, theta: start, rates: innerRates(method, sizes, alpha)});
    this.adamState = adamInit(start);
    this.logRates = {values: this.rates.map(Math.log)};  // that Meta-SGD trains too
    this.adamOfRates = adamInit(start);
  }

  update(batch) {
    const {method, theta, rates, steps, beta, logRates} = this;
    const {grad, byRates} = batchGradient(method, theta, batch, rates, steps);
    adam(theta, grad, this.adamState, beta);
    if (!byRates) return;
    adam(logRates, byRates.map((g, i) => g * rates[i]), this.adamOfRates, beta);
    logRates.values.forEach((log, i) => { rates[i] = Math.exp(log); });
  }

  // The norm of the first adaptation gradient.
  norm(support) {
    return Math.hypot(...gradient(this.theta, support).grad);
  }

  // The query error after 0, 1, … adaptation steps, at x in increasing order.
  errors({support, query}, steps) {
    return adaptationPath(this.theta, support, this.rates, steps).map(phi => meanSquare(sweep(phi, query.x), query.y));
  }
}
