"""What surrounds us is not ours: threads, modes, styles, streams, names, folders and interrupts of other people."""

import ctypes
import errno
import importlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from filelock import FileLock
from matplotlib.figure import Figure

import l2l.engine.workers
import l2l.methods
from l2l import METHODS, Run, TrainConfig, train
from l2l.cli import main
from l2l.engine import cache, native
from l2l.engine.workers import one_thread
from l2l.plots import HOUSE_STYLE, LEGEND, TITLE, house_figure, plot_adaptation_curves, plot_half_axis_fit, plot_mean
from l2l.report import draw_figures, meta_test, meta_test_batch
from l2l.run import DATA, only_writer
from l2l.widgets import retrain

training = importlib.import_module("l2l.training")
SMALL = TrainConfig(iterations=12, tasks=3, shots=4, query=4, sizes=(1, 4, 1), log_every=4)
OPTIONS = ["--iterations", "12", "--tasks", "3", "--shots", "4", "--query", "4", "--sizes", "1,4,1", "--log-every", "4"]


def equal(run, other):
    """Whether two runs have the same bits."""
    pairs = [(run.theta, other.theta), (run.history, other.history)]
    return all(torch.equal(one[name], two[name]) for one, two in pairs for name in two)


def surroundings():
    """What others may have set, and what only they may set."""
    return {
        "threads of torch": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "random numbers": (torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()),  # noqa: NPY002
        "filters": list(warnings.filters),
        "style": dict(mpl.rcParams),
        "handlers": {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)},
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "folder": os.getcwd(),
        "threads": {thread for thread in threading.enumerate() if thread.name != "tqdm_monitor"},  # torch's own bar
    }


@pytest.fixture(scope="module")
def plain():
    return train(SMALL)


def python(*arguments, **more):
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | more.pop("env", {})
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, **more)


