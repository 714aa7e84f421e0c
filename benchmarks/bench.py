"""Speed against peers, on this machine: `make bench`. Writes results.json and results.md beside this file.

Every implementation runs in a process of its own and is first asked for its meta-gradient on one common problem. Then
they take turns, one at a time, in several rounds, so that what else the machine does hits all of them alike.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from tqdm import tqdm

import l2l
from l2l.engine.graph import REWRITES
from l2l.engine.replica import first_replica
from l2l.engine.workers import Block, Workers, cores

HERE = Path(__file__).resolve().parent
HTML = HERE.parent / "_build" / "html" / "book"
COLUMNS = {"MAML, 1 step": ("maml", 1), "MAML, 5 steps": ("maml", 5), "FOMAML": ("fomaml", 1), "joint": ("pretrain", 1)}
NAMES = {
    "l2l:compiled": "**l2l, as it trains**",
    "l2l:replayed": "l2l, not compiled: recorded and replayed",
    "l2l:called": "l2l's functions called in a loop (torch.func, eager)",
    "jax:scan": "JAX and optax: jit, vmap, grad, lax.scan",
    "jax:flat": "the same, parameters as one vector",
    "jax:step": "JAX and optax: one compiled step a call",
    "jax:vmap": "JAX: lax.scan over stacked replicas (vmap)",
    "jax:replicas": "JAX: lax.scan, a thread for each replica",
    "torch:loop": "PyTorch, loop over tasks",
    "learn2learn:loop": "learn2learn, its idiom",
    "higher:loop": "higher, its idiom",
    "torchopt:loop": "TorchOpt, its idiom",
    "torchopt:vmap": "TorchOpt, with vmap and torch.compile",
}
ONE_CORE = [name for name in NAMES if name not in ("jax:vmap", "jax:replicas")]
SIDE_BY_SIDE = ["l2l:compiled", "jax:scan", "jax:flat"]
REWRITTEN = ["l2l:compiled", *(f"l2l:without {rewrite.__name__}" for rewrite in REWRITES)]
TWO_CORES = ["l2l:compiled", "jax:scan", "jax:vmap", "jax:replicas"]
GROWTH = {  # title: what grows, to which values, and from which on batches are large
    "inner steps": ("steps", (1, 2, 3, 5, 10, 20, 50), 20),
    "tasks": ("tasks", (25, 100, 250, 1_000, 10_000), 10_000),
    "width": ("width", (40, 64, 128, 256, 512), 256),
    "outputs": ("outputs", (1, 4, 16, 64), 1_000),
}
WITHOUT_JOINT = ("learn2learn:loop", "torchopt:loop", "higher:loop", "torch:loop")  # a plain fit: no peer's business


class Peer:
    """One implementation, waiting in its own process."""

    def __init__(
        self,
        python: str,
        name: str,
        method: str,
        steps: int,
        tasks: int,
        cores: int,
        learn2learn: str,
        width: int = 40,
        outputs: int = 1,
        block: int = 250,
    ):
        env = os.environ | {"LEARN2LEARN": learn2learn}
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        command = [python, str(HERE / "peers.py"), name, method]
        command += map(str, (steps, tasks, cores, width, outputs, block))
        if cores == 1 and hasattr(os, "sched_getaffinity"):
            command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log, "text": True}
        self.process = subprocess.Popen(command, env=env, **pipes)
        self.about = self._answer()
        self.cores = cores
        self.iterations = 10 if name.endswith(":loop") else block
        while self.run() < 0.4 and self.iterations < 8000:  # long enough to time
            self.iterations *= 2

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(self.log.read().strip().rpartition("\n")[2])
        return json.loads(line)

    def run(self) -> float:
        self.process.stdin.write(f"{self.iterations}\n")
        self.process.stdin.flush()
        return self._answer()

    def rate(self) -> float:
        """Iterations a second, those of all replicas together."""
        return self.cores * self.iterations / self.run()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def matrix_limit(tasks: int = 25, points: int = 10, width: int = 40) -> dict:
    """Arithmetic of one MAML iteration with one inner step, and the time of its matrix products at their best rate.

    Counted are the twelve products of T·K rows with the 40 × 40 layer; those of the thin layers, 4 % more, are not.
    """
    torch.set_num_threads(1)

    def best(f):
        f()
        times = []
        for _ in range(30):
            start = time.perf_counter()
            for _ in range(50):
                f()
            times.append((time.perf_counter() - start) / 50)
        return min(times)

    shared = torch.randn(width, width), torch.randn(tasks * points, width)
    own, rows = torch.randn(tasks, width, width), torch.randn(tasks, points, width)
    product = 2 * tasks * points * width**2
    # Products of 40 × 40 in one iteration. With θ, which all tasks share: h W and its two descendants, and the sums over
    # tasks that end the outer gradient. With each task's own matrix: the rest.
    with_theta, per_task = 6, 6
    seconds = with_theta * best(lambda: shared[1] @ shared[0]) + per_task * min(
        best(lambda: torch.bmm(rows, own)), best(lambda: torch.bmm(rows.mT.contiguous(), rows))
    )
    return {
        "megaflops": (with_theta + per_task) * product / 1e6,
        "gigaflops_a_second": (with_theta + per_task) * product / seconds / 1e9,
        "iterations_a_second": 1 / seconds,
    }


def learn2learn_source(folder: str, python: str) -> tuple[str, str]:
    """Fetch learn2learn 0.2.0; return the folder of its source and how far its installation goes."""
    build = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "learn2learn==0.2.0"], capture_output=True
    )
    said = (
        "it installs"
        if build.returncode == 0
        else (
            "it does not build here (its data module, in Cython); its MAML, which is pure Python, is run from the source"
        )
    )
    fetch = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    subprocess.run([*fetch, "learn2learn==0.2.0", "-d", folder], check=True, capture_output=True)
    with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return str(next(path for path in Path(folder).iterdir() if path.is_dir())), said


def difference(peer: Peer, other: Peer) -> float:
    ours, theirs = (torch.cat([torch.tensor(g) for _, g in sorted(p.about["grads"].items())]) for p in (peer, other))
    return ((ours - theirs).norm() / ours.norm()).item()


def compare(names, method, steps, tasks, cores, args, learn2learn, **shape):
    """Time these implementations in turns; return rates, and what failed."""
    peers, failed = {}, {}
    for name in names:
        try:
            peers[name] = Peer(args.python, name, method, steps, tasks, cores, learn2learn, **shape)
        except RuntimeError as error:
            failed[name] = str(error)
            continue
        off = difference(peers["l2l:compiled"], peers[name])
        if off > 1e-4:
            failed[name] = f"it computes another gradient, which differs by {off:.1e}"
            peers.pop(name).close()
    rates = {name: [] for name in peers}
    for _ in range(args.rounds):
        for name, peer in peers.items():
            rates[name].append(peer.rate())
    result = {}
    for name, peer in peers.items():
        result[name] = {
            "median": statistics.median(rates[name]),
            "rates": rates[name],
            "ready": peer.about.pop("ready"),
        }
        result[name]["versions"] = {k: v for k, v in peer.about.items() if k != "grads"}
        peer.close()
    return {"rates": result, "failed": failed}


def memory(args) -> dict:
    """Peak memory and seconds against inner steps, 1,000 tasks: through the graph, and with checkpoints."""
    code = """
