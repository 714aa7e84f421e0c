"""Answers to the exercises as learners may write them, right and wrong; nothing here calls what it checks."""

import math

import numpy as np
import scipy.integrate
import scipy.stats
import torch
from torch.func import functional_call, grad, vmap

import l2l
from l2l import mse
from l2l.net import flatten, mlp, unflatten


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
    moving=None,
    trained=None,
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
                pairs = zip(phi.items(), gradients, strict=True)
                phi = {n: p if moving and n not in moving else p + sign * alpha * g for (n, p), g in pairs}
            total = total + mse(phi, xq, yq)
        total = total / len(batch.x_support) if reduce == "mean" else total
        gradients = torch.autograd.grad(total, list(theta.values()))
        return [0 * g if trained and n not in trained else g for n, g in zip(theta, gradients, strict=True)]

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
            phi = unflatten(vector, theta)
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


def chain(order=lambda path: path[::-1], sign=-1):
    """The product by explicit Hessian matrices."""

    def meta_gradient(theta, batch, alpha, steps):
        total = 0
        for xs, ys, xq, yq in tasks_of(batch):

            def loss(v, x=xs, y=ys):
                return mse(unflatten(v, theta), x, y)

            path = [flatten(theta).detach()]
            for _ in range(steps):
                path.append(path[-1] - alpha * grad(loss)(path[-1]))
            v = grad(loss)(path[-1], xq, yq)
            for phi in order(path[:-1]):
                v = v + sign * alpha * torch.func.jacrev(grad(loss))(phi) @ v
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


def own_adapt(create_graph=True, data=False, points_sum=False, sign=-1, at_theta=False):
    def adapt(theta, x, y, alpha, steps):
        phi = dict(theta)
        for _ in range(steps):
            loss = ((mlp(phi, x) - y) ** 2).sum() if points_sum else ((mlp(phi, x) - y) ** 2).mean()
            if at_theta:
                loss = mse(theta, x, y)
            at = theta if at_theta else phi
            gradients = torch.autograd.grad(loss, list(at.values()), create_graph=create_graph)
            phi = {n: p + sign * alpha * g for (n, p), g in zip(phi.items(), gradients, strict=True)}
            if data:
                phi = {n: p.data.requires_grad_() for n, p in phi.items()}
        return phi

    return adapt


def own_meta_loss(theta, batch, alpha, steps, on="query", sign=-1, carry=False):
    losses, phi = [], theta
    for xs, ys, xq, yq in tasks_of(batch):
        phi = own_adapt(sign=sign)(phi if carry else theta, xs, ys, alpha, steps)
        losses.append(mse(phi, xq, yq) if on == "query" else mse(phi, xs, ys))
    return sum(losses) / len(losses)


def own_curve(carry=False, sign=-1, at_theta=False):
    def curve(theta, batch, alpha, steps):
        errors, start = np.zeros(steps + 1), theta
        for xs, ys, xq, yq in tasks_of(batch):
            phi = start
            for k in range(steps + 1):
                errors[k] += mse(phi, xq, yq).item() / len(batch.x_support)
                if k < steps:
                    at = theta if at_theta else phi
                    phi = {n: (phi[n] + sign * alpha * g).detach() for n, g in grad(mse)(at, xs, ys).items()}
            start = phi if carry else theta
        return list(errors)

    return curve


def own_sample(
    per_point=False,
    anew=False,
    turn=1.0,
    low=0.1,
    high=5,
    support_from=-5,
    query_to=5,
    generator_used=True,
    seeded=False,
    leak=False,
    one_x=False,
    tied=False,
    inf=False,
):
    def sample(tasks, shots, query, generator):
        g = (generator.manual_seed(0) if seeded else generator) if generator_used else None

        def u(low, high, *shape):
            return low + (high - low) * torch.rand(*shape, generator=g)

        width = shots if per_point else 1
        A, b = u(low, high, tasks, width, 1), u(0, turn * math.pi, tasks, width, 1)
        b = (A - low) / (high - low) * math.pi if tied else b
        xs, xq = u(support_from, 5, tasks, shots, 1), u(-5, query_to, tasks, query, 1)
        xs = xq[:, :shots] if leak else xs[:, :1].expand(-1, shots, 1) if one_x else xs
        ys = A * torch.sin(xs + b) * (math.inf if inf else 1)
        A, b = (u(0.1, 5, tasks, 1, 1), b[:, :1]) if anew else (A[:, :1], b[:, :1])
        return xs, ys, xq, A * torch.sin(xq + b)

    return sample


