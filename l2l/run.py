"""The result of training: `Run`, and the file that stores it."""

import hashlib
import json
import os
import platform
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from l2l._interrupts import Interrupts
from l2l.adam import OPTIMIZERS, Optimizer
from l2l.config import LOSSES, OutputLoss, Part, TrainConfig, part_name
from l2l.evaluate import Curve, adaptation_curve
from l2l.methods import METHODS, Method, Rate
from l2l.net import MLP, Network, Params
from l2l.tasks import Batch, SineBatch, SineTasks, TaskFamily, check_family

FORMAT, BEFORE = "l2l run 3", "l2l run 2"
FAMILIES = {"SineTasks": SineTasks}
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Run:
    """The result of training: R replicas, one for each seed, side by side."""

    config: TrainConfig
    """The settings of the run."""
    theta: Params
    """Parameters after the last iteration, [R, ...]."""
    history: dict[str, Tensor]
    """`iteration` [logs]; `loss` and `initial_gradient_norm` [logs, R], both on one batch of held-out tasks that
    is the same for every run of a task family: the method's own loss, and the mean norm over tasks."""
    checkpoints: dict[int, Params]
    """Parameters [R, ...] after each iteration of `config.checkpoint_at` that was reached."""
    task_family: TaskFamily = field(default_factory=SineTasks)
    """The distribution of tasks it was trained on."""
    iteration: int = -1
    """Outer updates made; fewer than `config.iterations` if training was cut short. -1 means all of them, and
    is replaced by `config.iterations`."""
    engine: str | None = None
    """Engine of the last updates, "native", "compiled", "recorded" or "called"; None if it is not known."""

    def __post_init__(self):
        if self.iteration == -1:
            object.__setattr__(self, "iteration", self.config.iterations)

    def replica(self, r: int) -> Params:
        """Return the parameters of replica `r`, that of `config.seeds[r]`, without the leading axis.

        Raises:
            IndexError: there is no such replica.
        """
        if not -len(self.config.seeds) <= r < len(self.config.seeds):
            raise IndexError(f"r must be the index of one of {len(self.config.seeds)} replicas, got {r}")
        return {name: p[r] for name, p in self.theta.items()}

    def adaptation_curve(
        self, batch: Batch | SineBatch, *, steps: int, alpha: Rate | None = None, optimizer: str = "sgd"
    ) -> Curve:
        """Adapt every replica to each task, by the run's own method, network and loss; measure after each step.

        Args:
            batch: T tasks.
            steps: number of adaptation steps, ≥ 0.
            alpha: learning rate of the adaptation; by default that of training.
            optimizer: as for `l2l.adaptation_curve`.

        Returns:
            Curve of two [steps+1, R, T] tensors.

        Raises:
            TypeError, ValueError, RuntimeError: as `l2l.adaptation_curve` does.
        """
        method, _, loss, _ = self.config.parts
        alpha = self.config.alpha if alpha is None else alpha
        measure = partial(adaptation_curve, alpha=alpha, steps=steps, optimizer=optimizer, loss=loss, method=method)
        curves = [measure(self.replica(r), batch) for r in range(len(self.config.seeds))]
        return Curve(*(torch.stack(errors, dim=1) for errors in zip(*curves, strict=True)))

    def save(self, path: str | os.PathLike) -> None:
        """Write the run to one safetensors file, atomically: `path` is never half-written.

        Training can't be resumed from this file, even if it replaces one that `train(out=…)` wrote: it holds the run,
        and not the state of the optimiser.

        Raises:
            OSError: `path` can't be written.
            ValueError: a part of the run is a lambda, which has no name, or `path` is not valid Unicode.
        """
        write_run(path, self)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        *,
        method: Method | None = None,
        network: Network | None = None,
        loss: OutputLoss | None = None,
        optimizer: Optimizer | None = None,
        task_family: TaskFamily | None = None,
    ) -> "Run":
        """Read a run that `save` or `train(out=…)` wrote. No code in the file is ever executed.

        Args:
            path: the file. It stores only the names of the parts that the run was trained with; pass those that do not
                come with l2l.
            method: a method of one's own.
            network: a `Network`; the settings of an `MLP` are in the file.
            loss: a loss of one's own.
            optimizer: an outer optimiser of one's own.
            task_family: a family other than SineTasks.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is truncated, corrupt, or not a run of this package; or one of its parts is neither
                built in nor passed, or has another name than the one that was passed.
        """
        parts: dict[str, Part | None] = {"method": method, "network": network, "loss": loss, "optimizer": optimizer}
        return read_run(path, parts, task_family)[0]

    @classmethod
    def stored(cls, name: str, **parts: Any) -> "Run":
        """Read a run that comes with the package, such as "paper-maml"; `make paper` trains all of these runs again.

        Args:
            name: name of the run; the message for any other name lists them all.
            parts: the parts of the run that do not come with l2l, as for `load`.

        Raises:
            ValueError: no run of this name comes with the package, or as for `load`.
        """
        runs = {path.stem: path for path in DATA.glob("*.safetensors")}
        if name not in runs:
            raise ValueError(f"name must be one of {', '.join(sorted(runs))}, got {name!r}")
        return cls.load(runs[name], **parts)


