"""numpy: line 10 as the product (I - αH_0)…(I - αH_{K-1}) g. Nothing is imported: the arrays bring all it takes."""


def gradient(p, x, y):
    """The gradient of the mean squared error, by backpropagation."""
    z1 = x @ p["W1"] + p["b1"]
    h1 = z1 * (z1.real > 0)  # ReLU by the real part, for the complex step below
    z2 = h1 @ p["W2"] + p["b2"]
    h2 = z2 * (z2.real > 0)
    d3 = 2 * (h2 @ p["W3"] + p["b3"] - y) / y.size
    d2 = d3 @ p["W3"].T * (z2.real > 0)
    d1 = d2 @ p["W2"].T * (z1.real > 0)
    W, b = (x.T @ d1, h1.T @ d2, h2.T @ d3), (d1.sum(0), d2.sum(0), d3.sum(0))
    return {"W1": W[0], "b1": b[0], "W2": W[1], "b2": b[1], "W3": W[2], "b3": b[2]}


def hessian_times(v, p, x, y, h=1e-20):
    """Hv, the gradient's derivative along v. The complex step subtracts nothing, so h may be tiny: exact to rounding."""
    moved = {name: p[name] + 1j * h * v[name] for name in p}
    return {name: g.imag / h for name, g in gradient(moved, x, y).items()}


def meta_gradient(theta, batch, alpha, steps):
    mean = dict.fromkeys(theta, 0)
    for x_support, y_support, x_query, y_query in zip(*batch[:4], strict=True):
        path = [theta]  # θ^(0), …, θ^(K): every factor needs the point where its step was taken
        for _ in range(steps):
            g = gradient(path[-1], x_support, y_support)
            path.append({name: p - alpha * g[name] for name, p in path[-1].items()})
        v = gradient(path.pop(), x_query, y_query)
        for phi in reversed(path):  # the factor of the last step meets the query gradient first
            Hv = hessian_times(v, phi, x_support, y_support)
            v = {name: v[name] - alpha * Hv[name] for name in v}
        mean = {name: mean[name] + v[name] / len(batch[0]) for name in v}
    return mean
