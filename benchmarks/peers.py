"""One implementation of one method, timed on demand: `python peers.py NAME METHOD STEPS TASKS CORES [WIDTH OUTPUTS BLOCK]`.

Prints a line of JSON when it is ready (its meta-gradient on the common problem, seconds to get ready, versions), then
reads numbers of iterations from its input and answers each with the seconds that they took. Sampling and Adam included.
"""

import json
import math
import os
import sys
import time

NAME, METHOD, STEPS, TASKS, CORES = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
WIDTH, OUTPUTS, BLOCK = map(int, sys.argv[6:9] or (40, 1, 250))  # of the network; iterations without a stop
os.environ["OMP_NUM_THREADS"] = str(1 if NAME.startswith("l2l") else CORES)  # l2l has a thread for each replica
if NAME.startswith("jax") and CORES == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
START = time.perf_counter()
JOB = "PEER_JOB" in os.environ  # run once, as a program of its own would
ALPHA, BETA, K = 0.01, 1e-3, 10
SIZES = (1, WIDTH, WIDTH, OUTPUTS)
SHAPES = {f"{k}{i + 1}": s for i in range(3) for k, s in (("W", SIZES[i : i + 2]), ("b", SIZES[i + 1 : i + 2]))}


def common_problem():
    """Parameters and a batch that every implementation computes its gradient on first."""
    import numpy as np

    rng = np.random.default_rng(0)
    theta = {
        k: rng.uniform(-1, 1, s).astype("float32") / math.sqrt(WIDTH if k[1] != "1" else 1) for k, s in SHAPES.items()
    }
    amplitude, phase = rng.uniform(0.1, 5, (TASKS, 1, 1)), rng.uniform(0, math.pi, (TASKS, 1, 1))
    x = rng.uniform(-5, 5, (TASKS, 2 * K, 1))
    y = amplitude * np.sin(x + phase + np.arange(OUTPUTS))  # each output a radian after the one before
    return theta, [v.astype("float32") for v in (x[:, :K], y[:, :K], x[:, K:], y[:, K:])]


