// q(m) of the explorer "step", with l2l.

import {listed} from "../page/share.js";

export function stepAsPython({state: {run, iteration, A, b, x}}, {tasks, seed}) {
  return `import torch
from torch.func import grad, vmap

import l2l

run = l2l.Run.stored("${run}")
kept = run.checkpoints | {run.iteration: run.theta}
theta = {name: p[0].double() for name, p in kept[${iteration}].items()}
multiples = torch.linspace(0, 3, 31, dtype=torch.float64)


def by_length(xs, ys, xq, yq):
    slope = grad(l2l.mse)(theta, xs, ys)
    step = {name: run.config.alpha * g for name, g in slope.items()}
    at = lambda m: l2l.mse({name: p - m * step[name] for name, p in theta.items()}, xq, yq)
    return vmap(at)(multiples)


generator = torch.Generator().manual_seed(${seed})
tasks = l2l.SineTasks().sample(${tasks}, 10, 25, generator=generator, dtype=torch.float64)
q = vmap(by_length, chunk_size=20)(*tasks[:4]).mean(0)
x = torch.tensor(${listed(x)}, dtype=torch.float64)[:, None]
axis = torch.linspace(-5, 5, 121, dtype=torch.float64)[:, None]
own = by_length(x, ${A} * torch.sin(x + ${b}), axis, ${A} * torch.sin(axis + ${b}))
print("all", q[0].item(), q[10].item(), q.min().item())
print("own", own[0].item(), own[10].item(), own.min().item())
`;
}
