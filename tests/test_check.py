"""The checks of the exercises accept what is right, however it is written, and name what is wrong with the rest."""

import math
import re

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.func import functional_call, grad, vmap

import l2l
from l2l import check, mse
from l2l.check import Failed
from l2l.check.cases import SIZES
from l2l.net import flatten, mlp, unflatten

MINUTES = 180.0  # to wait for what is bound to come
pytestmark = pytest.mark.filterwarnings("ignore:Using backward\\(\\) with create_graph")


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine may take long for a short answer."""
    monkeypatch.setattr("l2l.check.sandbox.SECONDS", MINUTES)


def tasks_of(batch):
    return list(zip(batch.x_support, batch.y_support, batch.x_query, batch.y_query, strict=True))


# meta_gradient by autograd, with every way to go wrong as a switch.
def by_autograd(
    create_graph=True,
    detach=False,
    swap=False,
    reduce="mean",
    inner_sum=False,
    sign=-1,
    carry=False,
    truncate=False,
    half=False,
    points_sum=False,
):
    def mse(params, x, y):
        return l2l.mse(params, x, y) * (0.5 if half else 1) * (len(x) if points_sum else 1)

    def meta_gradient(theta, batch, alpha, steps):
        total, phi = 0, theta
        for xs, ys, xq, yq in tasks_of(batch):
            if swap:
                xs, ys, xq, yq = xq, yq, xs, ys
            phi = phi if carry else theta
            for step in range(steps):
                if truncate:  # θ's own value where the last step starts, and the derivative of that step alone
                    start = theta if step == 0 else {n: phi[n].detach() + theta[n] - theta[n].detach() for n in phi}
                    phi = start
                loss = mse(phi, xs, ys) * (len(xs) if inner_sum else 1)
                gradients = torch.autograd.grad(loss, list(phi.values()), create_graph=create_graph)
                if detach:
                    gradients = [g.detach() for g in gradients]
                phi = {n: p + sign * alpha * g for (n, p), g in zip(phi.items(), gradients, strict=True)}
            total = total + mse(phi, xq, yq)
        total = total / len(batch.x_support) if reduce == "mean" else total
        return torch.autograd.grad(total, list(theta.values()))

    return meta_gradient


def by_functional_transforms(theta, batch, alpha, steps):
    def loss(theta, xs, ys, xq, yq):
        for _ in range(steps):
            theta = {n: theta[n] - alpha * g for n, g in grad(mse)(theta, xs, ys).items()}
        return mse(theta, xq, yq)

    return grad(lambda t: vmap(loss, (None, 0, 0, 0, 0))(t, *batch[:4]).mean())(theta)


def by_finite_differences(theta, batch, alpha, steps):
    def loss(vector):
        total = 0
        for xs, ys, xq, yq in tasks_of(batch):
            phi = unflatten(vector, SIZES)
            for _ in range(steps):
                phi = {n: phi[n] - alpha * g for n, g in grad(mse)(phi, xs, ys).items()}
            total += mse(phi, xq, yq) / len(batch.x_support)
        return total.item()

    start, small = flatten(theta).detach(), 1e-6
    return np.array(
        [
            (loss(start + small * e) - loss(start - small * e)) / (2 * small)
            for e in torch.eye(len(start), dtype=start.dtype)
        ]
    )


def through_a_module(theta, batch, alpha, steps):  # .backward(), float32 and a torch.nn module
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
    )
    names = [n for n, _ in net.named_parameters()]
    start = [p.detach().float().mT.clone() if p.ndim == 2 else p.detach().float() for p in theta.values()]
    start = [p.requires_grad_() for p in start]
    for xs, ys, xq, yq in tasks_of(batch):
        phi = start
        for _ in range(steps):
            loss = torch.nn.functional.mse_loss(
                functional_call(net, dict(zip(names, phi, strict=True)), (xs.float(),)), ys.float()
            )
            phi = [p - alpha * g for p, g in zip(phi, torch.autograd.grad(loss, phi, create_graph=True), strict=True)]
        out = functional_call(net, dict(zip(names, phi, strict=True)), (xq.float(),))
        (torch.nn.functional.mse_loss(out, yq.float()) / len(batch.x_support)).backward()
    return {n: p.grad.mT if p.ndim == 2 else p.grad for n, p in zip(theta, start, strict=True)}


def chain(order=lambda path: path[::-1]):
    """The product by explicit Hessian matrices."""

    def meta_gradient(theta, batch, alpha, steps):
        total = 0
        for xs, ys, xq, yq in tasks_of(batch):

            def loss(v, x=xs, y=ys):
                return mse(unflatten(v, SIZES), x, y)

            path = [flatten(theta).detach()]
            for _ in range(steps):
                path.append(path[-1] - alpha * grad(loss)(path[-1]))
            v = grad(loss)(path[-1], xq, yq)
            for phi in order(path[:-1]):
                v = v - alpha * torch.func.jacrev(grad(loss))(phi) @ v
            total = total + v / len(batch.x_support)
        return total

    return meta_gradient


def gradient_at_phi(reduce=torch.mean, into="query"):
    def fomaml(theta, batch, alpha, steps):
        found = []
        for xs, ys, xq, yq in tasks_of(batch):
            phi = {n: p.detach().clone() for n, p in theta.items()}
            for _ in range(steps):
                g = grad(mse)(phi, xs, ys)
                for n in phi:
                    phi[n] -= alpha * g[n]
            found.append(flatten(grad(mse)(phi, *((xq, yq) if into == "query" else (xs, ys)))))
        return reduce(torch.stack(found), 0)

    return fomaml


def own_adapt(create_graph=True, data=False, points_sum=False):
    def adapt(theta, x, y, alpha, steps):
        phi = dict(theta)
        for _ in range(steps):
            loss = ((mlp(phi, x) - y) ** 2).sum() if points_sum else ((mlp(phi, x) - y) ** 2).mean()
            gradients = torch.autograd.grad(loss, list(phi.values()), create_graph=create_graph)
            phi = {n: p - alpha * g for (n, p), g in zip(phi.items(), gradients, strict=True)}
            if data:
                phi = {n: p.data.requires_grad_() for n, p in phi.items()}
        return phi

    return adapt


def own_meta_loss(theta, batch, alpha, steps, on="query"):
    losses = []
    for xs, ys, xq, yq in tasks_of(batch):
        phi = own_adapt()(theta, xs, ys, alpha, steps)
        losses.append(mse(phi, xq, yq) if on == "query" else mse(phi, xs, ys))
    return sum(losses) / len(losses)


def own_curve(carry=False):
    def curve(theta, batch, alpha, steps):
        errors, start = np.zeros(steps + 1), theta
        for xs, ys, xq, yq in tasks_of(batch):
            phi = start
            for k in range(steps + 1):
                errors[k] += mse(phi, xq, yq).item() / len(batch.x_support)
                if k < steps:
                    phi = {n: (phi[n] - alpha * g).detach() for n, g in grad(mse)(phi, xs, ys).items()}
            start = phi if carry else theta
        return list(errors)

    return curve


def own_sample(
    per_point=False, anew=False, turn=1.0, low=0.1, high=5, generator_used=True, seeded=False, leak=False, one_x=False,
    tied=False, inf=False,
):  # fmt: skip
    def sample(tasks, shots, query, generator):
        g = (generator.manual_seed(0) if seeded else generator) if generator_used else None

        def u(low, high, *shape):
            return low + (high - low) * torch.rand(*shape, generator=g)

        width = shots if per_point else 1
        A, b = u(low, high, tasks, width, 1), u(0, turn * math.pi, tasks, width, 1)
        b = (A - low) / (high - low) * math.pi if tied else b
        xs, xq = u(-5, 5, tasks, shots, 1), u(-5, 5, tasks, query, 1)
        xs = xq[:, :shots] if leak else xs[:, :1].expand(-1, shots, 1) if one_x else xs
        ys = A * torch.sin(xs + b) * (math.inf if inf else 1)
        A, b = (u(0.1, 5, tasks, 1, 1), b[:, :1]) if anew else (A[:, :1], b[:, :1])
        return xs, ys, xq, A * torch.sin(xq + b)

    return sample


def own_fit(angle=np.arctan2):
    def fit(x, y):
        basis = np.stack([np.sin(x.numpy()), np.cos(x.numpy())], 1)
        p, q = np.linalg.lstsq(basis, y.numpy(), rcond=None)[0]
        return np.hypot(p, q), angle(q, p)

    return fit


def own_hvp(theta, x, y, v):
    g = torch.autograd.grad(mse(theta, x, y), list(theta.values()), create_graph=True)
    return torch.autograd.grad(sum((a * b).sum() for a, b in zip(g, v.values(), strict=True)), list(theta.values()))


def fit_by_qr(x, y):  # the numbers as tensors of one entry
    Q, R = torch.linalg.qr(torch.stack([x.sin(), x.cos()], 1))
    p, q = torch.linalg.solve_triangular(R, Q.mT @ y[:, None], upper=True)
    return torch.hypot(p, q), torch.atan2(q, p)


def hvp_backward(theta, x, y, v):  # what .backward() leaves in .grad, the first gradient and all
    mse(theta, x, y).backward(create_graph=True)
    sum((p.grad * v[n]).sum() for n, p in theta.items()).backward()
    return {n: p.grad for n, p in theta.items()}


def left_in_grad(theta, batch, alpha, steps):
    for xs, ys, xq, yq in tasks_of(batch):
        phi = dict(theta)
        for _ in range(steps):
            loss = mse(phi, xs, ys)
            gradients = torch.autograd.grad(loss, list(phi.values()), create_graph=True)
            loss.backward(inputs=list(theta.values()), retain_graph=True)  # to log it, say
            phi = {n: p - alpha * g for (n, p), g in zip(phi.items(), gradients, strict=True)}
        mse(phi, xq, yq).backward(inputs=list(theta.values()))
    return {n: p.grad / len(batch.x_support) for n, p in theta.items()}


def all_at_theta(theta, batch, alpha, steps):
    losses = []
    for xs, ys, xq, yq in tasks_of(batch):
        phi = theta
        for _ in range(steps):
            gradients = torch.autograd.grad(mse(theta, xs, ys), list(theta.values()), create_graph=True)
            phi = {n: p - alpha * g for (n, p), g in zip(phi.items(), gradients, strict=True)}
        losses.append(mse(phi, xq, yq))
    return torch.autograd.grad(sum(losses) / len(losses), list(theta.values()))


def one_phi(theta, batch, alpha, steps):
    phi = own_adapt()(theta, batch.x_support.reshape(-1, 1), batch.y_support.reshape(-1, 1), alpha, steps)
    loss = mse(phi, batch.x_query.reshape(-1, 1), batch.y_query.reshape(-1, 1))
    return torch.autograd.grad(loss, list(theta.values()))


def w2_turned(answer):
    return lambda *a: {n: g.mT if n == "W2" else g for n, g in dict(zip(a[0], answer(*a), strict=True)).items()}


def scaled(answer, factor):
    return lambda *a: [factor * g for g in answer(*a)]


def hvp_by_differences(theta, x, y, v):
    def at(s):
        return grad(mse)({n: p + s * v[n] for n, p in theta.items()}, x, y)

    return {n: (a - b) / 2e-6 for (n, a), b in zip(at(1e-6).items(), at(-1e-6).values(), strict=True)}


def gauss_newton(theta, x, y, v):
    J = torch.func.jacrev(lambda t: mlp(unflatten(t, SIZES), x)[:, 0])(flatten(theta))
    return 2 / len(x) * J.mT @ (J @ flatten(v))


def own_product(reverse=False):
    def product(hessians, g, alpha):
        M = torch.eye(len(g), dtype=g.dtype)
        for H in hessians.flip(0) if reverse else hessians:
            M = M @ (torch.eye(len(g), dtype=g.dtype) - alpha * H)
        return M @ g

    return product


def own_best_start(power):
    def best(c, h, alpha, steps):
        w = [float(hi) * (1 - alpha * float(hi)) ** (power * steps) for hi in h]
        return sum(wi * float(ci) for wi, ci in zip(w, c, strict=True)) / sum(w)

    return best


def own_reptile(theta, x, y, alpha, steps):
    phi = own_adapt()(theta, x, y, alpha, steps)
    return {n: (theta[n] - phi[n]) / alpha for n in theta}


def own_pretrain(theta, batch):
    x, y = (
        torch.cat([batch.x_support, batch.x_query], 1).reshape(-1, 1),
        torch.cat([batch.y_support, batch.y_query], 1).reshape(-1, 1),
    )
    mse(theta, x, y).backward()
    return {n: p.grad for n, p in theta.items()}


def two_means(theta, batch):
    loss = sum(mse(theta, xs, ys) + mse(theta, xq, yq) for xs, ys, xq, yq in tasks_of(batch)) / 2 / len(batch.x_support)
    return torch.autograd.grad(loss, list(theta.values()))


def by_quadrature(x, amplitude, phase):
    b = np.linspace(*phase, 20_001)
    mean = scipy.integrate.trapezoid(np.sin(x.numpy()[:, None] + b), b) / (phase[1] - phase[0])
    return list(sum(amplitude) / 2 * mean)


def by_scipy(a, b):
    found = scipy.stats.ttest_rel(a.numpy(), b.numpy()).confidence_interval()
    return (found.low + found.high) / 2, (found.high - found.low) / 2


def normal(a, b):
    return (a - b).mean(), scipy.stats.norm.ppf(0.975) * (a - b).std() / math.sqrt(len(a))


def unpaired(a, b):
    found = scipy.stats.ttest_ind(a.numpy(), b.numpy()).confidence_interval()
    return (found.low + found.high) / 2, (found.high - found.low) / 2


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
]

WRONG = [
    (check.sample_tasks, own_sample(per_point=True), "each point"),
    (check.sample_tasks, own_sample(anew=True), "anew for the query"),
    (check.sample_tasks, own_sample(turn=2), "b is not uniform"),
    (check.sample_tasks, own_sample(low=0), "A is not uniform"),
    (check.sample_tasks, own_sample(high=4.9), "A is not uniform"),
    (check.sample_tasks, own_sample(turn=0.97), "b is not uniform"),
    (check.sample_tasks, own_sample(generator_used=False), "generator"),
    (check.sample_tasks, own_sample(seeded=True), "seeded anew"),
    (check.sample_tasks, own_sample(leak=True), "one x stands twice in 100 %"),
    (check.sample_tasks, own_sample(one_x=True), "one x stands twice in 100 %"),
    (check.sample_tasks, own_sample(tied=True), "depend on each other"),
    (check.sample_tasks, own_sample(inf=True), "infinite"),
    (check.sample_tasks, lambda tasks, shots, query, generator: None, "NoneType"),
    (check.fit_sinusoid, own_fit(lambda q, p: np.arctan2(p, q)), "swapped"),
    (check.fit_sinusoid, own_fit(lambda q, p: np.arctan(q / p)), "atan(q/p)"),
    (check.fit_sinusoid, own_fit(lambda q, p: np.arcsin(q / np.hypot(p, q))), "asin(q/A)"),
    (check.fit_sinusoid, lambda x, y: own_fit()(x, y)[::-1], "b stands before A"),
    (check.adapt, own_adapt(create_graph=False), "create_graph"),
    (check.adapt, lambda *a: own_adapt()(*a[:-1], 1), "one step, whatever steps says"),
    (check.adapt, lambda *a: {n: p.detach().numpy() for n, p in own_adapt()(*a).items()}, "detached inner step"),
    (check.adapt, own_adapt(data=True), "detached inner step"),
    (check.adapt, lambda *a: flatten(own_adapt(data=True)(*a)).detach().numpy(), "detached inner step"),
    (check.adapt, own_adapt(points_sum=True), "sum over the points"),
    (check.meta_loss, lambda *a: own_meta_loss(*a, on="support"), "support stands where query should"),
    (check.meta_loss, lambda *a: 3 * own_meta_loss(*a), "sum stands where the mean"),
    (check.best_start, own_best_start(1), "first-order"),
    (check.best_start, own_best_start(0), "joint training"),
    (check.best_start, lambda c, h, alpha, steps: own_best_start(2)(c, h, alpha, steps + 1), "one step too many"),
    (check.hessian_vector_product, gauss_newton, "Gauss-Newton"),
    (check.hessian_vector_product, hvp_backward, "left in .grad"),
    (check.unrolled_product, own_product(reverse=True), "reversed product"),
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
    (check.meta_gradient, lambda theta, batch, alpha, steps: by_autograd()(theta, batch, 1.0, steps), "is it missing"),
    (check.meta_gradient, gradient_at_phi(), "at φ instead of through it"),
    (check.meta_gradient, gradient_at_phi(reduce=torch.sum), "And all of it times 3, the number of tasks"),
    (check.meta_gradient, chain(lambda path: path), "reversed product"),
    (check.meta_gradient, chain(lambda path: path[:1] * len(path)), "Hessians at θ"),
    (check.meta_gradient, chain(lambda path: path[:1]), "Only the first inner step"),
    (check.meta_gradient, chain(lambda path: path[:0:-1]), "I - αH_0 is missing"),
    (check.meta_gradient, left_in_grad, "inner gradients left in .grad"),
    (check.meta_gradient, all_at_theta, "gradient looks taken at θ"),
    (check.meta_gradient, one_phi, "One φ seems to serve"),
    (check.meta_gradient, w2_turned(by_autograd()), "W2 looks transposed"),
    (check.meta_gradient, scaled(by_autograd(), 3 / 6), "len(batch)"),
    (check.meta_gradient, scaled(by_autograd(), 1 / 3), "once too often"),
    (check.meta_gradient, scaled(by_autograd(swap=True), -1), "changed places. And all of it with the wrong sign"),
    (check.meta_gradient, scaled(by_autograd(), 0), "zero in every case"),
    (check.meta_gradient, scaled(by_autograd(), 1.001), "It is close"),
    (check.unrolled_product, lambda *a: 3 * own_product()(*a), "times 3, in every case"),
    (check.adaptation_curve, own_curve(carry=True), "where the last one ended"),
    (check.fomaml_gradient, by_autograd(), "full gradient"),
    (check.fomaml_gradient, by_autograd(detach=True, sign=1), "climb"),
    (check.fomaml_gradient, by_autograd(detach=True, carry=True), "where the last one ended"),
    (check.fomaml_gradient, gradient_at_phi(into="support"), "support stands where query should"),
    (check.reptile_direction, lambda *a: {n: -g for n, g in own_reptile(*a).items()}, "wrong sign"),
    (check.reptile_direction, lambda *a: {n: a[3] * g for n, g in own_reptile(*a).items()}, "division by α"),
    (check.pretrain_gradient, two_means, "two means"),
    (check.pretrain_gradient, lambda *a: {n: 12 * g for n, g in own_pretrain(*a).items()}, "points of a task"),
    (check.best_single_function, lambda x, A, b: sum(A) / 2 * torch.sin(x + sum(b) / 2), "flatter"),
    (check.adapt, lambda *a: {n: p.bfloat16() for n, p in own_adapt()(*a).items()}, "It is in bfloat16"),
    (check.meta_gradient, lambda *a: [g.bfloat16() for g in by_autograd()(*a)], "Compute in float32"),
    (check.meta_loss, lambda *a: (1.002 * own_meta_loss(*a)).half(), "float16, which keeps 3 to 4 digits"),
    (check.meta_gradient, scaled(lambda *a: [g.bfloat16() for g in by_autograd()(*a)], 0), "zero in every case"),
    (check.paired_interval, unpaired, "independent samples"),
    (check.paired_interval, normal, "the normal's 1.96"),
    (check.paired_interval, lambda a, b: scipy.stats.ttest_rel(a, b).confidence_interval(), "two ends"),
]


def identified(value):
    return value.name if isinstance(value, check.Exercise) else getattr(value, "__name__", None)


@pytest.mark.parametrize(("checked", "function"), RIGHT, ids=identified)
def test_accepts_what_is_right(checked, function, capsys):
    checked(function)
    assert "right" in capsys.readouterr().out


@pytest.mark.parametrize(("checked", "function", "words"), WRONG, ids=identified)
def test_names_what_is_wrong(checked, function, words):
    with pytest.raises(Failed) as failure:
        checked(function)
    assert words in str(failure.value)


@pytest.mark.parametrize("seed", range(4))
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
