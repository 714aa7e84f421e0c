"""What the explorers' Python side promises; their mathematics is compared in test_js.py."""

import base64
import json
import re

import numpy as np
import pytest
import torch

import l2l
from l2l import explorer
from l2l.explorer import _page
from l2l.net import flatten

METHODS = ("maml", "fomaml", "pretrain")


def test_the_diverging_preset_diverges_for_maml_alone():
    runs = _page.shipped_runs()
    networks = {method: {name: p[0].double() for name, p in run.theta.items()} for method, run in runs.items()}
    preset = next(p for p in explorer.PRESETS if "diverges" in p["name"])
    x = torch.tensor(preset["x"], dtype=torch.float64)[:, None]
    axis = torch.linspace(-5, 5, 101, dtype=torch.float64)[:, None]

    def truth(x):
        return preset["A"] * torch.sin(x + preset["b"])

    error = {m: l2l.mse(l2l.adapt(networks[m], x, truth(x), alpha=0.01, steps=20), axis, truth(axis)) for m in METHODS}
    assert error["maml"] > 1e6
    assert max(error["fomaml"], error["pretrain"]) < 50


def test_an_explorer_of_ones_own_runs():
    config = l2l.TrainConfig(iterations=3, checkpoint_at=(0, 2), sizes=(1, 8, 8, 1))
    run = l2l.train(config, progress=False)
    shown = explorer.adapt({"maml": run})
    settings = json.loads(re.search(r"buildAdapt\(root, panel, (\{.*\})\)\);\n\}\)\(\);", shown.html)[1])
    assert settings["iterations"] == [0, 2, 3]
    assert set(settings["weights"]) == {"untrained", "maml"}
    values = np.frombuffer(base64.b64decode(settings["weights"]["maml"]["3"]), "<f4")
    assert (values == flatten(run.replica(0)).numpy()).all()
    assert "object at" not in repr(shown)
    assert shown._repr_html_() == shown.html


def test_runs_that_do_not_fit_are_refused():
    quick = {"iterations": 2, "sizes": (1, 4, 4, 1)}
    run = l2l.train(l2l.TrainConfig(**quick, checkpoint_at=(0,)), progress=False)
    with pytest.raises(ValueError, match="methods such as"):
        explorer.adapt({})
    with pytest.raises(ValueError, match="methods such as"):
        explorer.adapt({"mamml": run})
    with pytest.raises(ValueError, match="keep their start"):
        explorer.adapt({"maml": l2l.train(l2l.TrainConfig(**quick), progress=False)})
    other = l2l.train(l2l.TrainConfig(**quick, seeds=(1,), checkpoint_at=(0,), method="fomaml"), progress=False)
    with pytest.raises(ValueError, match="same parameters"):
        explorer.adapt({"maml": run, "fomaml": other})


def test_shipped_runs_say_what_they_are():
    for method, run in _page.shipped_runs().items():
        assert run.config == l2l.TrainConfig(
            method=method, iterations=70_000, log_every=1_000, checkpoint_at=run.config.checkpoint_at
        )
        assert set(run.checkpoints) == {0, 100, 500, 1_000, 2_000, 5_000, 15_000, 70_000}
        assert torch.equal(flatten(run.replica(0)), flatten(run.checkpoints[70_000], axes=1)[0])


@pytest.fixture
def written(monkeypatch):
    """Let the test say what the modules are."""

    def write(**sources):
        monkeypatch.setattr(_page, "_source", lambda path: sources[path.removesuffix(".js").replace("/", "_")])
        _page.joined.cache_clear()

    yield write
    _page.joined.cache_clear()


def test_modules_are_joined_after_what_they_import(written):
    written(
        main='import {f, g} from "./deep/b.js";\nimport {\n  one,\n} from "./a.js";\nexport const two = f(g, one);\n',
        deep_b='import {one} from "../a.js";\nexport function f() {\n  return one;\n}\nexport class g {}\n',
        a="export const one = 1;  // import and export in a comment stay\n",
    )
    assert _page.joined("main.js", "a.js").splitlines() == [
        '"use strict";',
        "const one = 1;  // import and export in a comment stay",
        "function f() {",
        "  return one;",
        "}",
        "class g {}",
        "const two = f(g, one);",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        'import {one as eins} from "./a.js";',
        'import * as a from "./a.js";',
        'import a from "./a.js";',
        'import "./a.js";',
        'import {one} from "elsewhere";',
        "export default 1;",
        "export {one};",
        'export * from "./a.js";',
    ],
)
def test_modules_that_cannot_be_joined_are_refused(written, statement):
    written(main=f"{statement}\n", a="export const one = 1;\n")
    with pytest.raises(ValueError, match="main.js must `import .*" + re.escape(statement)):
        _page.joined("main.js")


def test_modules_in_a_circle_are_refused(written):
    written(a='import {b} from "./b.js";\n', b='import {a} from "./a.js";\n')
    with pytest.raises(ValueError, match="not import in a circle, got a.js → b.js → a.js"):
        _page.joined("a.js")


X = torch.linspace(-5, 5, 11)


@pytest.mark.parametrize(
    ("x", "answers", "message"),
    [
        (X.flip(0), {"truth": X}, "x must increase"),
        (X[:, None], {"truth": X}, r"x must increase, with shape \[N\]"),
        (X, {}, "answers must hold one curve"),
        (X, {"mine": X}, "answers must be named \"truth\" or one of .*maml.*, got 'mine'"),
        (X, {"maml": X[:3]}, r"answers\['maml'\] must have the shape of x, \[11\], got \[3\]"),
    ],
)
def test_a_curve_to_draw_refuses_what_it_cannot_show(x, answers, message):
    with pytest.raises(ValueError, match=message):
        explorer.draw(x, answers)