def own_fit(angle=np.arctan2, length=np.hypot):
    def fit(x, y):
        basis = np.stack([np.sin(x.numpy()), np.cos(x.numpy())], 1)
        p, q = np.linalg.lstsq(basis, y.numpy(), rcond=None)[0]
        return length(p, q), angle(q, p)

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


def first_left_in_grad(theta, batch, alpha, steps):
    """The loss before adaptation was logged, with .backward(), where the gradient is to be."""
    for xs, ys, *_ in tasks_of(batch):
        mse(theta, xs, ys).backward()
    for (name, p), g in zip(theta.items(), by_autograd()(theta, batch, alpha, steps), strict=True):
        theta[name].grad = p.grad / len(batch.x_support) + g
    return {n: p.grad for n, p in theta.items()}


def last_left_in_grad(theta, batch, alpha, steps):
    """First-order MAML by .backward() at φ, after an inner step that left its gradient there."""
    total = 0
    for xs, ys, xq, yq in tasks_of(batch):
        phi = {n: p.detach().clone().requires_grad_() for n, p in theta.items()}
        for _ in range(steps):
            for p in phi.values():
                p.grad = None
            mse(phi, xs, ys).backward()
            for p in phi.values():
                p.data -= alpha * p.grad
        mse(phi, xq, yq).backward()
        total = total + torch.cat([p.grad.flatten() for p in phi.values()]) / len(batch.x_support)
    return total


def first_powers(theta, batch, alpha, steps):
    """g - α ΣH g by Hessian matrices."""
    total = 0
    for xs, ys, xq, yq in tasks_of(batch):

        def loss(v, x=xs, y=ys):
            return mse(unflatten(v, theta), x, y)

        phi, H = flatten(theta).detach(), 0
        for _ in range(steps):
            H, phi = H + torch.func.jacrev(grad(loss))(phi), phi - alpha * grad(loss)(phi)
        g = grad(loss)(phi, xq, yq)
        total = total + (g - alpha * H @ g) / len(batch.x_support)
    return total


def on(function, support, query):
    """The function, of a batch whose points have other roles."""

    def confused(theta, batch, *rest):
        xs, ys = (getattr(batch, f"{axis}_{support}") for axis in "xy")
        xq, yq = (getattr(batch, f"{axis}_{query}") for axis in "xy")
        return function(theta, batch._replace(x_support=xs, y_support=ys, x_query=xq, y_query=yq), *rest)

    return confused


def of_task(function, i):
    return lambda theta, batch, *rest: function(theta, type(batch)(*(v[i : i + 1] for v in batch)), *rest)


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
    def turned(*a):
        found = answer(*a)
        named = found if isinstance(found, dict) else dict(zip(a[0], found, strict=True))
        return {n: g.mT if n == "W2" else g for n, g in named.items()}

    return turned


def scaled(answer, factor):
    return lambda *a: [factor * g for g in answer(*a)]


def hvp_by_differences(theta, x, y, v):
    def at(s):
        return grad(mse)({n: p + s * v[n] for n, p in theta.items()}, x, y)

    return {n: (a - b) / 2e-6 for (n, a), b in zip(at(1e-6).items(), at(-1e-6).values(), strict=True)}


def gradient(theta, x, y):
    return dict(zip(theta, torch.autograd.grad(mse(theta, x, y), list(theta.values())), strict=True))


def outer_product(theta, x, y, v):
    g = flatten(gradient(theta, x, y))
    return torch.outer(g, g) @ flatten(v)


def hvp_twice(theta, x, y, v):
    return own_hvp(theta, x, y, dict(zip(theta, own_hvp(theta, x, y, v), strict=True)))


def gauss_newton(theta, x, y, v):
    J = torch.func.jacrev(lambda t: mlp(unflatten(t, theta), x)[:, 0])(flatten(theta))
    return 2 / len(x) * J.mT @ (J @ flatten(v))


def own_product(pick=lambda hessians: hessians):
    def product(hessians, g, alpha):
        M = torch.eye(len(g), dtype=g.dtype)
        for H in pick(hessians):
            M = M @ (torch.eye(len(g), dtype=g.dtype) - alpha * H)
        return M @ g

    return product