def alone(function, *arguments, **more):
    """Run a function of this file in a process of its own, as what it does may end one or spoil it."""
    done = python(*calling(function, *arguments), **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def calling(function, *arguments):
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_situations as t; t.{{}}(*{{}})"
    return ["-c", code.format(function.__name__, list(map(str, arguments)))]


# Modes and streams


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def stream(name, value):
    before = getattr(sys, name)
    setattr(sys, name, value)
    try:
        yield
    finally:
        setattr(sys, name, before)


def closed():
    nothing = io.StringIO()
    nothing.close()
    return nothing


MODES = {
    "float64 by default": default_dtype,
    "another device by default": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no stderr": lambda: stream("stderr", None),
    "a closed stderr": lambda: stream("stderr", closed()),
    "no stdout": lambda: stream("stdout", None),
}


@pytest.mark.parametrize("mode", MODES)
def test_what_others_set_changes_neither_the_result_nor_itself(mode, plain, tmp_path):
    with MODES[mode]():
        before, seen = surroundings(), []
        run = train(SMALL, out=tmp_path / "run", progress=lambda run: seen.append(surroundings()))
        assert surroundings() == before
        assert len(seen) == 4
        for name in ("dtype", "device", "gradients", "autocast", "streams"):
            assert [at[name] for at in seen] == [before[name]] * 4, "what a function of theirs sees"
    assert equal(run, plain)
    assert equal(Run.load(tmp_path / "run"), plain)


@pytest.mark.parametrize("value", [None, closed()], ids=["no stream", "a closed stream"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_the_command_line_goes_without_a_stream(name, value, tmp_path):
    with stream(name, value):
        assert main(["train", "maml", *OPTIONS, "--out", str(tmp_path / "run")]) == 0
        assert main(["evaluate", str(tmp_path / "run"), "--tasks", "5", "--figures", str(tmp_path)]) == 0
        assert main(["evaluate", str(tmp_path / "nothing")]) == 2
        assert main(["check"]) == 0


# Pictures


def rgba(figure, dpi=90):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=dpi, facecolor="auto")
    return buffer.getvalue()


def draw_all(left, middle, right):
    x = np.linspace(1, 3, 5)
    plot_mean(x, np.stack([x, x + 1], axis=1), left, method="fomaml")
    left.set(xlabel="$x$", ylabel="a label\nof two lines")
    plot_adaptation_curves({"maml": np.array([[1.0, 2.0, 9.0], [0.1, 0.2, 6.0]])}, middle)
    plot_half_axis_fit(x, x**2, {0: x, 1: -x}, (x[2:4], x[2:4] ** 2), right, method="my own")


def test_a_figure_in_the_house_style_is_that_of_pyplot_with_these_settings():
    with plt.rc_context(HOUSE_STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
        draw_all(*axes)
        figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        right = rgba(figure)
        plt.close(figure)
    figure, axes = house_figure(3, (9, 3))
    draw_all(*axes)
    axes[1].legend(**LEGEND)
    axes[2].set_title(axes[2].get_title(), **TITLE)
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=3, **LEGEND)
    assert rgba(figure) == right


def test_pictures_stay_as_they_are_under_the_style_of_others_and_so_does_that(tmp_path):
    runs = {method: Run.stored(method) for method in METHODS}
    batch = meta_test_batch(runs["maml"], 5, 10)
    results = {m: meta_test(run, batch, alpha=0.01, steps=2, optimizer="sgd") for m, run in runs.items()}
    pictures = {}
    for style in ("default", "dark_background"):
        (folder := tmp_path / style).mkdir()
        with mpl.style.context(style):
            before = surroundings()
            drawn = [path.read_bytes() for path in draw_figures(folder, runs, results, None)]
            pictures[style] = [*drawn, retrain()._repr_mimebundle_()["text/html"]]
            assert surroundings() == before
    assert pictures["default"] == pictures["dark_background"]
    assert plt.get_fignums() == []


def test_what_others_set_while_a_widget_draws_stays(monkeypatch):
    """Settings of matplotlib belong to all threads: the widget's neither changes them nor sets any back."""
    seen, savefig = [], Figure.savefig

    def meanwhile(*args, **kwargs):
        seen.append(dict(mpl.rcParams))
        savefig(*args, **kwargs)
        mpl.rcParams["font.size"] = 7.5

    with mpl.rc_context({"axes.grid": False}):
        before = dict(mpl.rcParams)
        monkeypatch.setattr(Figure, "savefig", meanwhile)
        widget = retrain(iterations=4, tasks=2, sizes=(1, 4, 1))
        widget.train_button.click()
        widget.thread.join()
        assert [theirs | {"font.size": before["font.size"]} for theirs in seen] == [before] * len(seen)
        assert seen
        assert seen[0] == before
        assert mpl.rcParams["font.size"] == 7.5


def test_figures_need_no_backend(tmp_path):
    done = python(
        "-m",
        "l2l",
        "evaluate",
        DATA / "maml.safetensors",
        "--tasks",
        "5",
        "--figures",
        tmp_path / "figures",
        env={"MPLBACKEND": "module://absent"},
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "figures").glob("*.png"))) == 3


# Threads


