"""Learning to learn: MAML, first-order MAML and joint pre-training on sinusoids, small enough to read."""

from l2l.config import TrainConfig
from l2l.evaluate import Curve, adaptation_curve
from l2l.methods import METHODS, MetaGrad, adapt, fomaml, initial_gradient_norm, maml, pretrain
from l2l.net import init_params, mlp, mse
from l2l.run import Run
from l2l.stats import confidence_interval
from l2l.tasks import Batch, SineTasks
from l2l.train import train

__all__ = [
    "METHODS",
    "Batch",
    "Curve",
    "MetaGrad",
    "Run",
    "SineTasks",
    "TrainConfig",
    "adapt",
    "adaptation_curve",
    "confidence_interval",
    "fomaml",
    "init_params",
    "initial_gradient_norm",
    "maml",
    "mlp",
    "mse",
    "pretrain",
    "train",
]