def l2l_run(form):
    """l2l: "compiled" is what `train` does; "replayed" what it does in short runs; "called" the plain functions.

    "without NAME" is "compiled" with a rewrite of the recorded step left out.
    """
    import torch

    import l2l
    from l2l.engine import graph
    from l2l.engine.loops import repeated
    from l2l.engine.replica import advance, first_replica, make_step, rates, sampler
    from l2l.engine.workers import Block, Workers

    class Several:
        """Sinusoids with several outputs, each a radian after the one before."""

        @l2l.tasks.by_rows
        def sample(self, tasks, shots, query, *, generator, dtype):
            batch = l2l.SineTasks().sample(tasks, shots, query, generator=generator, dtype=dtype)
            shift = batch.phase[:, None, None] + torch.arange(OUTPUTS)
            y = [batch.amplitude[:, None, None] * torch.sin(x + shift) for x in (batch.x_support, batch.x_query)]
            return l2l.Batch(batch.x_support, y[0], batch.x_query, y[1])

    torch.set_num_threads(1)
    theta, batch = common_problem()
    to = torch.from_numpy
    params = {k: to(p) for k, p in theta.items()}
    whole = l2l.Batch(*map(to, batch))
    grads = l2l.METHODS[METHOD](params, whole, alpha=ALPHA, steps=STEPS).grads
    if form.startswith("without "):
        graph.REWRITES.remove(getattr(graph, form.removeprefix("without ")))
    config = l2l.TrainConfig(
        method=METHOD, steps=STEPS, tasks=TASKS, shots=K, query=K, seeds=tuple(range(CORES)), sizes=SIZES
    )
    family = l2l.SineTasks() if OUTPUTS == 1 else Several()
    workers, sample = Workers(config, family, "cpu", CORES), sampler(family, config, "cpu")
    replicas = [first_replica(seed, config, "cpu") for seed in config.seeds]
    if form == "compiled" or form.startswith("without "):
        workers.compile()

    def run(n):
        nonlocal replicas
        if form == "called":
            step = make_step(config, params)
            replicas = [advance(r, repeated(step, rates(config, "cpu")), n, sample)[0] for r in replicas]
        else:
            for advanced in workers.advance(replicas, [Block(BLOCK, False)] * (n // BLOCK)):
                replicas = [block.replica for block in advanced]

    return {k: g.numpy() for k, g in grads.items()}, run, {"torch": torch.__version__}


def jax_run(form):
    """JAX and optax: "scan" feeds blocks of batches to one compiled loop; "step" calls a compiled step; "flat" is
    "scan" on one parameter vector; "replicas" is "scan" in a thread for each core; "vmap" is "scan" over stacked replicas."""
    import functools
    import threading

    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from jax.flatten_util import ravel_pytree

    def mlp(p, x):
        h = jax.nn.relu(x @ p["W1"] + p["b1"])
        return jax.nn.relu(h @ p["W2"] + p["b2"]) @ p["W3"] + p["b3"]

    def mse(p, x, y):
        return jnp.mean((mlp(p, x) - y) ** 2)

    def adapt(p, x, y):
        for _ in range(STEPS):
            g = jax.grad(mse)(p, x, y)
            g = jax.lax.stop_gradient(g) if METHOD == "fomaml" else g
            p = jax.tree.map(lambda p, g: p - ALPHA * g, p, g)
        return p

    def loss(theta, batch):
        xs, ys, xq, yq = batch
        if METHOD == "pretrain":
            x, y = (jnp.concatenate(pair, 1).reshape(-1, pair[0].shape[-1]) for pair in ((xs, xq), (ys, yq)))
            return mse(theta, x, y)
        return jnp.mean(jax.vmap(lambda xs, ys, xq, yq: mse(adapt(theta, xs, ys), xq, yq))(xs, ys, xq, yq))

    theta, batch = common_problem()
    theta = {k: jnp.asarray(p) for k, p in theta.items()}
    grads = {} if JOB else jax.grad(loss)(theta, tuple(map(jnp.asarray, batch)))
    vector, unravel = ravel_pytree(theta)
    objective = (lambda v, b: loss(unravel(v), b)) if form == "flat" else loss
    optimiser = optax.adam(BETA)

    def sample(key):
        a, b, c = jax.random.split(key, 3)
        amplitude = jax.random.uniform(a, (TASKS, 1, 1), minval=0.1, maxval=5)
        phase = jax.random.uniform(b, (TASKS, 1, 1), maxval=math.pi)
        x = jax.random.uniform(c, (TASKS, 2 * K, 1), minval=-5, maxval=5)
        y = amplitude * jnp.sin(x + phase + jnp.arange(OUTPUTS))
        return x[:, :K], y[:, :K], x[:, K:], y[:, K:]

    def step(carry, batch):
        theta, state = carry
        value, g = jax.value_and_grad(objective)(theta, batch)
        updates, state = optimiser.update(g, state)
        return (optax.apply_updates(theta, updates), state), value

    @functools.partial(jax.jit, static_argnums=2)
    def block(carry, key, n):
        data = jax.vmap(sample)(jax.random.split(key, n))
        return jax.lax.scan(step, carry, data)

    @functools.partial(jax.jit, static_argnums=2)
    def blocks(carries, keys, n):
        return jax.vmap(lambda carry, key: block(carry, key, n))(carries, keys)

    start = vector if form == "flat" else theta
    carries = [(start, optimiser.init(start)) for _ in range(CORES)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *carries)
    key, jit_step, jit_sample = jax.random.key(1), jax.jit(step), jax.jit(sample)

    def one(i, n):
        nonlocal key
        carry = carries[i]
        for k in jax.random.split(jax.random.fold_in(key, i), max(1, n // BLOCK) if form != "step" else n):
            carry = jit_step(carry, jit_sample(k))[0] if form == "step" else block(carry, k, min(n, BLOCK))[0]
        carries[i] = jax.block_until_ready(carry)

    def run(n):
        nonlocal key, stacked
        key = jax.random.fold_in(key, n)
        if form == "replicas":
            threads = [threading.Thread(target=one, args=(i, n)) for i in range(CORES)]
            [thread.start() for thread in threads], [thread.join() for thread in threads]
        elif form == "vmap":
            for k in jax.random.split(key, max(1, n // BLOCK)):
                stacked = blocks(stacked, jax.random.split(k, CORES), min(n, BLOCK))[0]
            jax.block_until_ready(stacked)
        else:
            for i in range(CORES):
                one(i, n)

    if not JOB:
        run(BLOCK), run(BLOCK)
    return {k: np.asarray(g) for k, g in grads.items()}, run, {"jax": jax.__version__}


def torch_run(library, form):
    """The libraries of PyTorch, and PyTorch alone: "loop" goes over tasks as their tutorials do."""
    import torch
    from torch import nn
    from torch.func import functional_call, grad, grad_and_value, vmap

    torch.set_num_threads(CORES)
    net = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    theta, batch = common_problem()
    for (k, p), target in zip(theta.items(), net.parameters(), strict=True):
        target.data = torch.from_numpy(p.T.copy() if k[0] == "W" else p)
    mse, second = nn.functional.mse_loss, METHOD == "maml"
    versions = {"torch": torch.__version__}

    def sample():
        amplitude, phase = 0.1 + 4.9 * torch.rand(TASKS, 1, 1), math.pi * torch.rand(TASKS, 1, 1)
        x = 10 * torch.rand(TASKS, 2 * K, 1) - 5
        y = amplitude * torch.sin(x + phase)
        return x[:, :K], y[:, :K], x[:, K:], y[:, K:]

    if library == "learn2learn":
        import importlib
        import types

        # 0.2.0 does not build here: its data module, in Cython, is written for an older compiler. Its MAML is pure Python.
        for name in ("learn2learn", "learn2learn.algorithms"):
            module = types.ModuleType(name)
            module.__path__ = [os.path.join(os.environ["LEARN2LEARN"], *name.split("."))]
            sys.modules[name] = module
        maml = importlib.import_module("learn2learn.algorithms.maml").MAML(net, lr=ALPHA, first_order=not second)

        def task_loss(xs, ys, xq, yq):
            learner = maml.clone()
            for _ in range(STEPS):
                learner.adapt(mse(learner(xs), ys))
            return mse(learner(xq), yq)

    elif library == "higher":
        import higher

        inner = torch.optim.SGD(net.parameters(), lr=ALPHA)

        def task_loss(xs, ys, xq, yq):
            with higher.innerloop_ctx(net, inner, copy_initial_weights=False, track_higher_grads=second) as (f, opt):
                for _ in range(STEPS):
                    opt.step(mse(f(xs), ys))
                return mse(f(xq), yq)

    elif library == "torchopt" and form == "loop":
        import torchopt

        versions["torchopt"] = torchopt.__version__
        inner = torchopt.MetaSGD(net, lr=ALPHA)

        def task_loss(xs, ys, xq, yq):
            net_state, inner_state = (
                torchopt.extract_state_dict(net, by="reference"),
                torchopt.extract_state_dict(inner),
            )
            for _ in range(STEPS):
                inner.step(mse(net(xs), ys))
            loss = mse(net(xq), yq)
            torchopt.recover_state_dict(net, net_state), torchopt.recover_state_dict(inner, inner_state)
            return loss

    elif library == "torch":
        keys = [name for name, _ in net.named_parameters()]

        def task_loss(xs, ys, xq, yq):
            phi = dict(net.named_parameters())
            for _ in range(STEPS):
                g = torch.autograd.grad(mse(functional_call(net, phi, xs), ys), list(phi.values()), create_graph=second)
                phi = dict(zip(keys, (p - ALPHA * d for p, d in zip(phi.values(), g, strict=True)), strict=True))
            return mse(functional_call(net, phi, xq), yq)

    def joint(batch):
        xs, ys, xq, yq = batch
        return mse(net(torch.cat([xs, xq], 1)), torch.cat([ys, yq], 1))

    parameters = list(net.parameters())
    names = list(SHAPES)
    optimiser = torch.optim.Adam(parameters, lr=BETA)

    if form == "loop":

        def gradient(batch):
            optimiser.zero_grad()
            if METHOD == "pretrain":
                joint(batch).backward()
            elif METHOD == "fomaml" and library == "higher":  # its graph ends at the adapted parameters
                for task in zip(*batch, strict=True):
                    with higher.innerloop_ctx(net, inner, track_higher_grads=False) as (f, opt):
                        for _ in range(STEPS):
                            opt.step(mse(f(task[0]), task[1]))
                        g = torch.autograd.grad(mse(f(task[2]), task[3]) / TASKS, list(f.parameters()))
                    for p, g_ in zip(parameters, g, strict=True):
                        p.grad = g_ if p.grad is None else p.grad + g_
            else:
                for task in zip(*batch, strict=True):
                    (task_loss(*task) / TASKS).backward()

        def run(n):
            for _ in range(n):
                gradient(sample())
                optimiser.step()

        gradient([torch.from_numpy(x) for x in batch])
        g = [p.grad.clone() for p in parameters]
    else:  # torchopt's functional optimisers, vmap over tasks, the whole step compiled
        import torchopt

        versions["torchopt"] = torchopt.__version__

        def loss(p, x, y):
            return mse(functional_call(net, p, x), y)

        def task(p, xs, ys, xq, yq):
            for _ in range(STEPS):
                g = grad(loss)(p, xs, ys)
                p = {k: p[k] - ALPHA * (g[k] if second else g[k].detach()) for k in p}
            return loss(p, xq, yq)

        def meta(p, batch):
            if METHOD == "pretrain":
                xs, ys, xq, yq = batch
                return loss(p, torch.cat([xs, xq], 1), torch.cat([ys, yq], 1))
            return vmap(task, in_dims=(None, 0, 0, 0, 0))(p, *batch).mean()

        params = {k: p.detach() for k, p in net.named_parameters()}
        g = list(grad_and_value(meta)(params, [torch.from_numpy(x) for x in batch])[0].values())
        outer = torchopt.adam(BETA)
        state = outer.init(params)
        gradient = torch.compile(lambda p, b: grad_and_value(meta)(p, b)[0], fullgraph=True, dynamic=False)

        def run(n):
            nonlocal params, state
            with torch.no_grad():
                for _ in range(n):
                    updates, state = outer.update(gradient(params, sample()), state, inplace=False)
                    params = torchopt.apply_updates(params, updates, inplace=False)

        run(3)
    grads = dict(zip(names, ((x.T if x.ndim == 2 else x).numpy() for x in g), strict=True))
    return grads, run, versions


def main():
    library, _, form = NAME.partition(":")
    make = {"l2l": l2l_run, "jax": jax_run}.get(library)
    grads, run, versions = make(form) if make else torch_run(library, form)
    ready = time.perf_counter() - START
    print(
        json.dumps({"grads": {k: g.ravel().tolist() for k, g in grads.items()}, "ready": ready, **versions}), flush=True
    )
    for line in sys.stdin:
        start = time.perf_counter()
        run(int(line))
        print(json.dumps(time.perf_counter() - start), flush=True)


main()
