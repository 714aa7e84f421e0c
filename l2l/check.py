"""Checks of the exercises: each runs a learner's function on fresh random cases, and says what is wrong with it::

    from l2l import check
    check.meta_gradient(my_meta_gradient)

A check prints one line where the function is right, and raises `Failed` where it is not. The message says what was
expected and by how much the answer is off; an answer that equals that of a known mistake in every case gets the
mistake's name. Each call has copies of its own. Parameters come as the dict of `l2l.init_params`, in float64 and
with `requires_grad`; where they are the answer, a dict, a sequence in the same order or one flat vector will do.
`seed` repeats the cases of an earlier run.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from scipy.special import stdtrit
from torch import Tensor
from torch.func import grad, jacrev

import l2l.methods as methods
from l2l.evaluate import adaptation_curve as curve
from l2l.examine import QUERY, SHOTS, TASKS, Answer, Failed, Mistakes, call, examine, seeded
from l2l.net import Params, flatten, init_params, mlp, mse, unflatten
from l2l.stats import confidence_interval
from l2l.tasks import Batch, SineTasks

SIZES = (1, 8, 8, 1)

# Cases: what a function is called with. Each draws fresh values from a generator.


def _theta(generator: torch.Generator) -> Params:
    return {n: p.requires_grad_() for n, p in init_params(SIZES, generator=generator, dtype=torch.float64).items()}


def _number(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def _batch(generator: torch.Generator) -> Batch:
    return SineTasks().sample(TASKS, SHOTS, QUERY, generator=generator, dtype=torch.float64)


def _meta_case(i: int, generator: torch.Generator) -> dict:
    return {"theta": _theta(generator), "batch": _batch(generator), "alpha": _number(generator, 0.02, 0.04),
            "steps": 1 + i % 3}  # fmt: skip


def _task_case(i: int, generator: torch.Generator) -> dict:
    case = _meta_case(i, generator)
    batch = case.pop("batch")
    return {"theta": case.pop("theta"), "x": batch.x_support[0], "y": batch.y_support[0]} | case


# What goes wrong: each of these functions makes one mistake.


def _swapped(batch: Batch, support: str, query: str) -> Batch:
    parts = {f"{axis}_{name}": getattr(batch, f"{axis}_{source}")
             for name, source in (("support", support), ("query", query)) for axis in "xy"}  # fmt: skip
    return batch._replace(**parts)


def _path(theta: Params, x: Tensor, y: Tensor, alpha: float, steps: int, **options) -> list[Params]:
    """θ^(0), …, θ^(K)."""
    path = [theta]
    for _ in range(steps):
        path.append(methods.adapt(path[-1], x, y, alpha=alpha, steps=1, **options))
    return path


def _climb(params: Params, x: Tensor, y: Tensor) -> Tensor:
    """The loss of one who takes plus for minus."""
    return -mse(params, x, y)


def _chain(theta, batch, alpha, steps, order=lambda before: before[::-1], sign=-1) -> Params:
    """∏(I + sign·αH) ∇L by Hessian-vector products at the points that `order` makes of θ^(0), …, θ^(K-1)."""
    total = torch.zeros(())
    for i in range(len(batch.x_support)):
        x, y = batch.x_support[i], batch.y_support[i]
        path = _path(theta, x, y, alpha, steps)
        v = grad(mse)(path[-1], batch.x_query[i], batch.y_query[i])
        for phi in order(path[:-1]):
            H = _hvp(phi, x, y, v)
            v = {n: v[n] + sign * alpha * H[n] for n in v}
        total = total + flatten(v) / len(batch.x_support)
    return total


def _hvp(theta: Params, x: Tensor, y: Tensor, v: Params) -> Params:
    return grad(lambda theta: sum((g * v[n]).sum() for n, g in grad(mse)(theta, x, y).items()))(theta)


def _gradients(method, theta, batch, alpha, steps, **options) -> Params:
    return method(theta, batch, alpha=alpha, steps=steps, **options).grads


def _climbing(method, **case) -> Tensor:
    return -flatten(_gradients(method, loss=_climb, **case))


def _turned(answer: Answer) -> Answer:
    """With the square matrix W2 transposed, as torch.nn.Linear keeps it."""

    def mistaken(**case) -> Params:
        found = unflatten(_vector(answer(**case)), SIZES)
        return found | {"W2": found["W2"].mT}

    return mistaken


TURNED = "W2 looks transposed: here W is [in, out], where torch.nn.Linear keeps [out, in]."


def _altered(answer: Answer, **changes: Callable) -> Answer:
    """The same, of other arguments: `_altered(f, steps=lambda K: 1)` takes one step, whatever it is given."""
    return lambda **case: answer(**case | {name: change(case[name]) for name, change in changes.items()})


def _only(task: int) -> Callable[[Batch], Batch]:
    return lambda batch: Batch(*(value[[task]] for value in batch))


def _merged(batch: Batch) -> Batch:
    """Every task with the support points of all."""
    x, y = (value.reshape(1, -1, 1).expand(TASKS, -1, 1) for value in (batch.x_support, batch.y_support))
    return batch._replace(x_support=x, y_support=y)


def _vector(answer: Params | Tensor) -> Tensor:
    return flatten(answer) if isinstance(answer, dict) else answer


def _carried_on(theta, batch, alpha, steps, first_order=False) -> Tensor:
    """The meta-loss if each task starts where the last one ended."""
    total = torch.zeros(())
    for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
        theta = methods.adapt(theta, x_support, y_support, alpha=alpha, steps=steps, first_order=first_order)
        total = total + mse(theta, x_query, y_query) / TASKS
    return total


def _usual(answer: Answer) -> Mistakes:
    """What goes wrong in functions of (theta, batch, alpha, steps)."""

    def on(support: str, query: str) -> Answer:
        return _altered(answer, batch=lambda batch: _swapped(batch, support, query))

    def times(factor: float, alpha_times: float) -> Answer:
        return lambda alpha, **case: factor * _vector(answer(alpha=alpha_times * alpha, **case))

    return {
        "It adapts to the query points; query stands where support should.": on("query", "query"),
        "It measures on the support points; support stands where query should.": on("support", "support"),
        "Support and query points have changed places.": on("query", "support"),
        "It is taken at θ instead of φ, as if before adaptation: φ is not used.": _altered(answer, steps=lambda K: 0),
        "It takes one inner step, whatever steps says.": _altered(answer, steps=lambda K: 1),
        "It took one inner step too few.": _altered(answer, steps=lambda K: K - 1),
        "It took one inner step too many.": _altered(answer, steps=lambda K: K + 1),
        "The inner loss looks like a sum over the points where it should be their mean.": times(1, SHOTS),
        "Both losses look like sums over the points where they should be their means.": times(QUERY, SHOTS),
        "The losses look like half the squared error; L is the mean of (f(x) - y)², without a half.": times(0.5, 0.5),
        "The inner steps look half as long: L is the mean of (f(x) - y)², without a half.": times(1, 0.5),
        "The inner steps look as if α were 1: is it missing?": _altered(answer, alpha=lambda alpha: 1.0),
        "Every inner gradient looks taken at θ; step k takes it at θ^(k-1).":
            lambda alpha, steps, **case: answer(alpha=steps * alpha, steps=1, **case),
        "One φ seems to serve all tasks, adapted to their points together; each task has its own.":
            _altered(answer, batch=_merged),
        "It is that of one task only, the first; the answer is the mean over tasks.": _altered(answer, batch=_only(0)),
        "It is that of one task only, the last; the answer is the mean over tasks.": _altered(answer, batch=_only(-1)),
    }  # fmt: skip


def _sinusoid(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """p and q of y = p sin x + q cos x, by least squares over the last axis."""
    p_q = torch.linalg.lstsq(torch.stack([x.sin(), x.cos()], -1), y[..., None]).solution[..., 0]
    return p_q[..., 0], p_q[..., 1]


# The checks.


def sample_tasks(function: Answer, *, seed: int | None = None) -> None:
    """Check f(tasks, shots, query, generator) → x_support, y_support [T, K, 1], x_query, y_query [T, Q, 1].

    A task is y = A sin(x + b) with A ~ U[0.1, 5], b ~ U[0, π], x ~ U[-5, 5]; its query points are of the same sinusoid.

    Source: Finn et al. (2017), section 5.1.
    """
    name, tasks, paper = "sample_tasks", 2_000, SineTasks()
    seed, generator = seeded(seed)
    sizes = {"tasks": tasks, "shots": SHOTS, "query": QUERY}

    def draw() -> list[Tensor]:
        shapes = [(tasks, SHOTS, 1)] * 2 + [(tasks, QUERY, 1)] * 2
        answer = call(name, function, sizes | {"generator": generator})
        got = [tuple(getattr(a, "shape", ())) for a in answer[:4]] if isinstance(answer, list | tuple) else type(answer)
        if got != shapes:
            raise Failed(
                f"{name}: the answer must be x_support, y_support, x_query, y_query of shapes {shapes}, got {got}."
            )
        return [torch.as_tensor(a).double()[..., 0] for a in answer[:4]]

    xs, ys, xq, yq = first = draw()
    if not all(a.isfinite().all() for a in first):
        raise Failed(f"{name}: the answer holds infinite or undefined values (inf or nan).")
    if any(torch.equal(a, b) for a, b in zip(first, draw(), strict=True)):
        raise Failed(f"{name}: a second call gave the same values again. Is the generator seeded anew inside?")
    generator.manual_seed(seed)
    if not all(torch.equal(a, b) for a, b in zip(first, draw(), strict=True)):
        raise Failed(f"{name}: the same generator gave other tasks later. Does every torch.rand have it?")

    def left(x: Tensor, y: Tensor) -> Tensor:
        p, q = _sinusoid(x, y)
        return (p[:, None] * x.sin() + q[:, None] * x.cos() - y).abs().amax(-1)

    x, y = torch.cat([xs, xq], 1), torch.cat([ys, yq], 1)
    twice = (x.sort(1).values.diff(dim=1) == 0).any(1).double().mean()
    if twice > 0.05:
        raise Failed(f"{name}: one x stands twice in {100 * twice:.0f} % of the tasks. Query points are drawn anew, "
                     "and so is every support point.")  # fmt: skip
    if left(xs, ys).median() > 1e-4:
        raise Failed(f"{name}: a task's support points lie on no sinusoid A sin(x + b). Is an amplitude or phase drawn "
                     "for each point? Draw one for each task, of shape [tasks, 1, 1].")  # fmt: skip
    if left(x, y).median() > 1e-4:
        raise Failed(f"{name}: query and support points of a task lie on different sinusoids. It looks like an "
                     "amplitude or phase drawn anew for the query points.")  # fmt: skip
    p, q = _sinusoid(x, y)
    A, b = torch.hypot(p, q), torch.atan2(q, p)
    b = torch.where(b < -math.pi / 2, b + 2 * math.pi, b)  # π and -π are one angle
    drawn = {"x_support": (xs.flatten(), paper.x_range), "x_query": (xq.flatten(), paper.x_range),
             "A": (A, paper.amplitude), "b": (b, paper.phase)}  # fmt: skip
    for what, (values, (low, high)) in drawn.items():
        u = ((values - low) / (high - low)).sort().values
        off = (u - torch.linspace(0, 1, len(u), dtype=u.dtype)).abs().max().item()  # Kolmogorov and Smirnov's distance
        ends = max(u[0].abs().item(), (1 - u[-1]).abs().item())  # below 1 % but once in 10⁸ times
        if off > 3 / math.sqrt(tasks) or ends > 0.01:
            raise Failed(
                f"{name}: {what} is not uniform on [{low:.3g}, {high:.3g}]; yours runs from {values.min():.3g} to "
                f"{values.max():.3g}, with mean {values.mean():.3g} and {len(values.unique()):,} different values."
            )
    if torch.corrcoef(torch.stack([A, b]))[0, 1].abs() > 6 / math.sqrt(tasks):
        raise Failed(f"{name}: A and b depend on each other. Do they come from one torch.rand?")
    print(f"{name}: right; {tasks:,} tasks have the distribution that they should.")


def fit_sinusoid(function: Answer, *, seed: int | None = None) -> None:
    """Check f(x, y) → (A, b), the sinusoid y = A sin(x + b) through points [K] without noise, A > 0 and b in [0, π].

    It is linear in p = A cos b and q = A sin b: y = p sin x + q cos x.
    """

    def case(i: int, generator: torch.Generator) -> dict:
        A, b, x = _number(generator, 0.5, 5), _number(generator, 0.2, 2.9), _uniform(generator, -5, 5, 3 + i)
        if i == 0:
            b = math.pi / 2 + b / 2  # where cos b is negative
        return {"x": x, "y": A * torch.sin(x + b)}

    def oracle(x, y):
        p, q = _sinusoid(x, y)
        return torch.hypot(p, q), torch.atan2(q, p)

    examine("fit_sinusoid", function, case, oracle, {
        "It looks like atan2 with its arguments swapped: b = atan2(q, p), with q the coefficient of cos x.":
            lambda x, y: (oracle(x, y)[0], torch.atan2(*_sinusoid(x, y))),
        "It looks like atan(q/p), which gives no angle beyond π/2; atan2(q, p) knows the signs of both.":
            lambda x, y: (oracle(x, y)[0], torch.atan(torch.tan(oracle(x, y)[1]))),
        "It looks like asin(q/A), which gives no angle beyond π/2; atan2(q, p) knows the signs of both.":
            lambda x, y: (oracle(x, y)[0], torch.asin(torch.sin(oracle(x, y)[1]))),
        "b stands before A.": lambda x, y: oracle(x, y)[::-1],
        "These are p and q themselves; A and b are their length and angle.": _sinusoid,
        "b has the wrong sign: sin(x + b) = cos(b) sin(x) + sin(b) cos(x).":
            lambda x, y: (oracle(x, y)[0], -oracle(x, y)[1]),
    }, seed)  # fmt: skip


def adapt(function: Answer, *, seed: int | None = None) -> None:
    """Check f(theta, x, y, alpha, steps) → φ: θ^(k) = θ^(k-1) - α ∇L(θ^(k-1); x, y), L the mean squared error.

    φ must stay a differentiable function of theta, which a second pass looks at.

    Source: Finn et al. (2017), equation 1.
    """

    def adapted(theta, x, y, alpha, steps, **options):
        return methods.adapt(theta, x, y, alpha=alpha, steps=steps, **options)

    def at_start(theta, x, y, alpha, steps):
        grads = grad(mse)(theta, x, y)
        return {n: p - steps * alpha * grads[n] for n, p in theta.items()}

    examine("adapt", function, _task_case, adapted, {
        "It climbs: the update is minus α times the gradient.": partial(adapted, loss=_climb),
        "It looks like a sum over the points where L is their mean.": _altered(adapted, alpha=lambda a: SHOTS * a),
        "It looks like the gradient of half the squared error; L is the mean of (f(x) - y)², without a half.":
            _altered(adapted, alpha=lambda a: a / 2),
        "It takes one step, whatever steps says.": _altered(adapted, steps=lambda K: 1),
        "It took one step too few.": _altered(adapted, steps=lambda K: K - 1),
        "It took one step too many.": _altered(adapted, steps=lambda K: K + 1),
        "It looks as if α were 1: is it missing?": _altered(adapted, alpha=lambda a: 1.0),
        "It looks like every gradient taken at θ; step k takes it at θ^(k-1).": at_start,
        "It returns theta as it was.": lambda theta, x, y, alpha, steps: theta,
        "It returns the gradient at θ, not φ.": lambda theta, x, y, alpha, steps: grad(mse)(theta, x, y),
        TURNED: _turned(adapted),
    }, seed)  # fmt: skip

    def derivative(phi: list[Tensor], given: dict) -> Tensor:
        theta = given["theta"]
        parts = flatten(dict(zip(theta, phi, strict=True))) if len(phi) == len(theta) else phi[0]
        loss = mlp(unflatten(parts.double(), SIZES), given["x"] + 1).sin().sum()
        if not loss.requires_grad:
            return torch.zeros_like(flatten(theta))
        found = torch.autograd.grad(loss, list(theta.values()), allow_unused=True, materialize_grads=True)
        return torch.cat([g.flatten() for g in found])

    examine("adapt (its derivative by theta)", function, _task_case, adapted, {
        "φ is right, but no derivative leads from it back to θ: it looks like a detached inner step. "
        "Is there a .detach(), a .data or a no_grad()?":
            lambda **case: flatten(adapted(**case)).detach(),
        "φ is right, but the derivative of φ by θ is I where it should be I - αH: it looks like a missing "
        "create_graph=True, or a detached gradient.": partial(adapted, first_order=True),
    }, seed, derivative)  # fmt: skip


def meta_loss(function: Answer, *, seed: int | None = None) -> None:
    """Check f(theta, batch, alpha, steps) → F(θ) = mean_i L(θ_i^(K); query_i), a single number.

    Source: Finn et al. (2017), the objective of section 2.2, with the mean over tasks.
    """

    def loss(theta, batch, alpha, steps):
        return methods.maml(theta, batch, alpha=alpha, steps=steps).loss

    def climbing(theta, batch, alpha, steps):
        return -methods.maml(theta, batch, alpha=alpha, steps=steps, loss=_climb).loss

    examine("meta_loss", function, _meta_case, loss, {
        "The inner steps climb: they take minus α times the gradient.": climbing,
        "Each task starts where the last one ended; every task must start at theta.": _carried_on,
        **_usual(loss),
    }, seed)  # fmt: skip


def best_start(function: Answer, *, seed: int | None = None) -> None:
    """Check f(c, h, alpha, steps) → θ*, where MAML comes to rest on parabolas L_i(θ) = h_i (θ - c_i)²/2; c, h [T].

    After K steps the loss is h_i (1 - αh_i)^(2K) (θ - c_i)²/2, so that θ* is a weighted mean of the minima.
    """

    def case(i: int, generator: torch.Generator) -> dict:
        return {"c": _uniform(generator, -2, 2, TASKS), "h": _uniform(generator, 0.1, 2, TASKS),
                "alpha": _number(generator, 0.1, 0.4), "steps": 1 + i % 3}  # fmt: skip

    def mean(weight: Answer) -> Answer:
        def weighted(c, h, alpha, steps):
            w = weight(h, 1 - alpha * h, steps)
            return (w * c).sum() / w.sum()

        return weighted

    best = mean(lambda h, left, K: h * left ** (2 * K))

    examine("best_start", function, case, best, {
        "It is where joint training comes to rest, with weights h: no adaptation is in it.": mean(lambda h, left, K: h),
        "It is the plain mean of the minima; tasks weigh differently.": mean(lambda h, left, K: torch.ones_like(h)),
        "It is where first-order MAML comes to rest: (1 - αh)^K should be squared.":
            mean(lambda h, left, K: h * left**K),
        "The weight lacks the factor h.": mean(lambda h, left, K: left ** (2 * K)),
        "It is the answer for one step, whatever steps says.": _altered(best, steps=lambda K: 1),
        "It is the answer for one step too few.": _altered(best, steps=lambda K: K - 1),
        "It is the answer for one step too many.": _altered(best, steps=lambda K: K + 1),
        "The factors look like 1 + αh; the step goes down, so it is 1 - αh.":
            mean(lambda h, left, K: h * (2 - left) ** (2 * K)),
        "The step size α is missing.": _altered(best, alpha=lambda alpha: 1.0),
    }, seed)  # fmt: skip


def hessian_vector_product(function: Answer, *, seed: int | None = None) -> None:
    """Check f(theta, x, y, v) → H v, H the Hessian of the mean squared error by theta; v and the answer like theta.

    Source: Pearlmutter (1994).
    """

    def case(i: int, generator: torch.Generator) -> dict:
        task = _task_case(i, generator)
        v = {n: _uniform(generator, -1, 1, *p.shape) for n, p in task["theta"].items()}
        return {"theta": task["theta"], "x": task["x"], "y": task["y"], "v": v}

    def gauss_newton(theta, x, y, v):
        J = torch.cat([j.flatten(1) for j in jacrev(lambda theta: mlp(theta, x)[:, 0])(theta).values()], 1)
        return 2 / len(x) * J.mT @ (J @ flatten(v))

    def outer_product(theta, x, y, v):
        g = grad(mse)(theta, x, y)
        return flatten(g) * (flatten(g) @ flatten(v))

    examine("hessian_vector_product", function, case, _hvp, {
        "It is the Gauss-Newton product JᵀJ v: the second derivatives of the network are missing.": gauss_newton,
        "It is g (g·v), the product with the gradient's outer product, not with the Hessian.": outer_product,
        "It is the gradient itself; differentiate g·v once more.": lambda theta, x, y, v: grad(mse)(theta, x, y),
        "It is H H v: one product too many.": lambda theta, x, y, v: _hvp(theta, x, y, _hvp(theta, x, y, v)),
        "It is g + H v: it looks like the gradient left in .grad, as .backward() adds to what is there.":
            lambda theta, x, y, v: flatten(grad(mse)(theta, x, y)) + flatten(_hvp(theta, x, y, v)),
        TURNED: _turned(_hvp),
    }, seed)  # fmt: skip


def unrolled_product(function: Answer, *, seed: int | None = None) -> None:
    """Check f(hessians, g, alpha) → (I - αH_0)(I - αH_1)…(I - αH_{K-1}) g; hessians [K, P, P], g and the answer [P]."""

    def case(i: int, generator: torch.Generator) -> dict:
        A = _uniform(generator, -1, 1, 2 + i % 3, 4, 4)
        return {"hessians": A + A.mT, "g": _uniform(generator, -1, 1, 4), "alpha": _number(generator, 0.1, 0.4)}

    def product(hessians, g, alpha):
        for H in hessians.flip(0):
            g = g - alpha * H @ g
        return g

    examine("unrolled_product", function, case, product, {
        "It looks like the reversed product: (I - αH_{K-1}) must meet g first.":
            _altered(product, hessians=lambda H: H.flip(0)),
        "It takes H_0 in every factor.": _altered(product, hessians=lambda H: H[:1].expand_as(H)),
        "It takes the last Hessian in every factor.": _altered(product, hessians=lambda H: H[-1:].expand_as(H)),
        "It is g - α ΣH g: what is left of the product without the terms in α², α³, …":
            lambda hessians, g, alpha: g - alpha * hessians.sum(0) @ g,
        "The factors look like I + αH; the step goes down, so it is I - αH.": _altered(product, alpha=lambda a: -a),
        "The step size α is missing.": _altered(product, alpha=lambda a: 1.0),
        "It is g: no factor was applied.": lambda hessians, g, alpha: g,
        "The factor of H_0 is missing.": _altered(product, hessians=lambda H: H[1:]),
        "The factor of the last Hessian is missing.": _altered(product, hessians=lambda H: H[:-1]),
        "Only the factor of H_0 is there.": _altered(product, hessians=lambda H: H[:1]),
        "Only the factor of the last Hessian is there.": _altered(product, hessians=lambda H: H[-1:]),
    }, seed)  # fmt: skip


def meta_gradient(function: Answer, *, seed: int | None = None) -> None:
    """Check f(theta, batch, alpha, steps) → ∇_θ mean_i L(θ_i^(K); query_i), like theta; line 10 of the listing.

    Source: Finn et al. (2017), algorithm 2, with the mean over tasks.
    """
    maml = partial(_gradients, methods.maml)

    def left_over(theta, batch, alpha, steps, counted=lambda K: range(K)):
        on_support = _swapped(batch, "support", "support")
        return sum(flatten(maml(theta, on_support, alpha, k)) for k in counted(steps)) + flatten(
            maml(theta, batch, alpha, steps)
        )

    def expanded(theta, batch, alpha, steps):
        """First order in α: g - α ΣH_k g, each task's products summed instead of multiplied."""
        one = [_chain(theta, batch, alpha, steps, lambda before, k=k: before[k : k + 1]) for k in range(steps)]
        return sum(one) - (steps - 1) * flatten(_gradients(methods.fomaml, theta, batch, alpha, steps))

    examine("meta_gradient", function, _meta_case, maml, {
        "It is the first-order gradient, taken at φ instead of through it to θ. It looks like a missing "
        "create_graph=True, or a detached inner step.": partial(_gradients, methods.fomaml),
        "It looks like the reversed product: (I - αH_{K-1}) must meet the query gradient first.":
            partial(_chain, order=lambda before: before),
        "It takes all Hessians at θ; factor k needs the one at θ^(k).":
            partial(_chain, order=lambda before: before[:1] * len(before)),
        "It takes all Hessians at the last point; factor k needs the one at θ^(k).":
            partial(_chain, order=lambda before: before[-1:] * len(before)),
        "Only the last inner step is differentiated through; every step has its factor I - αH.":
            partial(_chain, order=lambda before: before[-1:]),
        "Only the first inner step is differentiated through; every step has its factor I - αH.":
            partial(_chain, order=lambda before: before[:1]),
        "The first step's factor I - αH_0 is missing.": partial(_chain, order=lambda before: before[:0:-1]),
        "It is g - α ΣH g: what is left of the product without the terms in α², α³, …": expanded,
        "The factors look like I + αH; the step goes down, so it is I - αH.": partial(_chain, sign=1),
        "The inner steps climb: they take minus α times the gradient.": partial(_climbing, methods.maml),
        "Each task starts where the last one ended; every task must start at theta.":
            lambda theta, **case: grad(_carried_on)(theta, **case),
        "It looks like inner gradients left in .grad: .backward() adds to what is there.": left_over,
        "It looks like the support gradient at θ left in .grad: .backward() adds to what is there.":
            partial(left_over, counted=lambda K: range(1)),
        TURNED: _turned(maml),
        **_usual(maml),
    }, seed)  # fmt: skip