import sys, time, torch, l2l
torch.set_num_threads(1)
steps, how = int(sys.argv[1]), getattr(l2l, sys.argv[2])
theta = l2l.init_params(generator=torch.Generator().manual_seed(0))
batch = l2l.SineTasks().sample(1000, 10, 10, generator=torch.Generator().manual_seed(1))
def kilobytes(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field))
how(theta, l2l.Batch(*(x[:2] for x in batch[:4])), alpha=0.01, steps=1)
open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
before, start = kilobytes("VmRSS"), time.perf_counter()
how(theta, batch, alpha=0.01, steps=steps)
print((kilobytes("VmHWM") - before) / 1024, time.perf_counter() - start)
"""
    found = {}
    for how in ("maml", "checkpointed_maml"):
        for steps in (1, 2, 5, 10, 20, 50):
            command = [args.python, "-c", code, str(steps), how]
            env = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
            found.setdefault(how, {})[steps] = tuple(map(float, done.stdout.split()))
    return found


PROFILE = """
import threading, time
start, spent = time.perf_counter(), {}
def done(what, since):
    spent[what] = spent.get(what, 0) + time.perf_counter() - since
def timed(module, name, what):
    function = getattr(module, name)
    def call(*args, **kwargs):
        since = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            if threading.current_thread() is threading.main_thread():  # others work beside it
                done(what, since)
    setattr(module, name, call)
import torch
done("import torch", start)
since = time.perf_counter()
import l2l
done("import l2l", since)
import json, torch._inductor, torch._inductor.codecache
import l2l.engine.loops, l2l.engine.workers
timed(l2l.engine.workers, "recorded", "record the step, and what is measured")
timed(torch.export, "export", "torch.export")
timed(torch._inductor, "aoti_compile_and_package", "Inductor: lowering")
timed(torch._inductor.codecache.AotCodeCompiler, "compile", "C++ compiler")
timed(l2l.engine.loops, "verify", "load, and compare with the recorded step")
l2l.train(l2l.TrainConfig(iterations=15_000), progress=False)
if "C++ compiler" in spent:
    spent["Inductor: lowering"] -= spent["C++ compiler"]
