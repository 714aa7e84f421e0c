"""What training gives: `Run`, and the file that holds it."""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from l2l.config import TrainConfig
from l2l.net import Params, init_params
from l2l.tasks import SineTasks

FORMAT = "l2l run 2"
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Run:
    """The result of training: R replicas, one for each seed, side by side."""

    config: TrainConfig
    """What was asked for."""
    theta: Params
    """Parameters after the last iteration, [R, ...]."""
    history: dict[str, Tensor]
    """`iteration` [logs]; `loss` and `initial_gradient_norm` [logs, R], both on one batch of held-out tasks that
    is the same for every run of a task family: the method's own loss, and the mean norm over tasks."""
    checkpoints: dict[int, Params]
    """Parameters [R, ...] after each iteration of `config.checkpoint_at` that was reached."""
    task_family: SineTasks = field(default_factory=SineTasks)
    """The distribution of tasks it was trained on."""
    iteration: int | None = None
    """Outer updates made; fewer than `config.iterations` if training was cut short. None: all of them."""

    def __post_init__(self):
        if self.iteration is None:
            object.__setattr__(self, "iteration", self.config.iterations)

    def replica(self, r: int) -> Params:
        """Return the parameters of replica `r`, that of `config.seeds[r]`, without the leading axis.

        Raises:
            IndexError: there is no such replica.
        """
        if not -len(self.config.seeds) <= r < len(self.config.seeds):
            raise IndexError(f"replica must be one of {len(self.config.seeds)}, got {r}")
        return {name: p[r] for name, p in self.theta.items()}

    def save(self, path: str | os.PathLike) -> None:
        """Write the run to one safetensors file, atomically: `path` is never half-written.

        Raises:
            OSError: `path` can't be written.
        """
        write_run(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Run":
        """Read a run that `save` or `train` wrote. No code in the file is ever executed.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is truncated, corrupt, or not a run of this package.
        """
        return read_run(path)[0]

    @classmethod
    def stored(cls, name: str) -> "Run":
        """Read a run that comes with the package, such as "paper-maml"; `make paper` trains them again.

        Raises:
            ValueError: no run of this name comes with the package.
        """
        runs = {path.stem: path for path in DATA.glob("*.safetensors")}
        if name not in runs:
            raise ValueError(f"name must be one of {', '.join(sorted(runs))}, got {name!r}")
        return cls.load(runs[name])


def write_run(path: str | os.PathLike, run: Run, optimiser: dict[str, Tensor] | None = None) -> None:
    """Write a run, with the optimiser's state while it is unfinished."""
    tensors = {f"theta.{name}": p for name, p in run.theta.items()}
    tensors |= {f"history.{name}": values for name, values in run.history.items()}
    tensors |= {f"checkpoint.{i}.{name}": p for i, params in run.checkpoints.items() for name, p in params.items()}
    tensors |= {f"optimiser.{name}": values for name, values in (optimiser or {}).items()}
    tensors = {
        name: values.detach().cpu().clone(memory_format=torch.contiguous_format) for name, values in tensors.items()
    }
    about = {
        "config": asdict(run.config),
        "task_family": asdict(run.task_family),
        "iteration": run.iteration,
        "versions": {package: version(package) for package in ("l2l-book", "torch", "numpy", "safetensors")}
        | {"python": platform.python_version(), "machine": platform.machine()},
    }
    text = json.dumps(about)
    metadata = {"format": FORMAT, "about": text, "sha256": _digest(tensors, text)}
    path, temporary = _path_and_temporary(path)
    try:
        with open(temporary, "wb") as file:
            file.write(save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_run(path: str | os.PathLike) -> tuple[Run, dict[str, Tensor]]:
    """Read a run and, if it is unfinished, the optimiser's state."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no run file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError("it is not a run written by this version of l2l")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if _digest(tensors, metadata.get("about", "")) != metadata.get("sha256"):
            raise ValueError("its contents do not match their checksum")
        about = json.loads(metadata["about"])
        return _run_from(tensors, about)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} can't be read as a run: {error}") from None


def _run_from(tensors: dict[str, Tensor], about: dict) -> tuple[Run, dict[str, Tensor]]:
    config, iteration = TrainConfig(**about["config"]), about["iteration"]
    template = init_params(config.sizes, generator=torch.Generator())

    def params(prefix: str) -> Params:
        found = {name: tensors[f"{prefix}.{name}"] for name in template}
        if any(found[name].shape != (len(config.seeds), *p.shape) for name, p in template.items()):
            raise ValueError(f"the shapes of {prefix} are not those of {config.sizes} and {len(config.seeds)} seeds")
        return found

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}

    checkpoints = {i: params(f"checkpoint.{i}") for i in config.checkpoint_at if i <= iteration}
    task_family = SineTasks(**about["task_family"])
    run = Run(config, params("theta"), part("history."), checkpoints, task_family, iteration)
    return run, part("optimiser.")


def check_writable(path: str | os.PathLike, name: str = "out") -> None:
    """Raise OSError unless a file can be made at `path`; make its folder if need be."""
    path, temporary = _path_and_temporary(path)
    if path.exists() and not path.is_file():
        raise OSError(f"{name} must be an ordinary file, got {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise OSError(f"{name} can't be written at {path}: {error.strerror}") from None


def _path_and_temporary(path: str | os.PathLike) -> tuple[Path, Path]:
    path = Path(os.path.realpath(path))  # through links, not over them
    return path, path.with_name(f".{path.name}.tmp")


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
