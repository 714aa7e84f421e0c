"""Seconds of an outer step that processes share, and of the exchange alone: `torchrun ranks.py TASKS UPDATES`, or
`torchrun ranks.py exchange`. The first process prints a line of JSON."""

import json
import os
import sys
import time

import torch
import torch.distributed as dist

import l2l

torch.set_num_threads(1)


def step(tasks: int, updates: int) -> float:
    """Seconds of an update of MAML, once everything is compiled."""
    seen = []
    config = l2l.TrainConfig(method="maml", iterations=updates + 250, tasks=tasks, log_every=updates + 250)
    l2l.train(
        config, progress=lambda run: seen.append((time.perf_counter(), run.iteration)), shard="tasks", compile=True
    )
    if not seen:  # not the first
        return 0.0
    (start, first), (end, last) = seen[1], seen[-1]
    return (end - start) / (last - first)


def exchange() -> dict[int, float]:
    """Seconds of averaging so many numbers: the least of several trials, as what disturbs one makes it longer."""
    dist.init_process_group("gloo")
    found = {}
    for numbers in (1_761, 100_000, 1_000_000):
        x, trials = torch.ones(numbers), []
        for _ in range(20):
            dist.barrier()
            start = time.perf_counter()
            for _ in range(20):
                dist.all_reduce(x)
            trials.append((time.perf_counter() - start) / 20)
        found[numbers] = min(trials)
    dist.destroy_process_group()
    return found


result = exchange() if sys.argv[1] == "exchange" else step(*map(int, sys.argv[1:]))
if os.environ.get("RANK", "0") == "0":
    print(json.dumps(result), flush=True)