spent["15,000 iterations, and the rest"] = time.perf_counter() - start - sum(spent.values())
print(json.dumps(spent))
"""


def start_up(args) -> dict:
    """Seconds of 15,000 iterations in a new process: with an empty cache, again, and by JAX; and where they go."""
    found = {"cold": [], "warm": [], "jax": []}
    job = [args.python, "-m", "l2l", "train", "maml", "--iterations", "15000"]
    peer = [args.python, str(HERE / "peers.py"), "jax:flat", "maml", "1", "25", "1"]
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            caches = {"XDG_CACHE_HOME": f"{folder}/cache", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
            for state, command in (("jax", peer), ("cold", job), ("warm", job)):
                start = time.perf_counter()
                env, given = os.environ | caches | {"PEER_JOB": "1"}, "15000\n" if state == "jax" else None
                subprocess.run(command, env=env, input=given, text=True, check=True, capture_output=True)
                found[state].append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        for state in ("cold", "warm"):
            done = subprocess.run([args.python, "-c", PROFILE], env=env, text=True, check=True, capture_output=True)
            found[f"{state} profile"] = json.loads(done.stdout)
    return found


def report_start_up(found: dict) -> list[str]:
    def against(state: str) -> str:
        ratios = [ours / jax for ours, jax in zip(found[state], found["jax"], strict=True)]
        return f"{statistics.median(found[state]):.1f} s, {statistics.median(ratios):.2f} × JAX's"

    parts = found["cold profile"]
    return [
        "## From the command to the last of 15,000 iterations, MAML",
        "",
        f"A new process each time, {len(found['jax'])} rounds in turns. JAX and optax, which compile every time: {statistics.median(found['jax']):.1f} s. "
        f"l2l with an empty cache: {against('cold')}. Again: {against('warm')}.",
        "",
        row(["seconds in", "empty cache", "again"]),
        row(["---"] * 3),
        *(row([part, f"{cold:.1f}", f"{found['warm profile'].get(part, 0):.1f}"]) for part, cold in parts.items()),
        "",
    ]


NUMBERS = 1_761  # parameters of the network, which ranks exchange after each step
NETWORKS = {"1 Gb/s, 100 µs": (100e-6, 1.25e8), "25 Gb/s, 20 µs": (20e-6, 3.1e9)}  # latency, bytes a second: assumed


def ring(ranks: int, numbers: int, latency: float, rate: float) -> float:
    """Seconds of averaging in a ring: 2 (n - 1) messages, each of an n-th of the numbers."""
    return 2 * (ranks - 1) * (latency + 4 * numbers / ranks / rate)


def ranks(args) -> dict:
    """Seconds of a step in one process and in two that share its tasks, and a model fitted to some of them."""

    def seconds(processes: int, *arguments):
        start = [args.python, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command = [*(start if processes > 1 else [args.python]), str(HERE / "ranks.py"), *map(str, arguments)]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    trials = {"one": {250: 4_000, 1_000: 1_000}, "two": {500: 4_000, 1_000: 2_000, 2_000: 1_000}}
    found = {
        how: {tasks: seconds(1 + (how == "two"), tasks, updates) for tasks, updates in of.items()}
        for how, of in trials.items()
    }
    return found | {"exchange": seconds(2, "exchange")}


def line(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The intercept and the slope of the line through two points; through 0 and the second if it would begin below 0."""
    slope = (other[1] - one[1]) / (other[0] - one[0])
    intercept = max(one[1] - slope * one[0], 0.0)
    return intercept, (other[1] - intercept) / other[0]


def report_ranks(found: dict) -> list[str]:
    one, two, exchange = ({int(k): v for k, v in found[name].items()} for name in ("one", "two", "exchange"))
    alone, per_task = line(*((tasks, one[tasks]) for tasks in (250, 1_000)))
    fixed, per_shared = line(*((tasks / 2, two[tasks] - exchange[NUMBERS]) for tasks in (500, 2_000)))
    latency = exchange[NUMBERS] / 2
    rate = 4 * (1_000_000 - NUMBERS) / (exchange[1_000_000] - exchange[NUMBERS])
    expected = fixed + per_shared * 500 + exchange[NUMBERS]

    def speed_up(tasks: int, machines: int, network: tuple[float, float]) -> float:
        shared = fixed + per_shared * tasks / machines + ring(machines, NUMBERS, *network)
        return (alone + per_task * tasks) / shared

    networks = {"this machine's own": (latency, rate), **NETWORKS}
    tasks = 25, 250, 1_000, 10_000, 100_000
    lines = [
        "## Sharing the tasks of a meta-batch: when it pays",
        "",
        f"A step of MAML takes {1e3 * alone:.3f} ms + {1e6 * per_task:.2f} µs for each task in one process, its loop compiled; where ranks share its tasks, each of two halves compiled, {1e3 * fixed:.3f} ms + "
        f"{1e6 * per_shared:.2f} µs for each of a rank's own tasks, and the exchange. Averaging P numbers between two processes here takes "
        + ", ".join(f"{1e3 * s:.2f} ms (P = {n:,})" for n, s in exchange.items())
        + ". Each line goes through two points, or through the larger of them and zero where tasks become dearer with their number, as memory is slower than caches; the model is tested on a third, 1,000 tasks on two processes: "
        f"expected {1e3 * expected:.2f} ms, measured {1e3 * two[1_000]:.2f} ms.",
        "",
        "What the model says of n machines with one core each, as a multiple of the speed of one; the exchange is a ring, its latency and rate are assumed where not measured. Nothing but two processes on one machine was run.",
        "",
        row(["tasks", *(f"{t:,}" for t in tasks)]),
        row(["---"] * (len(tasks) + 1)),
    ]
    for name, network in networks.items():
        for machines in (2, 8, 64):
            cells = (f"{speed_up(t, machines, network):.2f} ×" if t >= machines else "–" for t in tasks)
            lines.append(row([f"{machines} machines, {name}", *cells]))
    return [*lines, ""]