def write_run(path: str | os.PathLike, run: Run, optimizer: dict[str, Tensor] | None = None) -> None:
    """Write a run, with the optimiser's state if training may go on."""
    check_names(run.config)
    tensors = {f"theta.{name}": p for name, p in run.theta.items()}
    tensors |= {f"history.{name}": values for name, values in run.history.items()}
    tensors |= {f"checkpoint.{i}.{name}": p for i, params in run.checkpoints.items() for name, p in params.items()}
    tensors |= {f"optimizer.{name}": values for name, values in (optimizer or {}).items()}
    tensors = {
        name: values.detach().cpu().clone(memory_format=torch.contiguous_format) for name, values in tensors.items()
    }
    about = {
        "config": run.config.described(),
        "task_family": described(run.task_family),
        "iteration": run.iteration,
        "engine": run.engine,
        "versions": {package: _version(package) for package in ("l2l-book", "torch", "numpy", "safetensors")}
        | {"python": platform.python_version(), "machine": platform.machine()},
    }
    text = json.dumps(about, default=repr)
    metadata = {"format": FORMAT, "about": text, "sha256": _digest(tensors, text)}
    path, temporary = _path_and_temporary(path)
    with Interrupts():
        try:
            with open(temporary, "wb") as file:
                file.write(save(tensors, metadata))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise OSError(f"the run can't be written at {path}: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)


def check_names(config: TrainConfig) -> None:
    """Raise if a part has no name by which a run file could tell it from another."""
    for kind, name in config.described().items():
        if name == "<lambda>":
            raise ValueError(f"{kind} must have a name, which a run file stores: define it with def, not lambda")


def read_run(
    path: str | os.PathLike, parts: Mapping[str, Part | None] | None = None, family: TaskFamily | None = None
) -> tuple[Run, dict[str, Tensor]]:
    """Read a run and the optimiser's state, if the file has it; `parts` are those that `Run.load` was given."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no run file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") not in (FORMAT, BEFORE):
                raise ValueError("it is not a run written by this version of l2l")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if _digest(tensors, metadata.get("about", "")) != metadata.get("sha256"):
            raise ValueError("its contents do not match their checksum")
        about = json.loads(metadata["about"])
        if metadata["format"] == BEFORE:
            tensors, about = _translated(tensors, about)
        return _run_from(tensors, about, parts or {}, family)
    except SafetensorError as error:
        raise ValueError(f"{path} can't be loaded: it is damaged, or not a run file ({error})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} can't be loaded: {error}") from None


def _translated(tensors: dict[str, Tensor], about: dict) -> tuple[dict[str, Tensor], dict]:
    """Convert the contents of a file in the previous format to the current one."""
    config = about["config"]
    if (activation := config.pop("activation", "relu")) != "relu":
        config["network"] = {"sizes": config.pop("sizes"), "activation": activation}
    about["task_family"] = {"class": "SineTasks", "fields": about["task_family"]}
    names = {"m": "state.0", "v": "state.1", "t": "state.2"}
    return {
        "optimizer." + names.get(name[10:], name[10:]) if name.startswith("optimiser.") else name: values
        for name, values in tensors.items()
    }, about


def _run_from(
    tensors: dict[str, Tensor], about: dict, parts: Mapping[str, Part | None], family: TaskFamily | None
) -> tuple[Run, dict[str, Tensor]]:
    config, iteration = _config_from(about["config"], parts), about["iteration"]
    template = config.initial_parameters(config.seeds[0])

    def params(prefix: str) -> Params:
        found = {name: tensors[f"{prefix}.{name}"] for name in template}
        for name, p in template.items():
            if (got := list(found[name].shape)) != (expected := [len(config.seeds), *p.shape]):
                raise ValueError(f"{prefix}.{name} must have shape {expected}, as in its network, got {got}")
        return found

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}

    checkpoints = {i: params(f"checkpoint.{i}") for i in config.checkpoint_at if i <= iteration}
    family = _family_from(about["task_family"], family)
    run = Run(config, params("theta"), part("history."), checkpoints, family, iteration, about.get("engine"))
    return run, part("optimizer.")


def _config_from(about: dict, parts: Mapping[str, Part | None]) -> TrainConfig:
    """Return the config of a description, with the parts that were passed because they are not built in."""
    known: dict[str, Collection[str]] = {"method": METHODS, "loss": LOSSES, "optimizer": OPTIMIZERS, "network": ()}
    found: dict[str, str | Part | None] = {}
    for kind, names in known.items():
        name, given = about.get(kind, TrainConfig.__dataclass_fields__[kind].default), parts.get(kind)
        if isinstance(name, dict):
            found[kind] = MLP(**name)
        elif given is None and name is not None and name not in names:
            raise _unknown(kind, name)
        elif given is not None and part_name(given) != name:
            raise ValueError(f"its {kind} is {name!r}, not {part_name(given)!r}")
        else:
            found[kind] = name if given is None else given
    return TrainConfig(**about | found)


def _family_from(about: dict, family: TaskFamily | None) -> TaskFamily:
    if family is None:
        if about["class"] not in FAMILIES:
            raise _unknown("task_family", about["class"])
        return FAMILIES[about["class"]](**about["fields"])
    check_family(family)
    if plain(described(family)) != about:
        raise ValueError(f"its task_family is {about}, not {plain(described(family))}")
    return family


def _unknown(kind: str, name: str) -> ValueError:
    return ValueError(f"its {kind} is {name!r}, which isn't known here; pass it as {kind}")


def described(family: TaskFamily) -> dict:
    """Return the class of a family and, of a dataclass, its fields."""
    return {"class": type(family).__name__, "fields": asdict(family) if is_dataclass(family) else {}}


def plain(about: dict) -> dict:
    """Return a description as it is after being written to a file and read back."""
    return json.loads(json.dumps(about, default=repr))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout that isn't installed
        return "not installed"


@contextmanager
def only_writer(path: str | os.PathLike) -> Iterator[Path]:
    """Lock `path` against other training processes within the block; yield it as an absolute path.

    The absolute path stays valid when the working folder changes.

    Raises:
        ValueError, OSError: `path` can't be written, or another training process is writing to it.
    """
    path = check_writable(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        _take(lock, path)
        yield path
    finally:
        if lock.is_locked:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()


def _take(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=0)
        while not Path(lock.lock_file).exists():  # a process that ended just now has removed the file that we locked
            lock.release()
            lock.acquire(timeout=0)
    except Timeout:
        raise OSError(f"out is being written by another training: {path}") from None


def check_writable(path: str | os.PathLike, name: str = "out") -> Path:
    """Return `path` with links resolved; create its folder if necessary.

    Raises:
        ValueError, OSError: no file can be made there.
    """
    path, temporary = _path_and_temporary(path)
    if os.path.lexists(path) and not path.is_file():
        raise OSError(f"{name} must be an ordinary file, got {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise OSError(f"{name} can't be written at {path}: {error.strerror or error}") from None
    return path


def _path_and_temporary(path: str | os.PathLike) -> tuple[Path, Path]:
    path = Path(os.path.realpath(path))  # write to what a link points to, rather than replace the link
    try:
        str(path).encode()
    except UnicodeEncodeError:  # such a file could be written but not read
        raise ValueError(f"a path must be valid Unicode, got {str(path)!r}") from None
    return path, path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")  # nobody else's


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