def train_in_threads(folder):
    """On an empty cache and in odd surroundings, after interrupts: two trainings at once, then a pair of widgets."""
    os.environ |= {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch", "L2L_STRICT": "1"}
    config = replace(SMALL, iterations=60, log_every=12)
    torch.set_num_threads(3)
    importlib.import_module("sympy")  # which adds a filter when it is imported, by torch
    interrupted_within_torch(config)
    before, runs, start = surroundings(), {}, threading.Barrier(2)

    def work(name, mode):
        start.wait()
        with mode():
            runs[name] = train(config, compile=True)
        runs[f"threads of torch after {name}"] = torch.get_num_threads()

    with stream("stderr", None), default_dtype():
        both = [
            threading.Thread(target=work, args=item)
            for item in (("a", MODES["another device by default"]), ("b", MODES["autocast"]))
        ]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    assert surroundings() == before
    assert runs["threads of torch after a"] == runs["threads of torch after b"] == 3
    solo = train(config, compile=True)
    assert [runs[name].engine for name in ("a", "b")] == ["native"] * 2 == [solo.engine] * 2
    assert equal(runs["a"], solo)
    assert equal(runs["b"], solo)
    assert len(os.listdir(f"{folder}/l2l")) == 1, "compiled once"

    training.COMPILE_FROM = 60
    settings = {name: getattr(config, name) for name in ("iterations", "tasks", "shots", "query", "sizes")}
    pair = [retrain(**settings, log_every=12) for _ in range(2)]
    for widget in pair:
        widget.train_button.click()
    for widget in pair:
        widget.thread.join()
        assert widget.runs["maml"].engine == "native"
        assert equal(widget.runs["maml"], solo)
    assert surroundings() == before


def interrupted_within_torch(config):
    """Interrupt what torch does while it records, while it exports and while it compiles."""

    def at_once(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)

    scan = importlib.import_module("torch._higher_order_ops.scan")
    for owner, name in ((l2l.methods, "grad_and_value"), (scan, "scan"), (native.zipfile, "ZipFile")):
        before, theirs = surroundings(), getattr(owner, name)
        setattr(owner, name, at_once)
        with pytest.raises(KeyboardInterrupt):
            train(config, compile=True)
        setattr(owner, name, theirs)
        assert surroundings() == before


def test_two_trainings_at_once_on_an_empty_cache_have_the_bits_of_one_and_leave_all_as_it_was(tmp_path):
    if not hasattr(torch._inductor.config.aot_inductor, "precompile_headers"):
        pytest.skip("this torch compiles each step alone")
    alone(train_in_threads, tmp_path)


def test_different_methods_recorded_at_once_have_the_bits_of_each_alone():
    configs = [replace(SMALL, method=method) for method in METHODS]
    expected, found, start = [train(config) for config in configs], {}, threading.Barrier(len(configs))

    def work(i):
        start.wait()
        found[i] = train(configs[i])

    before = surroundings()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(configs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert surroundings() == before
    assert all(equal(found[i], expected[i]) for i in range(len(configs)))


@pytest.mark.parametrize("first_out", ["a", "b"])
def test_every_thread_has_its_number_of_threads_back(first_out):
    """Torch keeps it for each thread; a new one begins with the number that was set last."""
    inside, leave, left, after = threading.Event(), threading.Event(), threading.Event(), {}
    before = torch.get_num_threads()

    def work():
        with one_thread():
            after["b within"] = torch.get_num_threads()
            inside.set()
            leave.wait()
        after["b"] = torch.get_num_threads()
        left.set()

    def look():
        after["new"] = torch.get_num_threads()

    try:
        torch.set_num_threads(3)
        second = threading.Thread(target=work)
        with one_thread():
            second.start()
            inside.wait()
            if first_out == "b":
                leave.set()
                left.wait()
            after["a within"] = torch.get_num_threads()
        after["a"] = torch.get_num_threads()
        leave.set()
        second.join()
        third = threading.Thread(target=look)
        third.start()
        third.join()
    finally:
        torch.set_num_threads(before)
    assert after == {"a within": 1, "b within": 1, "a": 3, "b": 3, "new": 3}


# Interrupts and errors


def interrupt_at_every_line(folder):
    """Interrupt a training at each line of ours that it runs, one after the other; then let it go on to the end."""
    folder, out = Path(folder), Path(folder) / "run"
    training.SAVE_EVERY = 0.0  # after every block
    l2l.engine.workers.recorded = lambda forms, example: (forms[-1], None)  # recording has its own test
    config = replace(SMALL, method="pretrain", steps=0, tasks=2, sizes=(1, 2, 1), iterations=4, log_every=2)
    files = {str(Path(l2l.__file__).parent / name) for name in ("training.py", "run.py", "_interrupts.py")}
    files.add(l2l.engine.workers.__file__)
    lines, wanted = {}, None

    def count(frame, event, _):
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            line = frame.f_code.co_filename, frame.f_lineno
            lines[line] = lines.get(line, 0) + 1
            if (line, lines[line]) == wanted:
                signal.raise_signal(signal.SIGINT)
        return count

    def traced(**more):
        lines.clear()
        sys.settrace(count)
        try:
            return train(config, out=out, **more)
        finally:
            sys.settrace(None)

    whole = traced()
    once = dict(lines)
    out.unlink()
    before, ends = surroundings(), {"interrupted": 0, "resumed": 0}
    for wanted in [(line, n) for line, times in once.items() for n in sorted({1, times})]:
        try:
            traced()
            raise AssertionError(f"not interrupted at {wanted}")
        except KeyboardInterrupt:
            ends["interrupted"] += 1
        assert {path.name for path in folder.iterdir()} <= {"run"}, wanted
        assert surroundings() == before, wanted
        if out.exists():
            ends["resumed"] += 0 < Run.load(out).iteration < 4
        assert equal(train(config, out=out, resume=True), whole), wanted
        assert equal(Run.load(out), whole), wanted
        out.unlink()
    print(json.dumps(ends))


def test_an_interrupt_at_any_line_leaves_a_file_that_goes_on_and_nothing_else(tmp_path):
    ends = json.loads(alone(interrupt_at_every_line, tmp_path))
    assert ends["interrupted"] > 80
    assert ends["resumed"] > 10


def test_a_second_interrupt_waits_until_all_is_put_away(tmp_path, monkeypatch):
    """The first comes in a block of training, the second while the file is written on account of the first."""
    fsync, before = os.fsync, surroundings()

    def again(*args):
        signal.raise_signal(signal.SIGINT)
        fsync(*args)

    def first(run):
        if run.iteration == 4:
            monkeypatch.setattr(os, "fsync", again)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(SMALL, out=tmp_path / "run", progress=first)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert Run.load(tmp_path / "run").iteration == 4
    assert surroundings() == before


def test_a_signal_that_others_only_take_note_of_ends_nothing(plain):
    noted = []
    theirs = signal.signal(signal.SIGINT, lambda *args: noted.append(args))
    try:
        run = train(SMALL, progress=lambda run: signal.raise_signal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, theirs)
    assert equal(run, plain)
    assert len(noted) == 4


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_leaves_all_as_it_was(error, plain, tmp_path):
    def stops(run):
        if run.iteration == 8:
            raise error

    before = surroundings()
    with pytest.raises(error):
        train(replace(SMALL, seeds=(0, 1)), progress=stops, out=tmp_path / "run")
    assert surroundings() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert equal(train(SMALL), plain)


def test_no_thread_outlives_training(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    before = set(threading.enumerate())
    monkeypatch.setattr(sys, "stderr", Terminal())
    train(replace(SMALL, seeds=(0, 1, 2)), workers=3)
    assert "MAML" in sys.stderr.getvalue() or "maml" in sys.stderr.getvalue()
    assert set(threading.enumerate()) == before


# Names and folders


@pytest.mark.parametrize("name", ["a b", 'it\'s "so"', "ünï→😀", "-x", "--out", "%s{0}$HOME", ".run.lock", "a\nb", "~"])
def test_names_may_be_odd(name, plain, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "maml", *OPTIONS, f"--out={name}"]) == 0
    assert os.listdir() == [name]
    assert equal(Run.load(name), plain)
    assert f"saved in {name}" in capsys.readouterr().out
    assert main(["evaluate", "--tasks", "5", "--", name]) == 0


def test_names_that_cannot_be_used_are_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(l2l.engine.workers, "advance", None)
    (tmp_path / "loop").symlink_to("loop")
    for name, text in (("\udcff", "valid Unicode"), ("x" * 250, "name too long"), ("loop", "an ordinary file")):
        with pytest.raises((ValueError, OSError), match=text):
            train(SMALL, out=tmp_path / name)
    assert os.listdir(tmp_path) == ["loop"]
    assert (tmp_path / "loop").is_symlink()


def test_out_stays_where_it_was_meant_when_the_folder_or_a_link_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "here" / "link").symlink_to("target")
    monkeypatch.chdir(tmp_path / "here")

    def elsewhere(run):
        os.chdir(tmp_path / "there")
        (tmp_path / "here" / "link").unlink()
        (tmp_path / "here" / "link").symlink_to("another")

    run = train(SMALL, out="link", progress=elsewhere)
    assert sorted(os.listdir(tmp_path / "here")) == ["link", "target"]
    assert os.listdir(tmp_path / "there") == []
    assert equal(Run.load(tmp_path / "here" / "target"), run)


def refuses(code):
    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return refuse


def test_a_folder_that_can_only_be_read_is_told_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(l2l.engine.workers, "advance", None)
    monkeypatch.setattr(Path, "touch", refuses(errno.EROFS))  # also for those whom no mode keeps out
    assert main(["train", "maml", *OPTIONS, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"l2l: out can't be written at {tmp_path / 'run'}: Read-only file system"
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_one_line_and_the_older_file_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    fsync, saved = os.fsync, []

    def full_at_last(file):
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved.append(fsync(file))

    monkeypatch.setattr(os, "fsync", full_at_last)
    assert main(["train", "maml", *OPTIONS, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"l2l: the run can't be written at {tmp_path / 'run'}: No space left on device"
    assert os.listdir(tmp_path) == ["run"]
    assert Run.load(tmp_path / "run").iteration == 8
    monkeypatch.undo()
    assert equal(train(SMALL, out=tmp_path / "run", resume=True), train(SMALL))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_output_that_finds_no_room_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "l2l", "check"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["l2l: [Errno 28] No space left on device"]


LIBRARY, SYMBOL = Path(torch._C.__file__), "PyInit__C"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A cache's folder that holds a library, and a folder for temporary files."""
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(cache, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(temporary))
    cache.load("key", LIBRARY.read_bytes, [SYMBOL])
    (library,) = (tmp_path / "l2l").iterdir()
    return library


def left(kept):
    return sorted(os.listdir(kept.parent)), os.listdir(kept.parent.parent / "temporary")


def test_a_cache_that_can_only_be_read_is_used_as_it_is(kept, monkeypatch):
    for owner, name in ((Path, "touch"), (Path, "unlink"), (os, "replace"), (cache.tempfile, "NamedTemporaryFile")):
        monkeypatch.setattr(owner, name, refuses(errno.EROFS))
    assert cache.load("key", None, [SYMBOL])._name == str(kept), "and nothing is built"
    assert left(kept) == ([kept.name], [])
    assert cache.load("other", LIBRARY.read_bytes, [SYMBOL])._name != str(kept), "one that is not there"
    assert left(kept) == ([kept.name], [])


@pytest.mark.parametrize("key", ["key", "other"])
def test_a_cache_from_which_nothing_may_be_run_falls_back_to_a_copy(kept, key, monkeypatch):
    opened, CDLL = [], ctypes.CDLL

    def forbidden(path):
        opened.append(Path(path))
        if Path(path).parent == kept.parent:
            raise OSError(f"{path}: failed to map segment from shared object")
        return CDLL(path)

    monkeypatch.setattr(ctypes, "CDLL", forbidden)
    library = cache.load(key, None if key == "key" else LIBRARY.read_bytes, [SYMBOL])
    assert Path(library._name).parent.parent == kept.parent.parent / "temporary"
    assert opened[0].parent == kept.parent
    assert left(kept)[1] == []


def test_a_path_that_torch_does_not_quote_is_named_with_the_words_of_the_compiler(tmp_path):
    """In a process of its own, as torch goes on using a folder that it has found."""
    (odd := tmp_path / "it's a folder").mkdir()
    make = """if True:
        import torch
        from l2l.engine import native
        step, one = torch.fx.symbolic_trace(lambda theta, x: (theta - x, x.sum())), torch.ones(3)
        try:
            native.NativeLoop(step, (one,), (), (one,))
        except native.Unavailable as reason:
            print(reason)
    """
    places = {"TMPDIR": str(odd), "TORCHINDUCTOR_CACHE_DIR": str(odd / "torch"), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", make], env=os.environ | places, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if done.stdout:  # a torch that quotes them has nothing to tell
        assert re.search("error|not found|cannot find|No such", done.stdout)
        assert repr(str(odd)) in done.stdout


# Two writers


def save_and_load(path):
    run = Run.stored("maml")
    for _ in range(60):
        run.save(path)
        assert equal(Run.load(path), run)


def test_two_processes_write_and_read_one_file(tmp_path):
    command = [sys.executable, *calling(save_and_load, tmp_path / "run")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    assert os.listdir(tmp_path) == ["run"]


def test_threads_write_one_file(tmp_path):
    run, failed = Run.stored("maml"), []

    def work():
        try:
            for _ in range(10):
                run.save(tmp_path / "run")
                Run.load(tmp_path / "run")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert os.listdir(tmp_path) == ["run"]


def hold_a_training(out):
    """Train by the command line, and wait in the second block until the input ends."""
    advance, blocks = l2l.engine.workers.advance, []

    def held(*args):
        blocks.append(args)
        if len(blocks) == 2:
            print("held", flush=True)
            sys.stdin.read()
        return advance(*args)

    l2l.engine.workers.advance = held
    sys.exit(main(["train", "maml", *OPTIONS, "--out", out]))


def test_of_three_trainings_into_one_file_two_are_refused(tmp_path, plain):
    out = tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, *calling(hold_a_training, out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "held\n"
    (tmp_path / "link").symlink_to("run")
    for more in (["--out", out], ["--overwrite", "--out", tmp_path / "link"]):
        done = python("-m", "l2l", "train", "maml", *OPTIONS, *more)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [f"l2l: out is being written by another training: {out}"]
    first.communicate("")
    assert first.returncode == 0
    assert equal(Run.load(out), plain)
    assert sorted(os.listdir(tmp_path)) == ["link", "run"]


def just_before_the_lock(monkeypatch, happens):
    acquire = FileLock.acquire

    def late(self, *args, **kwargs):
        monkeypatch.setattr(FileLock, "acquire", acquire)
        return happens(self, lambda: acquire(self, *args, **kwargs))

    monkeypatch.setattr(FileLock, "acquire", late)


def test_a_run_that_another_training_has_just_ended_is_not_replaced(tmp_path, monkeypatch, plain):
    def ended(lock, acquire):
        plain.save(tmp_path / "run")
        return acquire()

    just_before_the_lock(monkeypatch, ended)
    with pytest.raises(FileExistsError, match="out exists"):
        train(replace(SMALL, seeds=(1,)), out=tmp_path / "run")
    assert equal(Run.load(tmp_path / "run"), plain)
    assert os.listdir(tmp_path) == ["run"]


def test_a_lock_whose_file_was_removed_is_none(tmp_path, monkeypatch):
    def removed(lock, acquire):
        acquire()
        Path(lock.lock_file).unlink()

    just_before_the_lock(monkeypatch, removed)
    with only_writer(tmp_path / "run"):
        with pytest.raises(OSError, match="being written by another training"), only_writer(tmp_path / "run"):
            pass
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []
    with only_writer(tmp_path / "run"), nullcontext():
        pass