def evaluation(rounds: int) -> dict:
    """Seconds to adapt to 1,000 tasks for 10 steps: in one call, and in a loop over tasks."""
    theta = l2l.init_params(generator=torch.Generator().manual_seed(0))
    batch = l2l.SineTasks().sample(1000, 10, 10, generator=torch.Generator().manual_seed(1))
    found = {}
    l2l.adaptation_curve(theta, batch, alpha=0.01, steps=1)
    for optimizer in ("sgd", "adam"):
        times = {"one call": [], "loop": []}
        for _ in range(rounds):
            start = time.perf_counter()
            l2l.adaptation_curve(theta, batch, alpha=0.01, steps=10, optimizer=optimizer)
            times["one call"].append(time.perf_counter() - start)
            start = time.perf_counter()
            for i in range(50):
                task = l2l.SineBatch(*(x[i : i + 1] for x in batch))
                l2l.adaptation_curve(theta, task, alpha=0.01, steps=10, optimizer=optimizer)
            times["loop"].append(20 * (time.perf_counter() - start))
        found[optimizer] = {how: statistics.median(seconds) for how, seconds in times.items()}
    return found


def gpu_crossover() -> dict:
    """Iterations a second of MAML on one core and on the GPU, against the number of tasks; empty without one."""
    found = {}
    for tasks in (25, 250, 2500, 10_000) if torch.cuda.is_available() else ():
        for device in ("cpu", "cuda"):
            config = l2l.TrainConfig(tasks=tasks)
            with Workers(config, l2l.SineTasks(), device, 1) as workers:
                workers.compile()
                times, replicas = [time.perf_counter()], [first_replica(0, config, device)]
                for _ in workers.advance(replicas, [Block(50, True)] * 6):  # measured: the device has finished
                    times.append(time.perf_counter())
            found.setdefault(tasks, {})[device] = 50 / statistics.median(b - a for a, b in pairwise(times))
    return found