def adaptation_curve(function: Answer, *, seed: int | None = None) -> None:
    """Check f(theta, batch, alpha, steps) → [steps+1], the query error after 0, 1, … adaptation steps, mean over tasks.

    Source: Finn et al. (2017), figure 3.
    """

    def part(name: str) -> Answer:
        return lambda theta, batch, alpha, steps: getattr(curve(theta, batch, alpha=alpha, steps=steps), name).mean(1)

    def own(theta, batch, alpha, steps, carry=False, **options):
        errors = torch.zeros(steps + 1, dtype=torch.float64)
        for xs, ys, xq, yq in zip(*batch[:4], strict=True):
            path = _path(theta, xs, ys, alpha, steps, **options)
            errors += torch.stack([mse(phi, xq, yq) for phi in path]) / TASKS
            theta = path[-1] if carry else theta
        return errors

    examine("adaptation_curve", function, _meta_case, part("query"), {
        "It is the support error; the query error tells whether adaptation generalises.": part("support"),
        "The steps climb: they take minus α times the gradient.": partial(own, loss=_climb),
        "Each task starts where the last one ended; every task must start at theta.": partial(own, carry=True),
        "It starts after the first step; the first entry is the error at theta itself.":
            lambda theta, batch, alpha, steps: part("query")(theta, batch, alpha, steps + 1)[1:],
        **_usual(part("query")),
    }, seed)  # fmt: skip


