"""The checks of the exercises accept what is right, however it is written, and name what is wrong with the rest."""

import math
import re

import numpy as np
import pytest
import scipy.stats
import torch
from learners import (
    all_at_theta,
    by_autograd,
    by_finite_differences,
    by_functional_transforms,
    by_quadrature,
    by_scipy,
    centred_product,
    chain,
    first_left_in_grad,
    first_powers,
    first_task_rates,
    fit_by_qr,
    gauss_newton,
    gradient,
    gradient_at_phi,
    hvp_backward,
    hvp_by_differences,
    hvp_twice,
    last_left_in_grad,
    left_in_grad,
    of_task,
    on,
    one_phi,
    outer_product,
    own_adapt,
    own_best_start,
    own_centroid,
    own_checkpointed,
    own_cka,
    own_curve,
    own_fit,
    own_hvp,
    own_implicit,
    own_interval,
    own_least_squares,
    own_linear,
    own_meta_loss,
    own_neighbour,
    own_normalised,
    own_posterior,
    own_pretrain,
    own_product,
    own_rates_gradient,
    own_reptile,
    own_rows,
    own_sample,
    rates_by_autograd,
    scaled,
    student,
    through_a_module,
    two_means,
    unpaired,
    w2_turned,
)

from l2l import check
from l2l.check import EXERCISES, Failed
from l2l.net import flatten