def full_schedule(args) -> dict:
    """Three methods × ten seeds × 70,000 iterations, on all cores: seconds and peak memory."""
    code = """
import resource, time, l2l
start = time.perf_counter()
for method in l2l.METHODS:
    l2l.train(l2l.TrainConfig(method=method, iterations=70_000, seeds=tuple(range(10))))
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    done = subprocess.run([args.python, "-c", code], check=True, capture_output=True, text=True)
    seconds, megabytes = map(float, done.stdout.split())
    return {"seconds": seconds, "megabytes": megabytes}


EXPLORED = {  # page → its name, the explorer whose point is dragged, and that point
    "index": ("front page", "adapt", "support point 2"),
    "playground": ("playground", "adapt", "support point 3"),
    "03-line-10": ("chapter 3", "line10", "start θ"),
}
WATCH = """(() => {  // when each explorer came alive, in ms after the page was asked for; and what scripts take of frames
    const raf = window.requestAnimationFrame, alive = window.alive = {};
    new MutationObserver(all => all.forEach(({target: {dataset}}) => {
        if (dataset.live === "yes") alive[dataset.kind] ??= performance.now();
    })).observe(document, {subtree: true, attributeFilter: ["data-live"]});
    window.spent = 0;
    window.requestAnimationFrame = action => raf(now => {
        const start = performance.now();
        action(now);
        window.spent += performance.now() - start;
    });
    window.drag = (point, x, y, frames) => new Promise(done => {
        const gaps = [], scripts = [];
        let last = null, i = 0;
        raf(function frame(now) {
            if (last !== null) { gaps.push(now - last); scripts.push(window.spent); }
            [last, window.spent] = [now, 0];
            if (gaps.length === frames) { done({gaps, scripts}); return; }
            const start = performance.now(), clientX = x + 50 * Math.sin(i++ / 5);
            point.dispatchEvent(new PointerEvent("pointermove", {clientX, clientY: y, bubbles: true}));
            window.spent += performance.now() - start;
            raf(frame);
        });
    });
})();"""


def pages(loads: int = 15, frames: int = 300) -> dict:
    """The built pages in Chromium: seconds until their explorers are alive, and milliseconds of frames while dragging;
    and meta-training in them, in Firefox too."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    firefox = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
    if chromium is None:
        return {"skipped": "there is no Chromium here"}
    if not all((HTML / f"{page}.html").is_file() for page in EXPLORED):
        return {"skipped": "the pages are not built; make book builds them"}
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {"skipped": "playwright is not installed"}
    found, load = {page: {"seconds": []} for page in EXPLORED}, os.getloadavg()[0]
    os.environ["NODE_OPTIONS"] = f"--require {HERE.parent / 'tests' / 'firefox.cjs'}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])

        def opened(page, kind, scripts=(), browser=browser):
            context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})  # remembers nothing
            context.set_default_timeout(180_000)
            for script in (WATCH, *scripts):
                context.add_init_script(script)
            tab = context.new_page()
            tab.goto((HTML / f"{page}.html").as_uri())
            tab.locator(f'[data-kind="{kind}"][data-live="yes"]').wait_for()
            return tab

        for _ in range(loads):  # in turns, as the peers
            for page, (_, kind, _) in EXPLORED.items():
                tab = opened(page, kind)
                found[page]["seconds"].append(max(tab.evaluate("Object.values(alive)")) / 1000)
                tab.context.close()
        for page, (_, kind, name) in EXPLORED.items():
            tab = opened(page, kind)
            point = tab.locator(f'[data-kind="{kind}"]').get_by_role("slider", name=name, exact=True)
            point.scroll_into_view_if_needed()
            tab.wait_for_load_state("networkidle")
            box = point.bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            tab.mouse.move(x, y)
            tab.mouse.down()
            for times in (60, frames):  # the first ones compile
                dragged = point.evaluate(f"(point, [x, y]) => drag(point, x, y, {times})", [x, y])
            for what, values in dragged.items():
                found[page][what] = {
                    "median": statistics.median(values),
                    "95 %": statistics.quantiles(values, n=20)[-1],
                }
            tab.context.close()
        version = browser.version
        training = {f"Chromium {version}": trained_in_the_page(opened)}
        browser.close()
        if firefox:
            browser = playwright.firefox.launch(channel="moz-firefox", executable_path=firefox)
            training[f"Firefox {browser.version}"] = trained_in_the_page(partial(opened, browser=browser))
            browser.close()
    load = [load, os.getloadavg()[0]]  # says whether something else ran
    return {
        "machine": machine() | {"chromium": version, "load": load},
        "frames": frames,
        "pages": found,
        "training": training,
    }


PLAIN = """window.Blob = class extends Blob {
  constructor(parts, ...more) { super(["self.WebAssembly = undefined;", ...parts], ...more); }
};"""
TRAINED = {"maml": "MAML", "fomaml": "FOMAML", "pretrain": "pre-training"}


def trained_in_the_page(opened: Callable, rounds: int = 3, seconds: float = 5) -> dict:
    """Iterations a second of each method alone, by the kernel and in plain JavaScript, in turns; and of all at once:
    seconds until the last is done, and milliseconds from one frame to the next meanwhile."""
    seen = "Object.values(document.querySelector('[data-kind=metatrain]').l2l.seen)"

    def begun(only=None, scripts=()):
        tab = opened("playground", "metatrain", scripts)
        shown = tab.locator('[data-kind="metatrain"]')
        shown.scroll_into_view_if_needed()
        for method, label in TRAINED.items():
            if only not in (None, method):
                shown.get_by_label(label, exact=True).click()
        tab.wait_for_function(f"{seen}.length === {1 if only else len(TRAINED)}")
        shown.get_by_role("button", name="Train", exact=True).click()
        return tab

    rates = {method: {"kernel": [], "plain": []} for method in TRAINED}
    for _ in range(rounds):
        for method, found in rates.items():
            for how, scripts in (("kernel", ()), ("plain", (PLAIN,))):
                tab = begun(method, scripts)
                tab.wait_for_timeout(1000 * seconds)
                found[how].append(tab.evaluate(f"{seen}[0].rate"))
                tab.context.close()
    tab = begun()
    gaps = tab.evaluate(
        f"""async () => {{
              const gaps = [];
              for (let last = performance.now(); {seen}.some(one => one.iteration < 15000);) {{
                const now = await new Promise(requestAnimationFrame);
                gaps.push(now - last);
                last = now;
              }}
              return gaps;
            }}"""
    )
    tab.context.close()
    spread = {"median": statistics.median(gaps), "95 %": statistics.quantiles(gaps, n=20)[-1], "longest": max(gaps)}
    return {"rates": rates, "seconds": sum(gaps) / 1000, "gaps": spread}