def fomaml_gradient(function: Answer, *, seed: int | None = None) -> None:
    """Check f(theta, batch, alpha, steps) → mean_i ∇L(θ_i^(K); query_i), the first-order gradient, like theta.

    Source: Finn et al. (2017), section 5.2.
    """
    fomaml = partial(_gradients, methods.fomaml)

    def left_over(theta, batch, alpha, steps):
        before = fomaml(theta, _swapped(batch, "support", "support"), alpha, steps - 1)
        return flatten(fomaml(theta, batch, alpha, steps)) + flatten(before)

    examine("fomaml_gradient", function, _meta_case, fomaml, {
        "It is the full gradient of MAML: the inner gradients are not constants yet.":
            partial(_gradients, methods.maml),
        "The inner steps climb: they take minus α times the gradient.": partial(_climbing, methods.fomaml),
        "Each task starts where the last one ended; every task must start at theta.":
            lambda theta, **case: grad(partial(_carried_on, first_order=True))(theta, **case),
        "It looks like the last inner gradient left in .grad: .backward() adds to what is there.": left_over,
        TURNED: _turned(fomaml),
        **_usual(fomaml),
    }, seed)  # fmt: skip


def reptile_direction(function: Answer, *, seed: int | None = None) -> None:
    """Check f(theta, x, y, alpha, steps) → (θ - θ^(K))/α, what Reptile descends on one task, like theta.

    Source: Nichol et al. (2018).
    """

    def moved(theta, x, y, alpha, steps):
        return flatten(theta) - flatten(_path(theta, x, y, alpha, steps)[-1])

    def at(k: int) -> Answer:
        return lambda theta, x, y, alpha, steps: grad(mse)(_path(theta, x, y, alpha, steps)[k], x, y)

    examine("reptile_direction", function, _task_case,
            lambda theta, x, y, alpha, steps: unflatten(moved(theta, x, y, alpha, steps) / alpha, SIZES), {
        "The division by α is missing.": moved,
        "It has the wrong sign: a descent must go towards φ.":
            lambda theta, x, y, alpha, steps: -moved(theta, x, y, alpha, steps) / alpha,
        "It divides by the number of steps as well.":
            lambda theta, x, y, alpha, steps: moved(theta, x, y, alpha, steps) / alpha / steps,
        "It is the gradient at θ: one step's worth, however many there are.": at(0),
        "It is the gradient at φ; Reptile takes the whole way.": at(-1),
        "It took one step too few.": lambda theta, x, y, alpha, steps: moved(theta, x, y, alpha, steps - 1) / alpha,
        "It took one step too many.": lambda theta, x, y, alpha, steps: moved(theta, x, y, alpha, steps + 1) / alpha,
        "It looks like a sum over the points where L is their mean.":
            lambda theta, x, y, alpha, steps: moved(theta, x, y, SHOTS * alpha, steps) / alpha,
        "The inner steps climb: they take minus α times the gradient.":
            lambda theta, x, y, alpha, steps: (flatten(theta)
                - flatten(_path(theta, x, y, alpha, steps, loss=_climb)[-1])) / alpha,
        "It returns φ itself.": lambda theta, x, y, alpha, steps: _path(theta, x, y, alpha, steps)[-1],
    }, seed)  # fmt: skip


