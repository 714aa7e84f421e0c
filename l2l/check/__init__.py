"""Checks of the exercises: each runs a learner's function on fresh random cases, and says what is wrong with it::

    from l2l import check
    check.meta_gradient(my_meta_gradient)

or, from a command line, `python -m l2l check meta_gradient answers.py:my_meta_gradient`.

A check prints one line if the function is right, and raises `Failed` if it is not. The message says what was expected
and by how much the answer is off; if the answer equals that of a known mistake in every case, it names the mistake.
Each call receives its own copies of the arguments. Parameters come as the dict of `l2l.init_params`, in float64 and
with `requires_grad`; an answer that consists of parameters may be a dict, a sequence in the same order or one flat
vector. `seed` repeats the cases of an earlier run.

`verify` does the same for an implementation of MAML from outside this book.
"""

# An exercise is data: how to draw its cases, the right answer, and each mistake with the sentence that names it.
# Begin with exercise.py, then read the file of a chapter: the check of ex-hvp is hessian_vector_product in line_10.py.
# The package imports the mathematics and l2l.evaluate, and nothing else of l2l.

from l2l.check.answers import Failed
from l2l.check.bilevel import adapt, best_start, meta_loss
from l2l.check.conformance import PROBLEMS, verify
from l2l.check.exercise import Exercise
from l2l.check.fast import checkpointed_gradient, per_task_gradients
from l2l.check.few_shot import fit_sinusoid, sample_tasks
from l2l.check.fomaml import fomaml_gradient, reptile_direction
from l2l.check.how_good import linear_estimate, posterior_mean
from l2l.check.learned import anil_gradient, cka
from l2l.check.line_10 import hessian_vector_product, meta_gradient, unrolled_product
from l2l.check.maml import adaptation_curve
from l2l.check.pretraining import best_single_function, pretrain_gradient
from l2l.check.relatives import implicit_gradient, rate_gradient
from l2l.check.three_compared import paired_interval
from l2l.check.your_problem import nearest_centroid, normalise_by_support

EXERCISES = {
    exercise.name: exercise
    for exercise in (
        sample_tasks,
        fit_sinusoid,
        adapt,
        meta_loss,
        best_start,
        hessian_vector_product,
        unrolled_product,
        meta_gradient,
        adaptation_curve,
        fomaml_gradient,
        reptile_direction,
        pretrain_gradient,
        best_single_function,
        paired_interval,
        anil_gradient,
        cka,
        posterior_mean,
        linear_estimate,
        implicit_gradient,
        rate_gradient,
        nearest_centroid,
        normalise_by_support,
        checkpointed_gradient,
        per_task_gradients,
    )
}
"""Every exercise by its name, in the order of the book."""

__all__ = ["EXERCISES", "PROBLEMS", "Exercise", "Failed", "verify", *EXERCISES]
