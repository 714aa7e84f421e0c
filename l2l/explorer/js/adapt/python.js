// What the explorer "adapt" shows, with l2l.

import {listed} from "../page/share.js";
import {STEPS, valueOf} from "./state.js";

export function adaptAsPython(state, {iterations, family: {x_range: [low, high]}}) {
  const {A, b, x, alpha, steps, iteration, show} = state, y = x.map((_, j) => valueOf(state, j));
  return `import torch
import l2l

x = torch.tensor(${listed(x)}, dtype=torch.float64)[:, None]
y = torch.tensor(${listed(y)}, dtype=torch.float64)[:, None]
axis = ${low} + ${high - low} * (torch.arange(50, dtype=torch.float64)[:, None] + 0.5) / 50
task = l2l.Batch(x[None], y[None], axis[None], ${A} * torch.sin(axis + ${b})[None])
for method in ${listed(show.map(method => `"${method}"`))}:
    run = l2l.Run.stored("maml" if method == "untrained" else method)
    kept = run.checkpoints | {run.iteration: run.theta}
    theta = kept[0 if method == "untrained" else ${iteration}]
    theta = {name: p[0].double() for name, p in theta.items()}
    curve = l2l.adaptation_curve(theta, task, alpha=${alpha}, steps=${STEPS})
    support, query = curve.support[:, 0], curve.query[:, 0]
    print(method, support[${steps}].item(), query[${steps}].item(), query[0].item())
`;
}