def pretrain_gradient(function: Answer, *, seed: int | None = None) -> None:
    """Check f(theta, batch) → ∇_θ mean_i L(θ; support_i ∪ query_i), the joint gradient, like theta.

    Source: the baseline of Finn et al. (2017), section 5.1.
    """

    def case(i: int, generator: torch.Generator) -> dict:
        return {"theta": _theta(generator), "batch": _batch(generator)}

    def joint(theta, batch):
        return methods.pretrain(theta, batch, alpha=0.0, steps=0).grads

    def of(part: str) -> Answer:
        return lambda theta, batch: methods.fomaml(theta, _swapped(batch, part, part), alpha=0.0, steps=0).grads

    examine("pretrain_gradient", function, case, joint, {
        "It uses the query points alone; joint training sees all points.": of("query"),
        "It uses the support points alone; joint training sees all points.": of("support"),
        f"It is the mean of two means; of {SHOTS} support and {QUERY} query points, each counts the same.":
            lambda theta, batch: (flatten(of("support")(theta, batch)) + flatten(of("query")(theta, batch))) / 2,
        "It adds the support loss and the query loss, where the mean over all points should be.":
            lambda theta, batch: flatten(of("support")(theta, batch)) + flatten(of("query")(theta, batch)),
        "It is the gradient of one task only, the first; the answer is the mean over tasks.":
            _altered(joint, batch=_only(0)),
        "It is the gradient of one task only, the last; the answer is the mean over tasks.":
            _altered(joint, batch=_only(-1)),
        TURNED: _turned(joint),
    }, seed)  # fmt: skip


