"""Training on several processes, as torchrun starts them: the bits of one process, whatever happens to one of them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

import l2l
from l2l.engine.distributed import Ranks

pytestmark = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch has no gloo here")
SETTINGS = {
    "iterations": 60,
    "tasks": 5,
    "shots": 4,
    "query": 4,
    "seeds": (0, 3, 5),
    "log_every": 20,
    "sizes": (1, 8, 1),
}
PATIENCE = 300


def torchrun(folder, program, *options, prefix=(), **more):
    """Start a program on several processes; its own output comes after that of torchrun's."""
    (folder / "program.py").write_text(textwrap.dedent(program), encoding="utf-8")
    command = [*prefix, sys.executable, "-m", "torch.distributed.run", *options, "program.py"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.path.dirname(os.path.dirname(l2l.__file__))} | more
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, **pipes)


def ended(process):
    """Wait for the end; give the status and the lines that l2l has written."""
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return (
        process.returncode,
        [line for line in output.splitlines() if "l2l" in line and "torchrun" not in line],
        output,
    )


def trains(settings=SETTINGS, **options):
    return f"""
        import os, signal, time
        import l2l, l2l.cli, l2l.engine.workers
        config = l2l.TrainConfig(**{settings!r})
        def train():
            return l2l.train(config, out="run.safetensors", **{options!r})
    """


