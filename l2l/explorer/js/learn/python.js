// One task of the explorer "learn", and what the learners make of it, with l2l.

import {listed} from "../page/share.js";

export function learnAsPython({task: {x, y, A, b, m, grid}, family, families, range, noise, alpha, steps}) {
  const {frequency} = families[family];
  return `import torch
import l2l
from l2l.bayes import posterior, predicted

x = torch.tensor(${listed(x)}, dtype=torch.float64)[:, None]
y = torch.tensor(${listed(y)}, dtype=torch.float64)[:, None]
axis = torch.linspace(${range[0]}, ${range[1]}, ${grid.length}, dtype=torch.float64)[:, None]
truth = ${m} * axis + ${A} * torch.sin(${frequency} * axis + ${b})
task = l2l.Batch(x[None], y[None], axis[None], truth[None])
for method in ["maml", "fomaml", "pretrain"]:
    theta = {name: p[0].double() for name, p in l2l.Run.stored(method).theta.items()}
    curve = l2l.adaptation_curve(theta, task, alpha=${alpha}, steps=${steps})
    print(method, curve.query[${steps}].item())
pair = [0, 2]
p_q = torch.linalg.solve(torch.cat([x[pair].sin(), x[pair].cos()], dim=1), y[pair])
print("solver", (torch.cat([axis.sin(), axis.cos()], dim=1) @ p_q - truth).square().mean().item())
best = predicted(posterior(x, y, noise=${noise}), axis)
print("bayes", (best - truth).square().mean().item())
`;
}