def best_single_function(function: Answer, *, seed: int | None = None) -> None:
    """Check f(x, amplitude, phase) → E[A sin(x + b)] at x [N], for A and b uniform in (low, high) each.

    The one function that has the least mean squared error over all tasks: what joint training tends to.
    """

    def case(i: int, generator: torch.Generator) -> dict:
        low = _number(generator, 0.1, 1)
        start = _number(generator, 0, 1)
        return {"x": _uniform(generator, -5, 5, 6), "amplitude": (low, low + _number(generator, 1, 4)),
                "phase": (start, start + _number(generator, 1, 3))}  # fmt: skip

    def best(x, amplitude, phase):
        return SineTasks(amplitude=amplitude, phase=phase).conditional_mean(x)

    examine("best_single_function", function, case, best, {
        "It is the sinusoid of mean amplitude and mean phase; a mean of sinusoids is flatter.":
            lambda x, amplitude, phase: sum(amplitude) / 2 * torch.sin(x + sum(phase) / 2),
        "The integral over b is not divided by the width of its range.":
            lambda x, amplitude, phase: best(x, amplitude, phase) * (phase[1] - phase[0]),
        "The mean over A is missing: multiply by its mean.": _altered(best, amplitude=lambda A: (1, 1)),
        "It takes the largest amplitude where the mean should be.": _altered(best, amplitude=lambda A: (A[1], A[1])),
        "It has the wrong sign: the integral of sin is -cos.": lambda **case: -best(**case),
        "It is the answer for phases in [0, π], whatever phase says.": _altered(best, phase=lambda b: (0, math.pi)),
        "It is the answer for amplitudes in [0.1, 5], whatever amplitude says.":
            _altered(best, amplitude=lambda A: SineTasks().amplitude),
    }, seed)  # fmt: skip


