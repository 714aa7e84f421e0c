"""Line 10 in eight libraries: benchmarks/side_by_side. Those that are not installed here are skipped, by name."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import side_by_side
import torch
from side_by_side import SIDES, TOLERANCE, deviation, edited, load, off_differences, problems
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import mse_loss

import l2l
from l2l import check

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "book" / "side-by-side.md").read_text(encoding="utf-8")
FILES = sorted(path.stem for path in (ROOT / "benchmarks" / "side_by_side").glob("*.py"))


def need(name):
    """Skip where the file's library is missing."""
    side_by_side.find_learn2learn()
    package = SIDES[name].package
    pytest.importorskip("learn2learn.algorithms.maml" if package == "learn2learn" else package)


@pytest.fixture(params=SIDES)
def name(request):
    need(request.param)
    return request.param


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_gradient_is_exact(name, steps):
    for given in [given for given in problems() if given["steps"] == steps][:3]:
        grads = load(name)(**given)
        assert deviation(grads, l2l.maml(**given).grads) < TOLERANCE
        assert off_differences(grads, **given) < TOLERANCE
        assert {k: g.shape for k, g in grads.items()} == {k: p.shape for k, p in given["theta"].items()}


def test_check_of_the_exercise_passes(name, capsys):
    check.verify(load(name), seed=0)
    assert "right in 5 of 5" in capsys.readouterr().out


def test_first_order_edit_gives_fomaml(name):
    first = load(name, SIDES[name].first_order)
    for given in [*problems()][:10]:
        assert deviation(first(**given), l2l.fomaml(**given).grads) < TOLERANCE


def test_mistake_computes_what_the_page_says(name):
    assert side_by_side.computes(name) == SIDES[name].computes
    try:
        check.verify(load(name, SIDES[name].mistake), seed=0)
        found = False
    except (check.Failed, AttributeError):  # with higher there is no gradient to transpose
        found = True
    finally:
        load(name)  # which sets JAX's precision again
    assert found == (SIDES[name].computes != "single")


def test_page_and_table_have_every_file():
    assert sorted(SIDES) == FILES
    included = re.findall(r"literalinclude\} \.\./benchmarks/side_by_side/(\w+)\.py", PAGE)
    assert sorted(included) == FILES
    measured = (ROOT / "benchmarks" / "side_by_side.md").read_text(encoding="utf-8")
    markers = ["<!-- measured -->", "<!-- first-order -->", "<!-- mistakes -->", "<!-- end -->"]
    for marker, following in pairwise(markers):
        part = measured[measured.index(marker) : measured.index(following)]
        for side in SIDES.values():
            assert f"| {side.title} |" in part
        assert f":start-after: {marker}\n:end-before: {following}" in PAGE


@pytest.mark.parametrize("name", FILES)
def test_file_is_short_and_stands_alone(name):
    assert side_by_side.lines_of_code(name) <= 30
    assert "l2l" not in re.findall(r"^(?:from|import) (\w+)", side_by_side.source(name), re.MULTILINE)
    assert f"| {SIDES[name].title} | " in (ROOT / "benchmarks" / "side_by_side.md").read_text(encoding="utf-8")
    for edit in (SIDES[name].first_order, SIDES[name].mistake):
        assert edited(name, edit) != side_by_side.source(name)


@pytest.mark.parametrize("name", ["with_learn2learn", "with_torchopt"])
def test_mistake_is_loud_until_the_graph_is_retained(name):
    need(name)
    loud = load(name, SIDES[name].mistake[:1])
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        loud(**next(problems()) | {"steps": 2})


def test_higher_untracked_is_not_first_order():
    need("with_higher")
    untracked = load("with_higher", (("weights=False)", "weights=False, track_higher_grads=False)"),))
    with pytest.raises(AttributeError, match="'NoneType'"):
        untracked(**next(problems()) | {"steps": 2})


# ------------------------------------------------------------------------------------------ batch normalisation


@pytest.fixture
def net():
    return nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


X, Y = torch.linspace(-1, 2, 6)[:, None], torch.linspace(0, 1, 6)[:, None]


def calls(net):
    """How many calls the module's running statistics have seen."""
    return int(net[1].num_batches_tracked)


def test_functional_call_and_running_statistics(net):
    own = dict(net.named_parameters())
    with pytest.raises(RuntimeError, match="Missing key"):
        functional_call(net, own, X, strict=True)
    for transform in (lambda f: vmap(f)(torch.stack([X, X])), lambda f: grad(lambda x: f(x).sum())(X)):
        with pytest.raises(RuntimeError):
            transform(lambda x: functional_call(net, own, x))
    before = calls(net)
    functional_call(net, own, X)
    assert calls(net) == before + 1
    buffers = {k: b.clone() for k, b in net.named_buffers()}
    functional_call(net, own | buffers, X, strict=True)
    assert calls(net) == before + 1
    assert buffers["1.num_batches_tracked"] == before + 2


def test_higher_and_running_statistics(net):
    higher = pytest.importorskip("higher")
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    with higher.innerloop_ctx(net, sgd, copy_initial_weights=False) as (learner, optimiser):
        optimiser.step(mse_loss(learner(X), Y))
    assert calls(net) == 0


def test_learn2learn_and_running_statistics(net):
    need("with_learn2learn")
    from learn2learn.algorithms.maml import MAML

    learner = MAML(net, lr=0.1).clone()
    learner.adapt(mse_loss(learner(X), Y))
    assert calls(net) == 1


@pytest.mark.parametrize(("detach", "seen"), [(False, 3), (True, 0)])
def test_torchopt_and_running_statistics(net, detach, seen):
    torchopt = pytest.importorskip("torchopt")
    inner, at_theta = torchopt.MetaSGD(net, lr=0.1), torchopt.extract_state_dict(net, detach_buffers=detach)
    for _ in range(3):
        inner.step(mse_loss(net(X), Y))
        torchopt.recover_state_dict(net, at_theta)
    assert calls(net) == seen