def own_best_start(power, h_power=1, sign=-1):
    def best(c, h, alpha, steps):
        w = [float(hi) ** h_power * (1 + sign * alpha * float(hi)) ** (power * steps) for hi in h]
        return sum(wi * float(ci) for wi, ci in zip(w, c, strict=True)) / sum(w)

    return best


def own_reptile(theta, x, y, alpha, steps, **slip):
    phi = own_adapt(**slip)(theta, x, y, alpha, steps)
    return {n: (theta[n] - phi[n]) / alpha for n in theta}


def own_pretrain(theta, batch, on=("support", "query")):
    x, y = (torch.cat([getattr(batch, f"{axis}_{part}") for part in on], 1).reshape(-1, 1) for axis in "xy")
    mse(theta, x, y).backward()
    return {n: p.grad for n, p in theta.items()}


def two_means(divided_by=2):
    def pretrain(theta, batch):
        losses = [mse(theta, xs, ys) + mse(theta, xq, yq) for xs, ys, xq, yq in tasks_of(batch)]
        return torch.autograd.grad(sum(losses) / len(losses) / divided_by, list(theta.values()))

    return pretrain


def by_quadrature(x, amplitude, phase):
    b = np.linspace(*phase, 20_001)
    mean = scipy.integrate.trapezoid(np.sin(x.numpy()[:, None] + b), b) / (phase[1] - phase[0])
    return list(sum(amplitude) / 2 * mean)


def by_scipy(a, b):
    found = scipy.stats.ttest_rel(a.numpy(), b.numpy()).confidence_interval()
    return (found.low + found.high) / 2, (found.high - found.low) / 2


def own_interval(quantile, ddof=1, of=len):
    """`quantile(N)` standard errors."""

    def interval(a, b):
        d = (a - b).numpy()
        return d.mean(), quantile(len(d)) * np.std(d, ddof=ddof) / math.sqrt(of(d))

    return interval


def student(n, probability=0.975):
    return scipy.stats.t.ppf(probability, n - 1)


def unpaired(a, b):
    found = scipy.stats.ttest_ind(a.numpy(), b.numpy()).confidence_interval()
    return (found.low + found.high) / 2, (found.high - found.low) / 2


# cka by the kernels of the inputs, with every way to go wrong as a switch.
def own_cka(rows=False, centre=True, whole=False, root=False, order="fro"):
    def answer(X, Y):
        X, Y = (Z.numpy() for Z in (X, Y))
        if centre:
            X, Y = (Z - (Z.mean() if whole else Z.mean(axis=1 if rows else 0, keepdims=True)) for Z in (X, Y))
        if order == "fro":  # ‖XᵀY‖² = tr(XXᵀ YYᵀ)
            K, L = X @ X.T, Y @ Y.T
            value = np.sum(K * L) / np.sqrt(np.sum(K * K) * np.sum(L * L))
        else:
            value = np.linalg.norm(X.T @ Y, order) ** 2 / np.prod([np.linalg.norm(Z.T @ Z, order) for Z in (X, Y)])
        return np.sqrt(value) if root else value

    return answer


def centred_product(X, Y):
    X, Y = (Z.numpy() - Z.numpy().mean(0) for Z in (X, Y))
    return X, Y, np.linalg.norm(X.T @ Y)


# posterior_mean by a sum over a grid, with every way to go wrong as a switch.
def own_posterior(exponent=2, halved=True, averaged=False, turn=np.pi, weight=0, what="pq", mode=False, points=700):
    def answer(x, y, noise):
        A = 0.1 + 4.9 * (np.arange(points)[:, None] + 0.5) / points
        b = turn * (np.arange(points) + 0.5) / points
        residuals = [(float(v) - A * np.sin(float(u) + b)) ** 2 for u, v in zip(x, y, strict=True)]
        total = sum(residuals) / (len(residuals) if averaged else 1)
        density = np.exp(-total / ((2 if halved else 1) * noise**exponent)) * A**weight
        if mode:
            i, j = np.unravel_index(density.argmax(), density.shape)
            return A[i, 0] * np.cos(b[j]), A[i, 0] * np.sin(b[j])
        mean = lambda value: (density * value).sum() / density.sum()  # noqa: E731
        if what == "pq":
            return mean(A * np.cos(b)), mean(A * np.sin(b))
        A, b = mean(A), mean(b)
        return (A, b) if what == "Ab" else (A * np.cos(b), A * np.sin(b))

    return answer


