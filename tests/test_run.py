import ast
import json
import pickle
from dataclasses import replace
from pathlib import Path

import paper
import pytest
import relatives
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import l2l.run
from l2l import Run, SineTasks, TrainConfig, train


@pytest.fixture
def run():
    config = TrainConfig(iterations=3, tasks=2, sizes=(1, 4, 1), seeds=(0, 7), checkpoint_at=(0, 2), method="fomaml")
    return train(config, SineTasks(phase=(0.0, 1.5)))


def test_round_trip(run, tmp_path):
    run.save(tmp_path / "a.safetensors")
    loaded = Run.load(tmp_path / "a.safetensors")
    assert loaded.config == run.config
    assert loaded.task_family == run.task_family
    assert loaded.iteration == 3
    assert list(loaded.checkpoints) == list(run.checkpoints) == [0, 2]
    for ours, theirs in ((run.theta, loaded.theta), *((run.checkpoints[i], loaded.checkpoints[i]) for i in (0, 2))):
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert run.history.keys() == loaded.history.keys() == {"iteration", "loss", "initial_gradient_norm"}
    assert all(torch.equal(run.history[k], loaded.history[k]) for k in run.history)


def test_a_run_made_by_hand_can_be_saved(run, tmp_path):
    Run(run.config, run.theta, run.history, run.checkpoints).save(tmp_path / "a.safetensors")
    assert Run.load(tmp_path / "a.safetensors").iteration == 3


def test_parameters_keep_their_order(run, tmp_path):
    run.save(tmp_path / "a.safetensors")
    assert list(Run.load(tmp_path / "a.safetensors").theta) == ["W1", "b1", "W2", "b2"]


def test_never_half_written(run, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    run.save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(l2l.run.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        run.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_flip(path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


def damage_header(path):
    data = path.read_bytes()
    path.write_bytes(data[:8] + b"\xff" * 40 + data[48:])


def damage_config(path):
    path.write_bytes(path.read_bytes().replace(b"fomaml", b"pomaml"))


def damage_empty(path):
    path.write_bytes(b"")


def damage_text(path):
    path.write_text("hello, this is a text file and not a run\n" * 20)


def damage_foreign(path):
    save_file({"theta.W1": torch.zeros(3)}, path)


def damage_foreign_labelled(path):
    save_file({"theta.W1": torch.zeros(3)}, path, {"format": l2l.run.FORMAT})


def damage_other_format(path):
    rewrite(path, lambda tensors, metadata: metadata.update(format="l2l run 0"))


def damage_missing_tensor(path):
    rewrite(path, lambda tensors, metadata: tensors.pop("theta.b1"))


def damage_wrong_shape(path):
    rewrite(path, lambda tensors, metadata: tensors.update({"theta.b1": torch.zeros(2, 3)}))


def damage_no_iteration(path):
    rewrite(path, lambda tensors, metadata: metadata.update(about=metadata["about"].replace('"iteration"', '"oops"')))


def rewrite(path, change):
    """Change a run file and give it a checksum that fits."""
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, metadata | {"sha256": l2l.run._digest(tensors, metadata["about"])})


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was executed')",)


def damage_pickle(path):
    path.write_bytes(pickle.dumps(Bomb()))


def damage_torch_save(path):
    torch.save({"theta": Bomb()}, path)


@pytest.mark.parametrize("damage", [f for name, f in list(globals().items()) if name.startswith("damage_")])
def test_bad_files_give_one_clear_line(run, tmp_path, damage):
    path = tmp_path / "a.run"  # a name that tells no loader what is inside
    run.save(path)
    damage(path)
    with pytest.raises(ValueError, match=r"a\.run can't be loaded: ") as caught:
        Run.load(path)
    assert "\n" not in str(caught.value)


def test_a_link_is_written_through(run, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    run.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert Run.load(tmp_path / "target").config == run.config


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no run file"):
        Run.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("name", paper.RUNS)
def test_stored_runs_are_complete_and_trained_as_the_table_says(name):
    config, family = paper.RUNS[name]
    run = Run.stored(name, **paper.own_parts(config, family))
    made = json.loads((l2l.run.DATA / "paper.json").read_text())[name]
    kept = tuple(seed for seed in config.seeds if str(seed) not in made["diverged"])
    assert run.config == replace(config, seeds=kept)
    assert run.task_family == family
    assert run.iteration == run.config.iterations
    assert set(run.checkpoints) == set(config.checkpoint_at)
    assert all(p.shape[0] == len(kept) and p.isfinite().all() for p in run.theta.values())


def test_methods_of_stored_runs_are_those_of_the_chapters():
    """A run's file names its method, and the chapter that loads it passes its own: here the two are compared."""
    book = Path(__file__).resolve().parent.parent / "book"
    cells = [cell for path in book.glob("*.ipynb") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code" and "\n    " in "".join(c["source"])]
    defined = [ast.dump(node) for s in sources if "%pip" not in s for node in ast.parse(s).body]
    methods = ast.parse(Path(relatives.__file__).read_text(encoding="utf-8"))
    ours = [node for node in methods.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert ours
    assert all(ast.dump(function) in defined for function in ours)


def test_no_stored_run_is_forgotten():
    assert {path.stem for path in l2l.run.DATA.glob("*.safetensors")} == set(paper.RUNS)


def test_runs_of_single_seeds_side_by_side_are_the_run_of_all():
    config = TrainConfig(iterations=3, tasks=2, sizes=(1, 3, 1), seeds=(4, 9), log_every=1, checkpoint_at=(0, 2))
    whole, *alone = (l2l.train(replace(config, seeds=seeds), progress=False) for seeds in ((4, 9), (4,), (9,)))
    joined = paper.side_by_side(config, alone)
    for found, wanted in (
        (joined.theta, whole.theta),
        (joined.history, whole.history),
        (joined.checkpoints[2], whole.checkpoints[2]),
    ):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert joined.config == config


@pytest.mark.parametrize("name", ["nothing", "maml.safetensors", "../data/maml", ""])
def test_only_names_of_stored_runs(name):
    with pytest.raises(
        ValueError, match="name must be one of explorer-anil, explorer-meta-sgd, explorer-reptile, fomaml, .*, got "
    ):
        Run.stored(name)


def test_a_wrong_shape_is_named(run, tmp_path):
    run.save(tmp_path / "a.run")
    damage_wrong_shape(tmp_path / "a.run")
    with pytest.raises(ValueError, match=r"theta\.b1 must have shape .*, as in its network, got \[2, 3\]"):
        Run.load(tmp_path / "a.run")
