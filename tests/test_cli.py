import argparse
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import torch

from l2l import Run, SineTasks, TrainConfig, adaptation_curve, initial_gradient_norm, mlp, train
from l2l.cli import main, parse_seeds, parser
from l2l.report import half_axis_fit, summarise
from l2l.tasks import META_TEST, stream

SMALL = ["--iterations", "20", "--tasks", "3", "--sizes", "1,8,1", "--log-every", "10"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for method, seeds in (("maml", "0-2"), ("fomaml", "0-2"), ("pretrain", "0")):
        assert main(["train", method, *SMALL, "--seeds", seeds, "--out", str(folder / f"{method}.safetensors")]) == 0
    return [str(folder / f"{method}.safetensors") for method in ("maml", "fomaml", "pretrain")]


def test_train_is_the_same_engine(runs):
    run = Run.load(runs[0])
    expected = TrainConfig(iterations=20, tasks=3, sizes=(1, 8, 1), log_every=10, seeds=(0, 1, 2))
    assert run.config == expected
    assert all(torch.equal(run.theta[k], p) for k, p in train(expected).theta.items())


def test_evaluate_prints_one_table(runs, capsys):
    assert main(["evaluate", *runs, "--tasks", "50"]) == 0
    text = capsys.readouterr().out
    for word in (
        "maml",
        "fomaml",
        "pretrain",
        "support",
        "query",
        "0 steps",
        "1 step",
        "5 steps",
        "10 steps",
        "gradient norm",
    ):
        assert word in text
    assert max(map(len, text.splitlines())) < 160


@pytest.mark.parametrize("half_axis", [False, True])
def test_json_and_table_against_the_functions_and_scipy(runs, capsys, half_axis):
    command = [
        "evaluate",
        *runs,
        "--tasks",
        "40",
        "--steps",
        "5",
        "--shots",
        "6",
        "--alpha",
        "0.02",
        "--optimizer",
        "adam",
    ]
    command += ["--half-axis"] * half_axis
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert printed["settings"]["shots"] == 6
    batch = SineTasks().sample(
        40, 6, 100, generator=stream(META_TEST, 0), support_range=(0.0, 5.0) if half_axis else None
    )
    for name, path in zip(("maml", "pretrain"), (runs[0], runs[2]), strict=True):
        run, row = Run.load(path), next(i for i, line in enumerate(lines) if line.startswith(name))
        replicas = [run.replica(r) for r in range(len(run.config.seeds))]
        curves = [adaptation_curve(theta, batch, alpha=0.02, steps=5, optimizer="adam") for theta in replicas]
        checks = {("gradient_norm", None): torch.stack([initial_gradient_norm(theta, batch) for theta in replicas])}
        for part, offset in (("support", 0), ("query", 1)):
            assert list(printed["runs"][name][part]) == ["0", "1", "5"]
            assert part in lines[row + offset]
            cells = re.findall(r"(\S+) ± (\S+) \[(\S+)\]", lines[row + offset])
            for cell, k in zip(cells, (0, 1, 5), strict=False):
                checks[part, str(k)] = torch.stack([getattr(curve, part)[k] for curve in curves])  # [R, T]
                shown = printed["runs"][name][part][str(k)]
                assert cell == tuple(f"{shown[key]:.3f}" for key in ("mean", "half_width", "median"))
        for (part, k), values in checks.items():
            shown = printed["runs"][name][part] if k is None else printed["runs"][name][part][k]
            sample = values.double().mean(dim=1) if len(replicas) > 1 else values[0].double()
            interval = scipy.stats.t.interval(0.95, len(sample) - 1, sample.mean(), scipy.stats.sem(sample))
            assert shown["mean"] == pytest.approx(sample.mean().item(), rel=1e-6)
            assert shown["half_width"] == pytest.approx((interval[1] - interval[0]) / 2, rel=1e-6)
            assert shown["median"] == pytest.approx(np.median(values.numpy()), rel=1e-6)
            assert shown["interval_over"] == ("seeds" if len(replicas) > 1 else "tasks")


def test_half_axis_fit_is_fine_tuning_by_sgd(runs):
    run = Run.load(runs[0])
    x, y, fits, (x_support, y_support) = half_axis_fit(run, 5, (0, 3), alpha=0.02)
    assert x_support.min() > 0
    assert len(x_support) == 5
    truth = np.interp(x_support, x, y)
    assert y_support.numpy() == pytest.approx(truth, abs=1e-3)
    leaves = {name: p.clone().requires_grad_() for name, p in run.replica(0).items()}
    optimiser = torch.optim.SGD(leaves.values(), lr=0.02)
    for steps in (0, 3):
        torch.testing.assert_close(fits[steps], mlp(leaves, x[:, None])[:, 0].detach(), rtol=1e-4, atol=1e-5)
        for _ in range(3):
            optimiser.zero_grad()
            ((mlp(leaves, x_support[:, None])[:, 0] - y_support) ** 2).mean().backward()
            optimiser.step()


def test_values_that_are_not_finite_become_null():
    summary = summarise(torch.tensor([[1.0, float("inf")], [1.0, 2.0]]).numpy())
    assert summary["mean"] is None
    assert summary["median"] == 1.5
    assert summary["mean_by_seed"] == [None, 1.5]


def test_figures_are_drawn(runs, tmp_path, capsys):
    assert main(["evaluate", *runs, "--tasks", "30", "--figures", str(tmp_path / "figures")]) == 0
    names = {"gradient-norms.png", "adaptation-curves.png", "half-axis-fit.png"}
    assert {p.name for p in (tmp_path / "figures").iterdir()} == names
    first = {name: (tmp_path / "figures" / name).read_bytes() for name in names}
    assert main(["evaluate", *runs, "--tasks", "30", "--figures", str(tmp_path / "figures")]) == 0
    assert all((tmp_path / "figures" / name).read_bytes() == first[name] for name in names)


def cli(*arguments):
    command = [sys.executable, "-m", "l2l", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_bad_input_is_one_line_and_status_2(tmp_path, runs, capsys):
    foreign, truncated, file = tmp_path / "foreign", tmp_path / "truncated", tmp_path / "file"
    foreign.write_text("not a run")
    file.write_text("")
    with open(runs[0], "rb") as whole:
        truncated.write_bytes(whole.read()[:-50])
    for arguments, message in (
        (["evaluate", tmp_path / "nothing"], "there is no run file"),
        (["evaluate", foreign], "can't be loaded"),
        (["evaluate", truncated], "can't be loaded"),
        (["evaluate", runs[0], "--tasks", "0"], "tasks must be at least"),
        (["evaluate", runs[0], "--alpha", "nan"], "alpha must be a finite number"),
        (["train", "maml", *SMALL, "--alpha", "-0.01"], "alpha must be a finite number, not negative, got -0.01"),
        (["train", "maml", *SMALL, "--seeds", "1,1"], "seeds must be distinct"),
        (["train", "maml", *SMALL, "--out", file / "x"], "out can't be written"),
        (["train", "maml", *SMALL, "--out", foreign, "--resume"], "can't be loaded"),
        (["train", "maml", *SMALL, "--device", "nonsense"], "device must be cpu, or cuda where there is a GPU"),
        (["train", "maml", *SMALL, "--tasks", "100000000000"], ""),  # more than any memory holds
        (["evaluate", runs[0], "--tasks", "9", "--figures", file / "x"], "figures can't be written"),
    ):
        assert main([*map(str, arguments)]) == 2, arguments
        out, err = capsys.readouterr()
        assert message in err
        assert len(err.strip().splitlines()) == 1
        assert out == ""
    for arguments in (["train", "reptile"], ["train", "maml", "--seeds", "a"], ["evaluate"], []):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


def test_bad_input_to_a_process_is_one_line_and_status_2(tmp_path):
    done = cli("evaluate", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1


def test_divergence_has_its_own_status(tmp_path):
    done = cli("train", "maml", *SMALL, "--alpha", "1e25", "--steps", "3", "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "training diverged at iteration" in done.stderr
    assert "Traceback" not in done.stderr
    assert Run.load(tmp_path / "run").iteration == 0


HELD = """
import sys
import l2l.engine.workers
from l2l.cli import main

advance, blocks = l2l.engine.workers.advance, []

def held(*args):
    blocks.append(args)
    if len(blocks) == 3:  # the worker waits, and the main thread for it
        print("held", flush=True)
        sys.stdin.read()
    return advance(*args)

l2l.engine.workers.advance = held
sys.exit(main())
"""


def test_ctrl_c_saves_and_resume_finishes(tmp_path):
    out = tmp_path / "run.safetensors"
    arguments = ["train", "maml", "--iterations", "800", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "interrupted; --resume continues from " in stderr
    assert "Traceback" not in stderr
    assert 0 < Run.load(out).iteration < 800
    done = cli("evaluate", out, "--tasks", "20")
    assert done.returncode == 0
    assert "of 800 iterations" in done.stderr
    done = cli(*arguments, "--resume")
    assert done.returncode == 0
    assert done.stderr == ""  # silent where stderr is no terminal
    assert Run.load(out).iteration == 800


def test_seeds():
    assert parse_seeds("0-4") == (0, 1, 2, 3, 4)
    assert parse_seeds("3") == (3,)
    assert parse_seeds("0,2,5-7") == (0, 2, 5, 6, 7)
    for bad in ("9-7", "0-4,9-7", "", "1,,2", "0-99999999999", "-1", "a"):
        with pytest.raises(argparse.ArgumentTypeError, match="seeds must look like"):
            parse_seeds(bad)


def test_output_that_is_not_unicode_or_not_read_is_no_failure(runs):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "cp1252"}
    command = f"{sys.executable} -m l2l evaluate {runs[0]} --tasks 9"
    done = subprocess.run(command, shell=True, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{command} | true"], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")


def test_help_describes_every_option():
    text = parser().format_help() + "".join(
        sub.format_help() for sub in parser()._subparsers._group_actions[0].choices.values()
    )
    for word in ("--resume", "--half-axis", "--figures", "default 15000", "default 0.01", "exit status", "examples"):
        assert word in text