def same(one, other):
    assert one.config == other.config
    assert one.iteration == other.iteration
    for ours, theirs in ((one.theta, other.theta), (one.history, other.history)):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_seeds_are_divided_and_the_file_is_that_of_one_process(tmp_path):
    status, _, output = ended(torchrun(tmp_path, trains() + "    train()", "--nproc-per-node", "2"))
    assert status == 0, output
    l2l.train(l2l.TrainConfig(**SETTINGS), out=tmp_path / "alone.safetensors")
    ours, theirs = (load_file(tmp_path / f"{name}.safetensors") for name in ("run", "alone"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    same(l2l.Run.load(tmp_path / "run.safetensors"), l2l.Run.load(tmp_path / "alone.safetensors"))


def test_every_process_knows_the_whole_run_and_more_than_there_are_seeds_do_no_harm(tmp_path):
    program = (
        trains()
        + """
        train().save(f"{os.environ['RANK']}.safetensors")
    """
    )
    status, _, output = ended(torchrun(tmp_path, program, "--nproc-per-node", "4"))
    assert status == 0, output
    for rank in range(4):
        same(l2l.Run.load(tmp_path / f"{rank}.safetensors"), l2l.train(l2l.TrainConfig(**SETTINGS)))


@pytest.mark.parametrize("engine", ["recorded", "compiled"])
def test_tasks_are_divided_and_the_result_is_that_of_one_process(tmp_path, engine):
    """Within rounding; 5 tasks on 2 processes are 3 and 2, whose means weigh as many."""
    if engine == "compiled" and shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler here")
    settings = SETTINGS | {"dtype": "float64"}
    program = trains(settings, shard="tasks", compile=engine == "compiled") + "    train()"
    status, _, output = ended(torchrun(tmp_path, program, "--nproc-per-node", "2"))
    assert status == 0, output
    run, alone = l2l.Run.load(tmp_path / "run.safetensors"), l2l.train(l2l.TrainConfig(**settings))
    assert run.engine == engine
    for ours, theirs in ((run.theta, alone.theta), (run.history, alone.history)):
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shard", ["seeds", "tasks"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_and_a_restart_goes_on_with_the_same_bits(tmp_path, rank, shard):
    """torchrun starts all of them again by itself; the last common checkpoint is where they go on."""
    call = 1 + 2 * (3 if shard == "tasks" else 2 - rank)  # the first of the third block
    program = (
        trains(SETTINGS, resume=True, shard=shard)
        + f"""
        advance, calls = l2l.engine.workers.advance, []
        def reached():
            return l2l.Run.load("run.safetensors").iteration if os.path.exists("run.safetensors") else 0
        def dies(*args):
            calls.append(1)
            if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"], len(calls)) == ("{rank}", "0", {call}):
                while reached() < 20:  # two blocks are made, not yet written
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            return advance(*args)
        l2l.engine.workers.advance = dies
        l2l.training.SAVE_EVERY = 0.0
        print("began at", reached(), flush=True)
        try:
            train()
        except RuntimeError as error:
            if l2l.training.speaks(error):
                print("l2l:", error, flush=True)
            raise SystemExit(2)
    """
    )
    status, said, output = ended(torchrun(tmp_path, program, "--nproc-per-node", "2", "--max-restarts", "1"))
    assert status == 0, output
    assert said == [f"l2l: rank {rank} stopped, and so does training"], output
    assert re.search("began at [24]0", output), output
    found = l2l.Run.load(tmp_path / "run.safetensors")
    if shard == "seeds":
        same(found, l2l.train(l2l.TrainConfig(**SETTINGS)))
    else:
        (tmp_path / "run.safetensors").unlink()
        status, _, output = ended(torchrun(tmp_path, trains(shard=shard) + "    train()", "--nproc-per-node", "2"))
        assert status == 0, output
        same(found, l2l.Run.load(tmp_path / "run.safetensors"))


def test_an_error_of_the_first_is_everyones_and_told_once(tmp_path):
    (tmp_path / "run.safetensors").write_bytes(b"")
    program = (
        trains()
        + """
        raise SystemExit(l2l.cli.main(["train", "maml", "--out", "run.safetensors", "--iterations", "5"]))
    """
    )
    status, said, output = ended(torchrun(tmp_path, program, "--nproc-per-node", "2"))
    assert status != 0
    assert len(said) == 1, output
    assert said[0].startswith("l2l: out exists, ")


def test_an_interrupt_keeps_a_checkpoint_and_is_told_once(tmp_path):
    program = (
        trains(SETTINGS | {"iterations": 5_000}, compile=False)
        + """
        raise SystemExit(l2l.cli.main(["train", "maml", "--out", "run.safetensors", "--iterations", "4999"]))
    """
    )
    process = torchrun(tmp_path, program, "--nproc-per-node", "2")
    while process.poll() is None and not (tmp_path / "run.safetensors").exists():
        pass
    os.killpg(process.pid, signal.SIGINT)
    status, said, output = ended(process)
    assert status != 0
    assert said == ["l2l: interrupted; --resume continues from run.safetensors"], output
    assert 0 < l2l.Run.load(tmp_path / "run.safetensors").iteration < 4999


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def namespaces():
    """Two network namespaces, joined by a pair of interfaces: prefixes of commands, and the address of the first."""
    names = [f"l2l{os.getpid()}{side}" for side in "ab"]
    commands = [["ip", "netns", "add", name] for name in names]
    commands += [["ip", "link", "add", "first", "netns", names[0], "type", "veth", "peer", "second", "netns", names[1]]]
    for name, link, address in zip(names, ("first", "second"), ("10.77.0.1/24", "10.77.0.2/24"), strict=True):
        commands += [
            ["ip", "-n", name, *words]
            for words in (
                ["address", "add", address, "dev", link],
                ["link", "set", link, "up"],
                ["link", "set", "lo", "up"],
            )
        ]
    try:
        if shutil.which("ip") is None or any(
            subprocess.run(command, capture_output=True).returncode for command in commands
        ):
            pytest.skip("network namespaces can't be made here")
        prefixes = [["ip", "netns", "exec", name] for name in names]
        yield prefixes, "10.77.0.1", [{"GLOO_SOCKET_IFNAME": link} for link in ("first", "second")]
    finally:
        if shutil.which("ip"):
            for name in names:
                subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def two_nodes(folder, prefixes, address, environments=({}, {})):
    options = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", address, "--master-port", str(free_port())]
    nodes = []
    for node, (prefix, env) in enumerate(zip(prefixes, environments, strict=True)):
        (own := folder / str(node)).mkdir()
        program = trains(SETTINGS) + "    train()"
        nodes.append(torchrun(own, program, *options, "--node-rank", str(node), prefix=prefix, **env))
    for process in nodes:
        status, _, output = ended(process)
        assert status == 0, output
    same(l2l.Run.load(folder / "0" / "run.safetensors"), l2l.train(l2l.TrainConfig(**SETTINGS)))
    assert not (folder / "1" / "run.safetensors").exists(), "the first alone writes"


def test_two_machines_as_two_groups_of_processes(tmp_path):
    two_nodes(tmp_path, [(), ()], "127.0.0.1")


def test_two_machines_as_two_network_namespaces(tmp_path, namespaces):
    two_nodes(tmp_path, *namespaces)


@pytest.mark.parametrize(("size", "count"), [(1, 3), (2, 5), (3, 5), (4, 2)])
def test_each_replica_is_advanced_by_one_process_and_they_come_back_in_order(size, count, monkeypatch):
    replicas, groups = list(range(count)), []
    for rank in range(size):
        group = Ranks("seeds", "cpu")
        group.rank, group.size = rank, size
        groups.append(group)
    owned = [group.own(replicas) for group in groups]
    assert sorted(replica for own in owned for replica in own) == replicas
    monkeypatch.setattr(dist, "all_gather_object", lambda everyone, ours: everyone.__setitem__(slice(None), owned))
    assert [group.gather(own) for group, own in zip(groups, owned, strict=True)] == [replicas] * size


def test_fewer_tasks_than_processes_are_refused(tmp_path):
    program = trains(SETTINGS | {"tasks": 1}, shard="tasks") + "    train()"
    status, _, output = ended(torchrun(tmp_path, program, "--nproc-per-node", "2"))
    assert status != 0
    assert "tasks must be at least 2, one for each process, got 1" in output


def test_an_unknown_share_is_refused():
    with pytest.raises(ValueError, match="shard must be one of seeds, tasks, got 'points'"):
        l2l.train(l2l.TrainConfig(**SETTINGS), shard="points")
