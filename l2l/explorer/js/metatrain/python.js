// What the explorer "metatrain" shows, with l2l.

import {HEAD_LOOP, OWN_RATES} from "../page/relatives.js";

const RELATIVES = {
  reptile: `from torch.func import vmap


def reptile(theta, batch, *, alpha, steps, loss):
    x = torch.cat([batch.x_support, batch.x_query], dim=1)
    y = torch.cat([batch.y_support, batch.y_query], dim=1)

    def task(x, y):
        phi = l2l.adapt(theta, x, y, alpha=alpha, steps=steps, loss=loss)
        return loss(phi, x, y), {n: (p - phi[n]) / alpha for n, p in theta.items()}

    values, grads = vmap(task)(x, y)
    return l2l.MetaGrad(values.mean(), {n: g.mean(0) for n, g in grads.items()})


method = l2l.Method("reptile", reptile)
`,
  anil: `from functools import partial

${HEAD_LOOP}

method = l2l.Method("anil", partial(l2l.maml, inner_loop=head_loop), head_loop)
`,
  "meta-sgd": `from functools import partial

${OWN_RATES}

method = l2l.Method("meta-sgd", partial(l2l.maml, inner_loop=own_rates), own_rates, with_rates)
`,
};

const oneMethod = (method, {alpha, steps, tasks, shots, seed}, iterations) =>
  `${RELATIVES[method] ?? `method = "${method}"\n`}
config = l2l.TrainConfig(method=method, iterations=${Math.max(iterations, 1)}, alpha=${alpha},
                         steps=${steps}, tasks=${tasks}, shots=${shots}, seeds=(${seed},))
run = l2l.train(config, family, progress=False)
curve = l2l.adaptation_curve(run.replica(0), test, alpha=${alpha}, steps=10, method=method).query.mean(-1)
print("${method}", *(curve[k].item() for k in (0, 1, 10)))
`;

export function metatrainAsPython(state, seen, {measured: {testTasks}}) {
  const {methods, shots, lowA, highA, lowB, highB} = state, shown = methods.filter(method => seen[method]);
  return `import torch
import l2l
from l2l.tasks import META_TEST, stream

family = l2l.SineTasks(amplitude=(${lowA}, ${highA}), phase=(${lowB}, ${highB}))
test = family.sample(${testTasks}, ${shots}, 100, generator=stream(META_TEST, 0))
${shown.map(method => oneMethod(method, state, seen[method].iteration)).join("\n")}`;
}
