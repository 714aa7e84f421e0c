"""Learning to learn: MAML, first-order MAML and joint pre-training on sinusoids, small enough to read.

The mathematics, in reading order: `net`, `tasks`, `methods` (the inner loop, and line 10), `adam`, `stats`, `bayes`
(the Bayes-optimal predictor). The modules that use it: `config`, `training` (the outer loop), `run`, `evaluate`; then
`modules`, `report`, `plots`, `cli`, `widgets`. Three subpackages: `engine` makes training fast, `check` checks answers
to the exercises, `explorer` holds the interactive pictures that run in a web page.
"""

from l2l.adam import Optimizer
from l2l.config import TrainConfig
from l2l.evaluate import Curve, adaptation_curve
from l2l.methods import (
    METHODS,
    MetaGrad,
    Method,
    adapt,
    checkpointed_maml,
    fomaml,
    initial_gradient_norm,
    inner_loop,
    maml,
    pretrain,
)
from l2l.modules import from_module
from l2l.net import MLP, Network, flatten, init_params, mlp, mse, unflatten
from l2l.run import Run
from l2l.stats import confidence_interval
from l2l.tasks import Batch, SineBatch, SineTasks, TaskFamily
from l2l.training import train

__all__ = [
    "METHODS",
    "MLP",
    "Batch",
    "Curve",
    "MetaGrad",
    "Method",
    "Network",
    "Optimizer",
    "Run",
    "SineBatch",
    "SineTasks",
    "TaskFamily",
    "TrainConfig",
    "adapt",
    "adaptation_curve",
    "checkpointed_maml",
    "confidence_interval",
    "flatten",
    "fomaml",
    "from_module",
    "init_params",
    "initial_gradient_norm",
    "inner_loop",
    "maml",
    "mlp",
    "mse",
    "pretrain",
    "train",
    "unflatten",
]
