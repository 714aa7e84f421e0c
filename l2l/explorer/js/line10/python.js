// The four directions that the explorer "line10" shows, with l2l.

import {listed} from "../page/share.js";

export function line10AsPython({theta, tasks, alpha, steps, bend}) {
  const part = name => listed(tasks.map(task => Array.isArray(task[name]) ? listed(task[name]) : task[name]));
  return `import torch
import l2l

c = torch.tensor(${part("c")}, dtype=torch.float64)  # minima
h = torch.tensor(${part("h")}, dtype=torch.float64)  # curvatures along the tasks' own axes
a = torch.tensor(${part("a")}, dtype=torch.float64)  # angles of the first axes
theta = {"theta": torch.tensor(${listed(theta)}, dtype=torch.float64)}


def loss(params, task, _):
    c, h, a = task[0].split(${theta.length === 1 ? "[1, 1, 1]" : "[2, 2, 1]"})
    away = params["theta"] - c
${theta.length === 1 ? "    u = away" : `    turn = torch.cat([a.cos(), a.sin(), -a.sin(), a.cos()]).reshape(2, 2)
    u = turn @ away`}
    return (h * (u**2 / 2 + ${bend} * u**4 / 4)).sum()


tasks = torch.cat([c, h, a[:, None]], dim=1)[:, None]  # in place of points
none = torch.zeros_like(tasks[..., :1])
batch = l2l.Batch(tasks, none, tasks, none)
settings = {"alpha": ${alpha}, "steps": ${steps}, "loss": loss}
exact = l2l.maml(theta, batch, **settings).grads["theta"]
first = l2l.fomaml(theta, batch, **settings).grads["theta"]
phi = [l2l.adapt(theta, task, zero, **settings)["theta"] for task, zero in zip(tasks, none)]
reptile = (theta["theta"] - torch.stack(phi)) / ${alpha}
frozen = []
for task, end in zip(tasks, phi):
    gradient = torch.func.grad(lambda t: loss({"theta": t}, task, None))
    v, jacobian = gradient(end), torch.func.jacfwd(gradient)(theta["theta"])
    for _ in range(${steps}):
        v = v - ${alpha} * jacobian @ v
    frozen.append(v)
print("exact", exact.tolist())
print("first", first.tolist())
print("frozen", torch.stack(frozen).mean(0).tolist())
print("reptile", reptile.mean(0).tolist())
`;
}