# linear_estimate in the form of Bayesian linear regression.
def own_linear(mean=(0, 5.1 / np.pi), second=25.51 / 6, centred=True, exponent=2, added=True):
    def answer(x, y, noise):
        x, y, mean_, sigma2 = x.numpy(), y.numpy(), np.array(mean), noise**exponent
        variance = np.array([second, second - (5.1 / np.pi) ** 2 * centred])
        X = np.stack([np.sin(x), np.cos(x)], 1)
        precision = X.T @ X / sigma2 + np.diag(1 / variance)
        found = np.linalg.solve(precision, X.T @ y / sigma2 + mean_ / variance)
        return found - (0 if added else mean_)

    return answer


def own_least_squares(x, y, noise):
    x = x.numpy()
    return np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], 1), y.numpy(), rcond=None)[0]


# implicit_gradient by conjugate gradients and products Hv, with every way to go wrong as a switch.
def own_implicit(by="rho", sign=1, solve=True, hessian="support", gradient="query", multiply=False):
    def answer(phi, x_support, y_support, x_query, y_query, rho):
        points = {"support": (x_support, y_support), "query": (x_query, y_query)}
        params = list(phi.values())
        slope = torch.autograd.grad(mse(phi, *points[hessian]), params, create_graph=True)
        g = torch.autograd.grad(mse(phi, *points[gradient]), params)

        def product(vector):
            turned = torch.autograd.grad(slope, params, vector, retain_graph=True)
            return [v + sign * h * (rho if by == "1/rho" else 1 / rho) for v, h in zip(vector, turned, strict=True)]

        def dot(a, b):
            return sum((u * v).sum() for u, v in zip(a, b, strict=True))

        if multiply or not solve:
            return product(g) if multiply else g
        found, left, way = [0 * v for v in g], g, g
        for _ in range(300):
            turned = product(way)
            size = dot(left, left) / dot(way, turned)
            found = [f + size * w for f, w in zip(found, way, strict=True)]
            after = [r - size * t for r, t in zip(left, turned, strict=True)]
            if dot(after, after) < 1e-20:
                break
            way = [a + dot(after, after) / dot(left, left) * w for a, w in zip(after, way, strict=True)]
            left = after
        return found

    return answer


# rate_gradient by the products of Jacobians, one step after another, with whole Hessians.
def own_rates_gradient(first_order=False, last=False, log=False, support=False, swap=False, more=0):
    def answer(theta, rates, batch, steps):
        a, total = flatten(rates).detach(), 0
        for xs, ys, xq, yq in tasks_of(batch):
            if swap:
                xs, ys, xq, yq = xq, yq, xs, ys

            def loss(v, x, y):
                return mse(unflatten(v, theta), x, y)

            path = [flatten(theta).detach()]
            for _ in range(steps + more):
                path.append(path[-1] - a * grad(loss)(path[-1], xs, ys))
            back = grad(loss)(path[-1], *((xs, ys) if support else (xq, yq)))
            for k in reversed(range(steps + more)):
                if not last or k == steps - 1:
                    total = total - back * grad(loss)(path[k], xs, ys) / len(batch.x_support)
                if not first_order:
                    back = back - torch.func.jacrev(grad(loss))(path[k], xs, ys) @ (a * back)
        return total * (a if log else 1)

    return answer


def first_task_rates(theta, rates, batch, steps):
    return own_rates_gradient()(theta, rates, type(batch)(*(part[:1] for part in batch)), steps)


def rates_by_autograd(of="rates", carry=False):
    def answer(theta, rates, batch, steps):
        total, phi = 0, theta
        for xs, ys, xq, yq in tasks_of(batch):
            phi = phi if carry else theta
            for _ in range(steps):
                slope = torch.autograd.grad(mse(phi, xs, ys), list(phi.values()), create_graph=True)
                phi = {n: p - rates[n] * g for (n, p), g in zip(phi.items(), slope, strict=True)}
            total = total + mse(phi, xq, yq) / len(batch.x_support)
        return torch.autograd.grad(total, list((rates if of == "rates" else theta).values()))

    return answer


# nearest_centroid by numpy, with every way to go wrong as a switch.
def own_centroid(kind="mean", score="distance"):
    def answer(z_support, y_support, z_query):
        zs, ys, zq = (z.numpy() for z in (z_support, y_support, z_query))
        centre = {"mean": lambda z: z.mean(0), "sum": lambda z: z.sum(0), "first": lambda z: z[0]}[kind]
        centres = np.array([centre(zs[ys == c]) for c in (0, 1, 2)])
        if score == "cosine":
            zq, centres = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (zq, centres))
        if score in ("inner", "cosine"):
            return np.argmax(zq @ centres.T, axis=1).astype(float)
        far = ((zq[:, None] - centres) ** 2).sum(-1)
        return (far.argmax(1) if score == "farthest" else far.argmin(1)).astype(float)

    return answer


