"""Make this process compute as another machine would, where L2L_MACHINE says how: see .ci/elsewhere.py."""

import json
import os


def become(engine: str = "native", moved: int = 0, compiler: dict | None = None, data: str | None = None) -> None:
    """Change how l2l computes, in last bits alone.

    Args:
        engine: "native", "compiled" (the step alone, by torch.compile), "recorded" or "called".
        moved: if not 0, initial parameters are multiplied by 1 + 1e-6 z, with z normal and this its seed.
        compiler: settings of torch's compiler that replace the library's.
        data: folder of the stored runs.
    """
    import sys
    from pathlib import Path

    import torch

    import l2l
    from l2l.engine import loops, native, workers

    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "l2l"]
    original = l2l.net.init_params

    def init_params(*sizes, generator: torch.Generator, **options):
        noise = torch.Generator(device=generator.device).manual_seed(moved)
        params = original(*sizes, generator=generator, **options)
        return {
            name: p * (1 + 1e-6 * torch.randn(p.shape, generator=noise, dtype=p.dtype, device=p.device))
            for name, p in params.items()
        }

    def unavailable(*_):
        raise native.Unavailable("this machine has no compiled loop")

    if moved:
        for module in modules:
            if getattr(module, "init_params", None) is original:
                module.init_params = init_params
    if engine == "compiled":
        loops.NativeLoop, loops.lost = unavailable, lambda *_: None
    elif engine in ("recorded", "called"):
        sys.modules["l2l.training"].COMPILE_FROM = float("inf")
    if engine == "called":
        workers.recorded = lambda forms, _: (forms[-1], native.Unavailable("this machine records nothing"))
        workers.lost = lambda *_: None
    native.COMPILER.update(compiler or {})
    if data:
        l2l.run.DATA = Path(data)


if "L2L_MACHINE" in os.environ:
    become(**json.loads(os.environ["L2L_MACHINE"]))
