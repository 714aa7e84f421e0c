// The reader's program as Python, beside l2l's own meta-gradient.

import {listed} from "../page/share.js";

const LINES = {
  start: "phi = [theta]",
  inner: "for k in range(K):\n    phi.append(phi[k] - alpha * slope(phi[k], *support))",
  fromStart: "for k in range(K):\n    phi.append(theta - alpha * slope(phi[k], *support))",
  oldSlope: "for k in range(K):\n    phi.append(phi[k] - alpha * slope(theta, *support))",
  query: "v = slope(phi[K], *query)",
  support: "v = slope(phi[K], *support)",
  atStart: "v = slope(theta, *query)",
  back: "for k in reversed(range(K)):\n    v = v - alpha * hvp(phi[k], v)",
  forth: "for k in range(K):\n    v = v - alpha * hvp(phi[k], v)",
  frozen: "for k in reversed(range(K)):\n    v = v - alpha * hvp(theta, v)",
  plus: "for k in reversed(range(K)):\n    v = v + alpha * hvp(phi[k], v)",
  mean: "g = g + v / T",
  sum: "g = g + v",
  last: "g = v / T",
};

export function assembledAsPython(program, {theta: {sizes, values}, batch, alpha, steps}) {
  const points = (part, name) => listed(batch.map(task => task[part][name]));
  const body = program.flatMap(name => LINES[name].split("\n")).map(line => `    ${line}\n`).join("");
  return `import torch
from torch.func import grad, jvp

import l2l
from l2l.net import flatten, unflatten

tensor = lambda values: torch.tensor(values, dtype=torch.float64)[..., None]
batch = l2l.Batch(
    tensor(${points("support", "x")}),
    tensor(${points("support", "y")}),
    tensor(${points("query", "x")}),
    tensor(${points("query", "y")}))
like = l2l.init_params(${listed(sizes)}, generator=torch.Generator(), dtype=torch.float64)
theta = torch.tensor(${listed(values)}, dtype=torch.float64)
alpha, K, T = ${alpha}, ${steps}, ${batch.length}
slope = lambda phi, x, y: grad(lambda phi: l2l.mse(unflatten(phi, like), x, y))(phi)
g = torch.zeros_like(theta)
for i in range(T):
    support, query = (batch.x_support[i], batch.y_support[i]), (batch.x_query[i], batch.y_query[i])
    hvp = lambda phi, v: jvp(lambda phi: slope(phi, *support), (phi,), (v,))[1]
${body}exact = flatten(l2l.maml(unflatten(theta, like), batch, alpha=alpha, steps=K).grads)
print("deviation", ((g - exact).norm() / exact.norm()).item())
`;
}