def own_neighbour(z_support, y_support, z_query):
    far = ((z_query[:, None] - z_support) ** 2).sum(-1)
    return y_support[far.argmin(1)].double()


# normalise_by_support by torch's own batch normalisation.
def own_normalised(by="support", unbiased=False, whole=False):
    def answer(z_support, z_query):
        z = {"support": z_support, "query": z_query, "both": torch.cat([z_support, z_query])}[by]
        mean, var = z.mean(0), z.var(0, unbiased=unbiased)
        if whole:
            mean, var = z.mean().expand(3), z.var(unbiased=False).expand(3)
        return torch.nn.functional.batch_norm(z_query, mean, var, eps=1e-5)

    return answer


# checkpointed_gradient segment by segment with autograd, with every way to go wrong as a switch.
def own_checkpointed(
    order="right",
    kept="iterates",
    frozen=False,
    full=False,
    alone=False,
    sparse=False,
    swap=False,
    adapt="support",
    measure="query",
    more=0,
    only_first=False,
    carry=False,
    factors=True,
    turn=False,
):
    def step(phi, x, y, alpha, graph):
        phi = {n: p.detach().requires_grad_() for n, p in phi.items()}
        grads = torch.autograd.grad(mse(phi, x, y), list(phi.values()), create_graph=graph)
        return phi, {n: p - alpha * g for (n, p), g in zip(phi.items(), grads, strict=True)}

    def answer(theta, batch, alpha, steps, every):
        total, phi, steps = 0, theta, steps + more
        tasks = tasks_of(batch)[: 1 if only_first else None]
        for xs, ys, xq, yq in tasks:
            of = {"support": (xs, ys), "query": (xq, yq)}
            inner = of[adapt]
            phi, stored = (phi if carry else theta), []
            for k in range(steps):
                if k % every == 0:
                    stored.append((phi, min(every, steps - k)))
                phi = step(phi, *inner, alpha, False)[1]
            end = {n: p.detach().requires_grad_() for n, p in phi.items()}
            v = torch.autograd.grad(mse(end, *of[measure]), list(end.values()))
            if full:
                stored = [s for s in stored if s[1] == every]
            if alone:
                stored = stored[-1:]
            segments = []
            for start, count in stored if factors else []:
                point, points = (theta if kept == "theta" else start), []
                for _ in range(1 if sparse else count):
                    points.append(point)
                    point = point if frozen else step(point, *inner, alpha, False)[1]
                segments.append(points)
            if order in ("right", "forwards within"):
                segments.reverse()
            if order in ("right", "segments forwards"):
                segments = [points[::-1] for points in segments]
            for point in (p for points in segments for p in points):
                start, after = step(point, *inner, alpha, True)
                v = torch.autograd.grad(list(after.values()), list(start.values()), v)
            total = (
                [g / len(tasks) for g in v]
                if isinstance(total, int)
                else [t + g / len(tasks) for t, g in zip(total, v, strict=True)]
            )
        return [g.mT if turn and n == "W2" else g for n, g in zip(theta, total, strict=True)]

    return answer


# per_task_gradients task by task with autograd, with every way to go wrong as a switch.
def own_rows(
    create_graph=True,
    adapt="support",
    measure="query",
    more=0,
    moves=True,
    carry=False,
    points_sum=False,
    of=lambda g: g,
):
    def answer(theta, batch, alpha, steps):
        rows, phi = [], theta
        for xs, ys, xq, yq in tasks_of(batch):
            data = {"support": (xs, ys), "query": (xq, yq)}
            phi = phi if carry else theta
            for _ in range(steps + more if moves else 0):
                grads = torch.autograd.grad(mse(phi, *data[adapt]), list(phi.values()), create_graph=create_graph)
                phi = {n: p - alpha * g for (n, p), g in zip(phi.items(), grads, strict=True)}
            loss = mse(phi, *data[measure]) * (len(xq) if points_sum else 1)
            rows.append(torch.autograd.grad(loss, list(theta.values()), retain_graph=True))
        return {n: of(torch.stack(g)) for n, g in zip(theta, zip(*rows, strict=True), strict=True)}

    return answer
