"""What makes training fast: the step is recorded, compiled and called without Python's lock, on all cores.

Nothing here changes what is computed. This folder may import the mathematics and `config`; only `training` imports it.
Begin with `replica.make_step`, the outer step as a function of tensors, and `workers.Workers`, which advances replicas
by that step; `loops.recorded` and `loops.compiled` choose the engine; `native` holds every call to unstable parts of
torch.
"""