def elsewhere(results: dict) -> list[str]:
    """Say which parts were measured later, on another machine."""
    later = {}
    for part, about in results["machines"].items():
        if about["processor"] != results["machine"]["processor"] and part != "pages":  # which say so themselves
            where = f"{about['processor']}, {about['cores']} cores, torch {about['torch']}, {about['date']}"
            if about.get("rounds", results["rounds"]) != results["rounds"]:
                where += f", {about['rounds']} rounds"
            later.setdefault(where, []).append(part)
    return [line for where, names in later.items() for line in (f"On {where}: {', '.join(names)}.", "")]


def report_pages(results: dict) -> list[str]:
    title = ["", "## The pages", ""]
    if "skipped" in results:
        return [*title, f"Not measured: {results['skipped']}."]
    about, found = results["machine"], results["pages"]
    loads = len(found["index"]["seconds"])
    lines = [
        *title,
        f"Chromium {about['chromium']} and, where it is named, Firefox, without a screen, on {about['processor']}, {about['cores']} cores, {about['date']}. From disk: seconds from asking for a page until all of its explorers "
        f"can be used, medians of {loads} loads, with the lowest and highest in brackets. While a point is dragged, a move in each of {results['frames']} frames: milliseconds of script in a frame, and "
        f"from one frame to the next (16.7 at best), medians and 95th percentiles. The machine's load average was {about['load'][0]:.1f} before and {about['load'][1]:.1f} after.",
        "",
        row(["", "usable after, s", "script, ms", "95 %", "frame, ms", "95 %"]),
        row(["---"] * 6),
    ]
    for page, (name, _, point) in EXPLORED.items():
        seconds, frame = found[page]["seconds"], (found[page]["scripts"], found[page]["gaps"])
        cells = (f"{values[which]:.1f}" for values in frame for which in ("median", "95 %"))
        usable = f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"
        lines.append(row([f"{name}, {point}", usable, *cells]))
    return [*lines, *(line for name, found in results["training"].items() for line in report_training(name, found))]


def report_training(browser: str, found: dict) -> list[str]:
    rates, gaps = found["rates"], found["gaps"]
    middle = {m: {how: statistics.median(values) for how, values in each.items()} for m, each in rates.items()}
    return [
        "",
        f"Meta-training in the playground in {browser}, outer iterations a second of each method alone, medians of {len(rates['maml']['kernel'])} runs in turns. In single precision by the kernel in "
        "WebAssembly, and in double precision in plain JavaScript, which is used where there is no WebAssembly:",
        "",
        row(["", "kernel", "plain JavaScript", "ratio"]),
        row(["---"] * 4),
        *(
            row([TRAINED[m], f"{v['kernel']:,.0f}", f"{v['plain']:,.0f}", f"{v['kernel'] / v['plain']:.1f}"])
            for m, v in middle.items()
        ),
        "",
        f"All three at once, each in its thread, did 15,000 iterations in {found['seconds']:.0f} s; meanwhile a frame took {gaps['median']:.1f} ms (median; 95 %: {gaps['95 %']:.1f}, longest {gaps['longest']:.1f}).",
    ]


def processor() -> str:
    """Name the processor: virtual machines tell its family and model, and not always more."""
    name = getattr(torch.cpu, "get_capabilities", dict)().get("cpu_name") or platform.processor()
    about = Path("/proc/cpuinfo")
    fields = (
        dict(line.split(":", 1) for line in about.read_text().splitlines() if ":" in line) if about.exists() else {}
    )
    numbers = {key.strip(): value.strip() for key, value in fields.items() if key.strip() in ("cpu family", "model")}
    return ", ".join([name, *(f"{key.removeprefix('cpu ')} {numbers[key]}" for key in sorted(numbers))])


def on_this_processor(one_core: dict, before: dict) -> dict:
    """Rates of l2l and of JAX's best form on one core, for each processor on which this was asked."""
    found = {}
    for column, of in one_core.items():
        medians = {name: peer["median"] for name, peer in of["rates"].items()}
        theirs = max(median for name, median in medians.items() if name.startswith("jax"))
        found[column] = medians["l2l:compiled"], theirs, ratio(of, lambda name: name.startswith("jax"))
    return before | {processor(): found}