HEAD = ("W3", "b3")
MINUTES = 180.0  # to wait for what is bound to come
pytestmark = pytest.mark.filterwarnings("ignore:Using backward\\(\\) with create_graph")


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine may take long for a short answer."""
    monkeypatch.setattr("l2l.check.sandbox.SECONDS", MINUTES)


def squared_cosine(X, Y, product):
    return (product / np.linalg.norm(X) / np.linalg.norm(Y)) ** 2


RIGHT = [
    (check.sample_tasks, own_sample()),
    (check.fit_sinusoid, own_fit()),
    (check.fit_sinusoid, fit_by_qr),
    (check.adapt, own_adapt()),
    (check.adapt, lambda theta, x, y, alpha, steps: list(own_adapt()(theta, x, y, alpha, steps).values())),
    (check.adapt, lambda theta, x, y, alpha, steps: flatten(own_adapt()(theta, x, y, alpha, steps))),
    (check.adapt, lambda t, x, y, *a: own_adapt()({n: p.float() for n, p in t.items()}, x.float(), y.float(), *a)),
    (check.meta_loss, own_meta_loss),
    (check.meta_loss, lambda *a: own_meta_loss(*a).item()),
    (check.best_start, own_best_start(2)),
    (check.hessian_vector_product, own_hvp),
    (check.hessian_vector_product, hvp_by_differences),
    (check.unrolled_product, own_product()),
    (check.meta_gradient, by_autograd()),
    (check.meta_gradient, by_functional_transforms),
    (check.meta_gradient, by_finite_differences),
    (check.meta_gradient, through_a_module),
    (check.meta_gradient, chain()),
    (check.meta_gradient, lambda *a: flatten(dict(zip(a[0], by_autograd()(*a), strict=True))).tolist()),
    (check.adaptation_curve, own_curve()),
    (check.fomaml_gradient, gradient_at_phi()),
    (check.fomaml_gradient, by_autograd(detach=True)),
    (check.reptile_direction, own_reptile),
    (check.pretrain_gradient, own_pretrain),
    (check.best_single_function, by_quadrature),
    (check.best_single_function, lambda x, A, b: torch.tensor(by_quadrature(x, A, b))),
    (check.paired_interval, by_scipy),
    (check.anil_gradient, by_autograd(moving=HEAD)),
    (check.cka, own_cka()),
    (check.posterior_mean, own_posterior()),
    (check.linear_estimate, own_linear()),
    (check.implicit_gradient, own_implicit()),
    (check.rate_gradient, own_rates_gradient()),
    (check.rate_gradient, rates_by_autograd()),
    (check.nearest_centroid, own_centroid()),
    (check.normalise_by_support, own_normalised()),
    (check.checkpointed_gradient, own_checkpointed()),
    (check.per_task_gradients, own_rows()),
    (check.per_task_gradients, lambda *given: list(own_rows()(*given).values())),
]

WRONG = [
    (check.sample_tasks, own_sample(per_point=True), "each point"),
    (check.sample_tasks, own_sample(anew=True), "anew for the query"),
    (check.sample_tasks, own_sample(turn=2), "b is not uniform"),
    (check.sample_tasks, own_sample(low=0), "A is not uniform"),
    (check.sample_tasks, own_sample(high=4.9), "A is not uniform"),
    (check.sample_tasks, own_sample(turn=0.97), "b is not uniform"),
    (check.sample_tasks, own_sample(support_from=0), "x_support is not uniform on [-5, 5]"),
    (check.sample_tasks, own_sample(query_to=0), "x_query is not uniform"),
    (check.sample_tasks, own_sample(generator_used=False), "seeded as before, gave other tasks"),
    (check.sample_tasks, own_sample(seeded=True), "seeded anew"),
    (check.sample_tasks, own_sample(leak=True), "Draw a separate x for every support point and every query point."),
    (check.sample_tasks, own_sample(one_x=True), "an x occurs twice in 100 %"),
    (check.sample_tasks, own_sample(tied=True), "depend on each other"),
    (check.sample_tasks, own_sample(inf=True), "infinite"),
    (check.sample_tasks, lambda tasks, shots, query, generator: None, "NoneType"),
    (check.fit_sinusoid, own_fit(lambda q, p: np.arctan2(p, q)), "swapped"),
    (check.fit_sinusoid, own_fit(lambda q, p: np.arctan(q / p)), "atan(q/p)"),
    (check.fit_sinusoid, own_fit(lambda q, p: np.arcsin(q / np.hypot(p, q))), "asin(q/A)"),
    (check.fit_sinusoid, lambda x, y: own_fit()(x, y)[::-1], "b comes before A"),
    (check.fit_sinusoid, own_fit(lambda q, p: q, lambda p, q: p), "p and q themselves"),
    (check.fit_sinusoid, own_fit(lambda q, p: np.arctan2(-q, p)), "b has the wrong sign"),
    (check.adapt, own_adapt(create_graph=False), "create_graph"),
    (check.adapt, own_adapt(sign=1), "The steps climb"),
    (check.adapt, own_adapt(at_theta=True), "Every gradient seems to be taken at θ"),
    (check.adapt, lambda t, x, y, a, K: own_adapt()(t, x, y, a / 2, K), "half the squared error"),
    (check.adapt, lambda t, x, y, a, K: own_adapt()(t, x, y, 1, K), "as if α were 1"),
    (check.adapt, lambda t, x, y, a, K: own_adapt()(t, x, y, a, K - 1), "one step too few"),
    (check.adapt, lambda t, x, y, a, K: own_adapt()(t, x, y, a, K + 1), "one step too many"),
    (check.adapt, lambda t, x, y, a, K: t, "theta unchanged"),
    (check.adapt, lambda t, x, y, a, K: gradient(t, x, y), "the gradient at θ, not φ"),
    (check.adapt, w2_turned(own_adapt()), "W2 looks transposed"),
    (check.adapt, lambda *a: own_adapt()(*a[:-1], 1), "one step, whatever steps says"),
    (check.adapt, lambda *a: {n: p.detach().numpy() for n, p in own_adapt()(*a).items()}, "detached inner step"),
    (check.adapt, own_adapt(data=True), "detached inner step"),
    (check.adapt, lambda *a: flatten(own_adapt(data=True)(*a)).detach().numpy(), "detached inner step"),
    (check.adapt, own_adapt(points_sum=True), "sum over the points"),
    (check.meta_loss, lambda *a: own_meta_loss(*a, on="support"), "It measures on the support points"),
    (check.meta_loss, lambda *a: 3 * own_meta_loss(*a), "sum in place of the mean"),
    (check.meta_loss, lambda *a: -own_meta_loss(*a, sign=1), "And all of it with the wrong sign"),
    (check.meta_loss, lambda *a: own_meta_loss(*a, sign=1), "The inner steps climb"),
    (check.meta_loss, lambda *a: own_meta_loss(*a, carry=True), "where the last one ended"),
    (check.best_start, own_best_start(1), "first-order"),
    (check.best_start, own_best_start(0, h_power=0), "plain mean of the minima"),
    (check.best_start, own_best_start(2, h_power=0), "lacks the factor h"),
    (check.best_start, own_best_start(2, sign=1), "1 + αh"),
    (check.best_start, lambda c, h, alpha, steps: own_best_start(2)(c, h, 1, steps), "α is missing"),
    (check.best_start, lambda c, h, alpha, steps: own_best_start(2)(c, h, alpha, 1), "one step, whatever steps says"),
    (check.best_start, lambda c, h, alpha, steps: own_best_start(2)(c, h, alpha, steps - 1), "one step too few"),
    (check.best_start, own_best_start(0), "joint training"),
    (check.best_start, lambda c, h, alpha, steps: own_best_start(2)(c, h, alpha, steps + 1), "one step too many"),
    (check.hessian_vector_product, gauss_newton, "Gauss-Newton"),
    (check.hessian_vector_product, hvp_backward, "left in .grad"),
    (check.hessian_vector_product, outer_product, "gradient's outer product"),
    (check.hessian_vector_product, lambda theta, x, y, v: gradient(theta, x, y), "the gradient itself"),
    (check.hessian_vector_product, hvp_twice, "H H v"),
    (check.hessian_vector_product, w2_turned(own_hvp), "W2 looks transposed"),
    (check.unrolled_product, own_product(lambda H: H.flip(0)), "reversed product"),
    (check.unrolled_product, own_product(lambda H: [H[0]] * len(H)), "H_0 in every factor"),
    (check.unrolled_product, own_product(lambda H: [H[-1]] * len(H)), "the last Hessian in every factor"),
    (check.unrolled_product, own_product(lambda H: [H.sum(0)]), "without the terms in α²"),
    (check.unrolled_product, own_product(lambda H: -H), "I + αH"),
    (check.unrolled_product, lambda H, g, alpha: own_product()(H, g, 1), "step size α is missing"),
    (check.unrolled_product, lambda H, g, alpha: g, "no factor was applied"),
    (check.unrolled_product, own_product(lambda H: H[1:]), "factor of H_0 is missing"),
    (check.unrolled_product, own_product(lambda H: H[:-1]), "factor of the last Hessian is missing"),
    (check.unrolled_product, own_product(lambda H: H[:1]), "Only the factor of H_0"),
    (check.unrolled_product, own_product(lambda H: H[-1:]), "Only the factor of the last Hessian"),
    (check.meta_gradient, by_autograd(create_graph=False), "create_graph"),
    (check.meta_gradient, by_autograd(detach=True), "detached inner step"),
    (check.meta_gradient, by_autograd(swap=True), "changed places"),
    (check.meta_gradient, by_autograd(reduce="sum"), "times 3, the number of tasks"),
    (check.meta_gradient, by_autograd(inner_sum=True), "sum over the points"),
    (check.meta_gradient, by_autograd(sign=1), "climb"),
    (check.meta_gradient, by_autograd(carry=True), "where the last one ended"),
    (check.meta_gradient, by_autograd(truncate=True), "Only the last inner step"),
    (check.meta_gradient, by_autograd(half=True), "half the squared error"),
    (check.meta_gradient, by_autograd(points_sum=True), "Both losses look like sums"),
    (check.meta_gradient, lambda theta, batch, alpha, steps: by_autograd()(theta, batch, 1.0, steps), "is α missing"),
    (check.meta_gradient, gradient_at_phi(), "at φ instead of back through φ"),
    (check.meta_gradient, gradient_at_phi(reduce=torch.sum), "And all of it times 3, the number of tasks"),
    (check.meta_gradient, chain(lambda path: path), "reversed product"),
    (check.meta_gradient, chain(lambda path: path[:1] * len(path)), "Hessians at θ"),
    (check.meta_gradient, chain(lambda path: path[:1]), "Only the first inner step"),
    (check.meta_gradient, chain(lambda path: path[:0:-1]), "I - αH_0 is missing"),
    (check.meta_gradient, chain(lambda path: path[-1:] * len(path)), "all Hessians at the last point"),
    (check.meta_gradient, chain(sign=1), "factors look like I + αH"),
    (check.meta_gradient, first_powers, "without the terms in α²"),
    (check.meta_gradient, on(by_autograd(), "query", "query"), "It adapts to the query points"),
    (check.meta_gradient, on(by_autograd(), "support", "support"), "It measures on the support points"),
    (check.meta_gradient, lambda t, b, a, K: by_autograd()(t, b, a, 0), "It is taken at θ instead of φ"),
    (check.meta_gradient, lambda t, b, a, K: by_autograd()(t, b, a, 1), "one inner step, whatever steps says"),
    (check.meta_gradient, lambda t, b, a, K: by_autograd()(t, b, a, K - 1), "one inner step too few"),
    (check.meta_gradient, lambda t, b, a, K: by_autograd()(t, b, a, K + 1), "one inner step too many"),
    (check.meta_gradient, lambda t, b, a, K: by_autograd()(t, b, a / 2, K), "inner steps look half as long"),
    (check.meta_gradient, of_task(by_autograd(), 0), "one task only, the first"),
    (check.meta_gradient, of_task(by_autograd(), 2), "one task only, the last"),
    (check.meta_gradient, first_left_in_grad, "support gradient at θ left in .grad"),
    (check.meta_gradient, left_in_grad, "inner gradients left in .grad"),
    (check.meta_gradient, all_at_theta, "gradient seems to be taken at θ"),
    (check.meta_gradient, one_phi, "One φ seems to serve"),
    (check.meta_gradient, w2_turned(by_autograd()), "W2 looks transposed"),
    (check.meta_gradient, scaled(by_autograd(), 3 / 6), "len(batch)"),
    (check.meta_gradient, scaled(by_autograd(), 1 / 3), "once too often"),
    (check.meta_gradient, scaled(by_autograd(swap=True), -1), "changed places. And all of it with the wrong sign"),
    (check.meta_gradient, scaled(by_autograd(), 0), "zero in every case"),
    (check.meta_gradient, scaled(by_autograd(), 1.001), "It is close"),
    (check.unrolled_product, lambda *a: 3 * own_product()(*a), "times 3, in every case"),
    (check.adaptation_curve, own_curve(carry=True), "where the last one ended"),
    (check.adaptation_curve, own_curve(sign=1), "The steps climb"),
    (check.adaptation_curve, own_curve(at_theta=True), "Every inner gradient seems to be taken at θ"),
    (check.adaptation_curve, lambda t, b, a, K: own_curve()(t, b, a, K + 1)[1:], "starts after the first step"),
    (check.adaptation_curve, on(own_curve(), "support", "support"), "It measures on the support points"),
    (check.adaptation_curve, lambda t, b, a, K: own_curve()(t, b, a, 0) * (K + 1), "φ is not used"),
    (check.fomaml_gradient, by_autograd(), "full gradient"),
    (check.fomaml_gradient, last_left_in_grad, "last inner gradient left in .grad"),
    (check.fomaml_gradient, w2_turned(by_autograd(detach=True)), "W2 looks transposed"),
    (check.fomaml_gradient, by_autograd(detach=True, sign=1), "climb"),
    (check.fomaml_gradient, by_autograd(detach=True, carry=True), "where the last one ended"),
    (check.fomaml_gradient, gradient_at_phi(into="support"), "It measures on the support points"),
    (check.reptile_direction, lambda *a: {n: -g for n, g in own_reptile(*a).items()}, "wrong sign"),
    (check.reptile_direction, lambda *a: {n: a[3] * g for n, g in own_reptile(*a).items()}, "division by α"),
    (check.reptile_direction, lambda *a: {n: g / a[4] for n, g in own_reptile(*a).items()}, "number of steps as well"),
    (check.reptile_direction, lambda t, x, y, a, K: gradient(t, x, y), "gradient at θ: one step's worth"),
    (check.reptile_direction, lambda *a: gradient(own_adapt()(*a), *a[1:3]), "gradient at φ; Reptile"),
    (check.reptile_direction, lambda t, x, y, a, K: own_reptile(t, x, y, a, K - 1), "one step too few"),
    (check.reptile_direction, lambda t, x, y, a, K: own_reptile(t, x, y, a, K + 1), "one step too many"),
    (check.reptile_direction, lambda *a: own_reptile(*a, points_sum=True), "sum over the points"),
    (check.reptile_direction, lambda *a: own_reptile(*a, sign=1), "The inner steps climb"),
    (check.reptile_direction, own_adapt(), "It returns φ itself"),
    (check.pretrain_gradient, two_means(), "two means"),
    (check.pretrain_gradient, two_means(divided_by=1), "adds the support loss and the query loss"),
    (check.pretrain_gradient, lambda *a: own_pretrain(*a, on=["query"]), "the query points alone"),
    (check.pretrain_gradient, lambda *a: own_pretrain(*a, on=["support"]), "the support points alone"),
    (check.pretrain_gradient, of_task(own_pretrain, 0), "one task only, the first"),
    (check.pretrain_gradient, of_task(own_pretrain, 2), "one task only, the last"),
    (check.pretrain_gradient, w2_turned(own_pretrain), "W2 looks transposed"),
    (check.pretrain_gradient, lambda *a: {n: 12 * g for n, g in own_pretrain(*a).items()}, "points of a task"),
    (check.best_single_function, lambda x, A, b: sum(A) / 2 * torch.sin(x + sum(b) / 2), "flatter"),
    (check.adapt, lambda *a: {n: p.bfloat16() for n, p in own_adapt()(*a).items()}, "It is in bfloat16"),
    (check.meta_gradient, lambda *a: [g.bfloat16() for g in by_autograd()(*a)], "Compute in float32"),
    (check.meta_loss, lambda *a: (1.002 * own_meta_loss(*a)).half(), "float16, which keeps 3 to 4 digits"),
    (check.meta_gradient, scaled(lambda *a: [g.bfloat16() for g in by_autograd()(*a)], 0), "zero in every case"),
    (check.paired_interval, unpaired, "independent samples"),
    (
        check.best_single_function,
        lambda x, A, b: np.array(by_quadrature(x, A, b)) * (b[1] - b[0]),
        "not divided by the",
    ),
    (check.best_single_function, lambda x, A, b: by_quadrature(x, (1, 1), b), "mean over A is missing"),
    (check.best_single_function, lambda x, A, b: by_quadrature(x, (A[1], A[1]), b), "largest amplitude"),
    (check.best_single_function, lambda x, A, b: -np.array(by_quadrature(x, A, b)), "the integral of sin is -cos"),
    (check.best_single_function, lambda x, A, b: by_quadrature(x, A, (0, math.pi)), "whatever phase says"),
    (check.best_single_function, lambda x, A, b: by_quadrature(x, (0.1, 5), b), "whatever amplitude says"),
    (check.paired_interval, own_interval(lambda n: scipy.stats.norm.ppf(0.975)), "the normal's 1.96"),
    (check.paired_interval, own_interval(student, ddof=0), "divides by N - 1"),
    (check.paired_interval, own_interval(student, of=lambda d: 1), "division by √N is missing"),
    (check.paired_interval, own_interval(lambda n: 1), "factor t is missing"),
    (check.paired_interval, own_interval(lambda n: 2), "2 for Student's factor t"),
    (check.paired_interval, own_interval(lambda n: student(n, 0.95)), "one-sided quantile"),
    (check.paired_interval, own_interval(lambda n: 2 * student(n)), "whole width"),
    (check.paired_interval, own_interval(lambda n: student(n + 1)), "N degrees of freedom"),
    (check.paired_interval, lambda a, b: by_scipy(a, b)[::-1], "Half the width comes before"),
    (check.paired_interval, lambda a, b: by_scipy(b, a), "wrong way round"),
    (check.paired_interval, lambda a, b: scipy.stats.ttest_rel(a, b).confidence_interval(), "two ends"),
    (check.anil_gradient, by_autograd(), "All layers adapt"),
    (check.anil_gradient, by_autograd(moving=("W1", "b1", "W2", "b2")), "The body adapts and the head stays"),
    (check.anil_gradient, by_autograd(moving="W3"), "Only W3 adapts"),
    (check.anil_gradient, by_autograd(moving=HEAD, trained=HEAD), "the body is left out"),
    (check.anil_gradient, by_autograd(moving=HEAD, detach=True), "first-order ANIL"),
    (check.anil_gradient, by_autograd(moving=HEAD, sign=1), "The inner steps climb"),
    (check.anil_gradient, by_autograd(moving=HEAD, carry=True), "where the last one ended"),
    (check.anil_gradient, w2_turned(by_autograd(moving=HEAD)), "W2 looks transposed"),
    (check.cka, own_cka(centre=False), "The mean over inputs is not subtracted"),
    (check.cka, own_cka(rows=True), "It subtracts the mean of each row"),
    (check.cka, own_cka(whole=True), "one mean of all numbers"),
    (check.cka, lambda X, Y: own_cka()(X, Y) / centred_product(X, Y)[2], "The numerator is not squared"),
    (check.cka, own_cka(root=True), "It is the square root"),
    (check.cka, lambda X, Y: squared_cosine(*centred_product(X, Y)), "The denominator has"),
    (check.cka, own_cka(order=2), "spectral norms"),
    (check.posterior_mean, own_least_squares, "It is least squares"),
    (check.posterior_mean, own_posterior(mode=True, points=500), "near the mode"),
    (check.posterior_mean, own_posterior(weight=1), "uniform in the plane"),
    (check.posterior_mean, own_posterior(what="of means"), "the mean amplitude and the mean phase"),
    (check.posterior_mean, own_posterior(what="Ab"), "These are the means of A and b"),
    (check.posterior_mean, own_posterior(exponent=1), "σ is used in place of the variance"),
    (check.posterior_mean, own_posterior(halved=False), "The 2 in exp"),
    (check.posterior_mean, own_posterior(averaged=True), "averaged over the points"),
    (check.posterior_mean, own_posterior(turn=2 * np.pi), "runs over a whole turn"),
    (check.posterior_mean, lambda x, y, noise: (0.0, 5.1 / np.pi), "The points are not used"),
    (check.linear_estimate, own_least_squares, "It is least squares"),
    (check.linear_estimate, own_linear(mean=(0, 0)), "prior mean of q is taken to be 0"),
    (check.linear_estimate, own_linear(centred=False), "the square of its mean is not subtracted"),
    (check.linear_estimate, own_linear(second=2.55**2 / 2), "E[A]² is used"),
    (check.linear_estimate, own_linear(added=False), "not added back"),
    (check.linear_estimate, own_linear(exponent=1), "σ is used in place of the variance"),
    (check.linear_estimate, own_posterior(), "which is not linear in y"),
    (check.linear_estimate, lambda x, y, noise: (0.0, 5.1 / np.pi), "The points are not used"),
    (check.implicit_gradient, own_implicit(solve=False), "no linear system is solved"),
    (check.implicit_gradient, own_implicit(multiply=True), "multiplied by I + H/ρ"),
    (check.implicit_gradient, own_implicit(multiply=True, sign=-1), "MAML's factor"),
    (check.implicit_gradient, own_implicit(sign=-1), "The sign of H is wrong"),
    (check.implicit_gradient, own_implicit(hessian="query"), "H is that of the query loss"),
    (check.implicit_gradient, own_implicit(gradient="support"), "The gradient is that of the support loss"),
    (check.implicit_gradient, own_implicit(hessian="query", gradient="support"), "have changed places"),
    (check.implicit_gradient, own_implicit(by="1/rho"), "H is multiplied by ρ"),
    (check.rate_gradient, rates_by_autograd(of="theta"), "with respect to theta"),
    (check.rate_gradient, own_rates_gradient(log=True), "to the logarithm"),
    (check.rate_gradient, own_rates_gradient(first_order=True), "It is first order"),
    (check.rate_gradient, own_rates_gradient(last=True), "Only the last inner step"),
    (check.rate_gradient, lambda t, a, b, K: own_rates_gradient()(t, a, b, 1), "It takes one inner step"),
    (check.rate_gradient, own_rates_gradient(more=1), "one inner step too many"),
    (check.rate_gradient, own_rates_gradient(support=True), "It measures on the support points"),
    (check.rate_gradient, own_rates_gradient(swap=True), "have changed places"),
    (check.rate_gradient, first_task_rates, "one task only, the first"),
    (check.rate_gradient, rates_by_autograd(carry=True), "where the last one ended"),
    (check.nearest_centroid, own_neighbour, "the nearest support point"),
    (check.nearest_centroid, own_centroid(score="inner"), "the largest inner product"),
    (check.nearest_centroid, own_centroid(score="cosine"), "the largest cosine"),
    (check.nearest_centroid, own_centroid(score="farthest"), "the farthest centroid"),
    (check.nearest_centroid, own_centroid(kind="sum"), "looks like a sum"),
    (check.nearest_centroid, own_centroid(kind="first"), "the first support point"),
    (check.normalise_by_support, own_normalised(by="query"), "the query's own statistics"),
    (check.normalise_by_support, own_normalised(by="both"), "together"),
    (check.normalise_by_support, own_normalised(unbiased=True), "divides by n - 1"),
    (check.normalise_by_support, own_normalised(whole=True), "One mean and variance"),
    (
        check.normalise_by_support,
        lambda s, q: (q - s.mean(0)) / (s.std(0, correction=0) ** 2 + 1e-5),
        "its square root",
    ),
    (check.normalise_by_support, lambda s, q: q / (s.var(0, correction=0) + 1e-5).sqrt(), "The mean is not subtracted"),
    (check.checkpointed_gradient, own_checkpointed(factors=False), "It is the first-order gradient"),
    (check.checkpointed_gradient, own_checkpointed(frozen=True), "taken where it begins"),
    (check.checkpointed_gradient, own_checkpointed(order="forwards within"), "Within a segment the order is wrong"),
    (check.checkpointed_gradient, own_checkpointed(order="segments forwards"), "The segments are in the wrong order"),
    (check.checkpointed_gradient, own_checkpointed(order="reversed"), "It looks like the reversed product"),
    (check.checkpointed_gradient, own_checkpointed(full=True), "The steps after the last full segment"),
    (check.checkpointed_gradient, own_checkpointed(alone=True), "Only the last segment"),
    (check.checkpointed_gradient, own_checkpointed(sparse=True), "Only the kept iterates"),
    (check.checkpointed_gradient, own_checkpointed(kept="theta"), "computed again from θ"),
    (check.checkpointed_gradient, own_checkpointed(adapt="query"), "It adapts to the query points"),
    (check.checkpointed_gradient, own_checkpointed(measure="support"), "It measures on the support points"),
    (check.checkpointed_gradient, own_checkpointed(adapt="query", measure="support"), "have changed places"),
    (check.checkpointed_gradient, own_checkpointed(more=-1), "one inner step too few"),
    (check.checkpointed_gradient, own_checkpointed(more=1), "one inner step too many"),
    (check.checkpointed_gradient, own_checkpointed(only_first=True), "one task only, the first"),
    (check.checkpointed_gradient, own_checkpointed(turn=True), "W2 looks transposed"),
    (check.per_task_gradients, own_rows(of=lambda g: g.mean(0).expand_as(g)), "Every row is the mean"),
    (check.per_task_gradients, own_rows(of=lambda g: g.sum(0).expand_as(g)), "Every row is the sum"),
    (check.per_task_gradients, own_rows(of=lambda g: g / len(g)), "divided by the number of tasks"),
    (check.per_task_gradients, own_rows(points_sum=True), "sums over the query points"),
    (check.per_task_gradients, own_rows(of=lambda g: g.cumsum(0)), "the tasks before it as well"),
    (check.per_task_gradients, own_rows(of=lambda g: g.flip(0)), "in reverse order"),
    (check.per_task_gradients, own_rows(create_graph=False), "first-order gradients"),
    (check.per_task_gradients, own_rows(moves=False), "taken at θ instead of φ"),
    (check.per_task_gradients, own_rows(adapt="query"), "It adapts to the query points"),
    (check.per_task_gradients, own_rows(measure="support"), "It measures on the support points"),
    (check.per_task_gradients, own_rows(adapt="query", measure="support"), "have changed places"),
    (check.per_task_gradients, own_rows(more=-1), "one inner step too few"),
    (check.per_task_gradients, own_rows(more=1), "one inner step too many"),
    (check.per_task_gradients, own_rows(carry=True), "Each task starts where the last one ended"),
    (
        check.checkpointed_gradient,
        lambda *given: by_autograd(carry=True)(*given[:4]),
        "where the last one ended",
    ),
]


def identified(value):
    return value.name if isinstance(value, check.Exercise) else getattr(value, "__name__", None)


@pytest.mark.parametrize(("checked", "function"), RIGHT, ids=identified)
def test_accepts_what_is_right(checked, function, capsys):
    checked(function, seed=0)  # by chance a kink of relu may lie within any step of finite differences
    assert "right" in capsys.readouterr().out


@pytest.mark.parametrize(("checked", "function", "words"), WRONG, ids=identified)
def test_names_what_is_wrong(checked, function, words):
    with pytest.raises(Failed) as failure:
        checked(function)
    assert words in str(failure.value)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_the_random_cases(seed, capsys):
    for checked, function in RIGHT:
        checked(function, seed=seed)
    for checked, function, words in WRONG:
        with pytest.raises(Failed, match=re.escape(words)):
            checked(function, seed=seed)


def test_the_seed_that_is_named_repeats_the_cases():
    def message(**seed):
        with pytest.raises(Failed) as failure:
            check.meta_gradient(by_autograd(swap=True), **seed)
        return str(failure.value)

    first = message()
    assert message(seed=int(re.search(r"seed=(\d+)", first)[1])) == first
    assert message() != first


def test_where_one_step_is_right_it_says_so():
    def right_once(theta, batch, alpha, steps):
        gradients = by_autograd()(theta, batch, alpha, steps)
        return gradients if steps == 1 else [i * g for i, g in enumerate(gradients)]

    with pytest.raises(Failed, match="right where steps is 1, and wrong from the second step on"):
        check.meta_gradient(right_once)


def sentences(exercise):
    return [*exercise.mistakes, *(exercise.then.mistakes if exercise.then else ())]


def test_every_sentence_has_an_answer_written_by_hand():
    """Or the same sentence has one in another exercise."""
    meant = set()
    for exercise, _, words in WRONG:
        named = [sentence for sentence in sentences(exercise) if words in sentence or sentence in words]
        assert len(named) <= 1, f"{words!r} is in several sentences of {exercise.name}"
        meant |= {*named}
    assert meant == {sentence for exercise in EXERCISES.values() for sentence in sentences(exercise)}
