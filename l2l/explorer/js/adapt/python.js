// What the explorer "adapt" shows, with l2l.

import {HEAD_LOOP, OWN_RATES} from "../page/relatives.js";
import {listed} from "../page/share.js";
import {STEPS, valueOf} from "./state.js";

const STORED = {untrained: "maml", reptile: "explorer-reptile", anil: "explorer-anil",
  "meta-sgd": "explorer-meta-sgd"};
const RELATIVES = `
${HEAD_LOOP}
${OWN_RATES}

RELATIVES = {
    "reptile": l2l.Method("reptile", l2l.maml),
    "anil": l2l.Method("head", l2l.maml, head_loop),
    "meta-sgd": l2l.Method("meta-sgd", l2l.maml, own_rates, with_rates),
}
`;

export function adaptAsPython(state, {family: {x_range: [low, high]}}) {
  const {A, b, x, alpha, steps, iteration, show} = state, y = x.map((_, j) => valueOf(state, j));
  return `import torch
import l2l
${show.some(method => ["reptile", "anil", "meta-sgd"].includes(method)) ? RELATIVES : "\nRELATIVES = {}\n"}
x = torch.tensor(${listed(x)}, dtype=torch.float64)[:, None]
y = torch.tensor(${listed(y)}, dtype=torch.float64)[:, None]
axis = ${low} + ${high - low} * (torch.arange(50, dtype=torch.float64)[:, None] + 0.5) / 50
task = l2l.Batch(x[None], y[None], axis[None], ${A} * torch.sin(axis + ${b})[None])
for method in ${listed(show.map(method => `"${method}"`))}:
    own = {"method": RELATIVES[method]} if method in RELATIVES else {}
    run = l2l.Run.stored(${JSON.stringify(STORED)}.get(method, method), **own)
    kept = run.checkpoints | {run.iteration: run.theta}
    theta = kept[0 if method == "untrained" else ${iteration}]
    theta = {name: p[0].double() for name, p in theta.items()}${show.includes("meta-sgd") ? `
    for name in [name for name in theta if name.startswith("log_rate.")]:
        theta[name] += ${Math.log(alpha / 0.01)}  # the learned rates, times α over the trained one` : ""}
    curve = l2l.adaptation_curve(theta, task, alpha=${alpha}, steps=${STEPS}, **own)
    support, query = curve.support[:, 0], curve.query[:, 0]
    print(method, support[${steps}].item(), query[${steps}].item(), query[0].item())
`;
}