def report_processors(found: dict) -> list[str]:
    title = "## One core, on several processors: iterations a second of l2l, of JAX's best form, and the ratio"
    lines = [title, "", row(["", *COLUMNS]), row(["---"] * (len(COLUMNS) + 1))]
    for name, columns in found.items():
        cells = (f"{ours:,.0f}, {theirs:,.0f}, {times:.2f} ×" for ours, theirs, times in columns.values())
        lines.append(row([name, *cells]))
    return [*lines, ""]


def machine() -> dict:
    return {
        "processor": processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def ratio(found: dict, peers: Callable[[str], bool]) -> float:
    """l2l against the fastest of some peers: the median over rounds of the ratio within a round."""
    rates = {name: peer["rates"] for name, peer in found["rates"].items()}
    best = max(filter(peers, rates), key=lambda name: statistics.median(rates[name]))
    return statistics.median(a / b for a, b in zip(rates["l2l:compiled"], rates[best], strict=True))


def row(cells) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def report(results: dict) -> str:
    """Write the tables."""
    about, one, two = results["machine"], results["one core"], results["all cores"]
    lines = [
        "# Speed, measured",
        "",
        f"`make bench` on {about['processor']}, {about['cores']} cores, Python {about['python']}, torch {about['torch']}; "
        f"{results['rounds']} rounds in turns where nothing else is said, medians, with the lowest and highest in brackets; ratios are medians of those within a round. Iterations a second: 25 tasks, K = Q = 10, "
        "network 1-40-40-1, float32, sampling and Adam included. Compare ratios; seconds differ from machine to machine.",
        "",
        *elsewhere(results),
        "## One core",
        "",
        row(["", *COLUMNS]),
        row(["---"] * (len(COLUMNS) + 1)),
    ]

    def cell(found, name):
        if name not in found["rates"]:
            return "–"
        rates = found["rates"][name]["rates"]
        return f"{statistics.median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"

    for name in ONE_CORE:
        lines.append(row([NAMES[name], *(cell(one[column], name) for column in COLUMNS)]))
    lines += ["", f"learn2learn 0.2.0: {results['learn2learn']}.", ""]
    failed = {(c, n): e for c in COLUMNS for n, e in one[c]["failed"].items()}
    lines += [f"Failed: {NAMES[n]}, {c}: {e}" for (c, n), e in failed.items()]

    def against_jax(columns, forms="JAX's best form", chosen=lambda name: name.startswith("jax")) -> str:
        ratios = (f"{c} {ratio(found, chosen):.2f} ×" for c, found in columns.items())
        return f"l2l against {forms}: {', '.join(ratios)}."

    lines += ["", against_jax(one)]
    reached = one["MAML, 1 step"]["rates"]["l2l:compiled"]["median"] / results["limit"]["iterations_a_second"]
    maml = one["MAML, 1 step"]["rates"]
    lines += [
        "MAML, 1 step, against "
        + ", ".join(
            f"{NAMES[n]} {ratio(one['MAML, 1 step'], n.__eq__):.{0 if n.endswith('loop') else 1}f} ×"
            for n in maml
            if n.split(":")[0] in ("learn2learn", "higher", "torchopt", "torch")
        )
        + ".",
        "",
        f"The matrix products of one MAML iteration are {results['limit']['megaflops']:.1f} million operations. At the best rate of each on this core they "
        f"would allow {results['limit']['iterations_a_second']:,.0f} iterations a second; l2l reaches {reached:.2f} of that.",
        "",
        *report_processors(results["processors"]),
        f"## {about['cores']} cores, as many replicas: iterations of all of them",
        "",
        row(["", *COLUMNS]),
        row(["---"] * (len(COLUMNS) + 1)),
    ]
    for name in TWO_CORES:
        lines.append(row([NAMES[name], *(cell(two[column], name) for column in COLUMNS)]))
    own = {"jax:scan", "jax:vmap"}  # JAX has no threads for replicas: those are ours
    lines += [
        "",
        against_jax(two, "the best that JAX does by itself (scan or vmap)", own.__contains__),
        against_jax(two, "a thread for each replica, which we put around JAX", "jax:replicas".__eq__),
        "",
    ]
    lines += ["## What each rewrite of the recorded step is worth", ""]
    lines += [
        "Speed with it as a multiple of the speed without it, on one core. Less than 1.05 in all columns is not worth having.",
        "",
    ]
    lines += [row(["", *results["rewrites"]]), row(["---"] * (len(results["rewrites"]) + 1))]
    for rewrite in REWRITES:
        without = f"l2l:without {rewrite.__name__}".__eq__
        said = rewrite.__doc__.removeprefix("Write ").removesuffix(".")
        worth = (f"{ratio(found, without):.2f} ×" for found in results["rewrites"].values())
        lines.append(row([f"`{rewrite.__name__}`: {said}", *worth]))
    lines += [""]
    for title in GROWTH:
        table = results[title]
        unrolled = ["Both unroll the inner loop; JAX might do better with a loop of its own.", ""]
        lines += [
            f"## MAML against {title}",
            "",
            *(unrolled if title == "inner steps" else []),
            row([title, *table]),
            row(["---"] * (len(table) + 1)),
        ]
        lines += [
            row([NAMES[name], *(f"{found['rates'][name]['median']:,.0f}" for found in table.values())])
            for name in ("l2l:compiled", "jax:scan")
        ]
        ratios = (ratio(found, "jax:scan".__eq__) for found in table.values())
        lines += [row(["ratio", *(f"{times:.2f} ×" for times in ratios)]), ""]
    lines += report_ranks(results["ranks"])
    memory = results["memory"]
    lines += ["## Peak memory of one meta-gradient, 1,000 tasks, in MB above the start, and seconds", ""]
    lines += [row(["inner steps", *map(str, memory["maml"])]), row(["---"] * (len(memory["maml"]) + 1))]
    lines += [
        row([how, *(f"{mb:.0f} MB, {seconds:.1f} s" for mb, seconds in memory[name].values())])
        for how, name in (("`maml`: through the graph", "maml"), ("`checkpointed_maml`", "checkpointed_maml"))
    ]
    e = results["evaluation"]
    lines += ["", *report_start_up(results["start-up"])]
    lines += [
        "## The rest",
        "",
        *(
            f"- Adapting to 1,000 tasks, 10 steps of {o.upper() if o == 'sgd' else 'Adam'}: {e[o]['one call']:.3f} s in one call, {e[o]['loop']:.1f} s one task at a time: {e[o]['loop'] / e[o]['one call']:.0f} ×."
            for o in e
        ),
    ]
    full = results["full schedule"]
    lines += [
        f"- Three methods × ten seeds × 70,000 iterations: {full['seconds'] / 60:.1f} minutes, at most {full['megabytes']:,.0f} MB."
    ]
    for tasks, rates in results["gpu"].items():
        lines += [
            f"- {int(tasks):,} tasks: {rates['cpu']:,.0f} iterations a second on one core, {rates['cuda']:,.0f} on the GPU."
        ]
    lines += [] if results["gpu"] else ["- This machine has no GPU, so none was measured."]
    lines += report_pages(results["pages"])
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the peers")
    parser.add_argument(
        "--only", nargs="+", metavar="PART", help="measure these parts of results.json again, and no others"
    )
    args = parser.parse_args()
    rival = ["l2l:compiled", "jax:scan"]
    source = ""

    def table(names, columns, tasks, cores):
        return {
            column: compare(
                [n for n in names if not (method == "pretrain" and n in WITHOUT_JOINT)],
                method,
                steps,
                tasks,
                cores,
                args,
                source,
            )
            for column, (method, steps) in columns.items()
        }

    def against(what, values, large):
        """MAML's rates as one thing grows; from `large` on with few iterations at a time, as their batches fill memory."""
        found = {}
        for value in values:
            setting = {"steps": 1, "tasks": 25, what: value, "block": 250 if value < large else 10}
            found[value] = compare(rival, "maml", cores=1, args=args, learn2learn=source, **setting)
        return found

    parts = {
        "limit": matrix_limit,
        "one core": lambda: table(ONE_CORE, COLUMNS, 25, 1),
        "processors": lambda: on_this_processor(
            table(SIDE_BY_SIDE, COLUMNS, 25, 1) if args.only else results["one core"],
            before.get("processors", {}),
        ),
        "all cores": lambda: table(TWO_CORES, COLUMNS, 25, cores()),
        "rewrites": lambda: table(REWRITTEN, COLUMNS, 25, 1),
        **{title: partial(against, *grown) for title, grown in GROWTH.items()},
        "ranks": lambda: ranks(args),
        "memory": lambda: memory(args),
        "start-up": lambda: start_up(args),
        "evaluation": lambda: evaluation(args.rounds),
        "gpu": gpu_crossover,
        "full schedule": lambda: full_schedule(args),
        "pages": pages,
    }
    if unknown := set(args.only or ()) - set(parts):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(parts)}")
    file = HERE / "results.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    results = before if args.only else {}
    if args.only:  # which machine the other parts are of
        results.setdefault("machines", dict.fromkeys(parts, results["machine"]))
    else:
        results |= {"machine": machine(), "rounds": args.rounds, "machines": {}}
    with tempfile.TemporaryDirectory() as folder, tqdm(total=len(args.only or parts)) as bar:
        if not args.only or "one core" in args.only:
            source, results["learn2learn"] = learn2learn_source(folder, args.python)
        for name in args.only or parts:
            bar.set_postfix_str(name)
            results[name] = parts[name]()
            results["machines"][name] = machine() | {"rounds": args.rounds}
            bar.update()
    results = json.loads(json.dumps(results))  # as it is read again
    file.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