def paired_interval(function: Answer, *, seed: int | None = None) -> None:
    """Check f(a, b) → (mean of a - b, half the width of its 95 % interval), for paired values a, b [N].

    Source: Student (1908): mean ± t s/√N, with s the standard deviation of the differences.
    """

    def case(i: int, generator: torch.Generator) -> dict:
        common = _uniform(generator, 0, 3, 4 + i)
        return {"a": common + _uniform(generator, 0, 1, 4 + i), "b": common + _uniform(generator, 0, 1, 4 + i)}

    def interval(a, b, wider: Callable[[int], float] = lambda n: 1):
        mean, half = confidence_interval(a - b)
        return mean, half * wider(len(a))

    def unpaired(a, b):
        half = stdtrit(2 * len(a) - 2, 0.975) * math.sqrt((a.var().item() + b.var().item()) / len(a))
        return (a - b).mean(), half

    def t(n: int, probability: float = 0.975) -> float:
        return stdtrit(n - 1, probability)

    examine("paired_interval", function, case, interval, {
        "The interval is that of two independent samples: take the differences of the pairs first.": unpaired,
        "It uses the normal's 1.96; with few values it is Student's t.":
            partial(interval, wider=lambda n: 1.96 / t(n)),
        "The standard deviation divides by N; a sample's divides by N - 1.":
            partial(interval, wider=lambda n: math.sqrt((n - 1) / n)),
        "The division by √N is missing: this is the spread of values, not of their mean.":
            partial(interval, wider=math.sqrt),
        "It is s/√N: Student's factor t is missing.": partial(interval, wider=lambda n: 1 / t(n)),
        "It uses 2 for Student's factor t.": partial(interval, wider=lambda n: 2 / t(n)),
        "Half the width stands before the mean.": lambda a, b: interval(a, b)[::-1],
        "It uses the one-sided quantile t_0.95; two sides need t_0.975.":
            partial(interval, wider=lambda n: t(n, 0.95) / t(n)),
        "It is the whole width of the interval; half of it is asked.": partial(interval, wider=lambda n: 2),
        "It takes Student's t with N degrees of freedom; there are N - 1.":
            partial(interval, wider=lambda n: t(n + 1) / t(n)),
        "These are the two ends of the interval; its mean and half its width are asked.":
            lambda a, b: (interval(a, b)[0] - interval(a, b)[1], interval(a, b)[0] + interval(a, b)[1]),
        "The difference is the wrong way round: a - b is asked.": lambda a, b: interval(b, a),
    }, seed)  # fmt: skip
