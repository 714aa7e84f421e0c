"""numpy: (I - αH_0)…(I - αH_{K-1}) g, written out. Arrays need no import."""


def gradient(p, x, y):
    """The gradient of the mean squared error, by backpropagation."""
    z1 = x @ p["W1"] + p["b1"]
    h1 = z1 * (z1.real > 0)  # ReLU by the real part, for the complex step below
    z2 = h1 @ p["W2"] + p["b2"]
    h2 = z2 * (z2.real > 0)
    d3 = 2 * (h2 @ p["W3"] + p["b3"] - y) / y.size
    d2 = d3 @ p["W3"].T * (z2.real > 0)
    d1 = d2 @ p["W2"].T * (z1.real > 0)
    W = {"W1": x.T @ d1, "W2": h1.T @ d2, "W3": h2.T @ d3}
    return W | {"b1": d1.sum(0), "b2": d2.sum(0), "b3": d3.sum(0)}


def hessian_times(v, p, x, y, eps=1e-20):
    """Hv, by a complex step: nothing is subtracted, so eps may be tiny."""
    moved = {name: p[name] + 1j * eps * v[name] for name in p}
    return {name: g.imag / eps for name, g in gradient(moved, x, y).items()}


def meta_gradient(theta, batch, alpha, steps):
    mean = dict.fromkeys(theta, 0)
    for xs, ys, xq, yq in zip(*batch[:4], strict=True):
        path = [theta]  # every factor needs the point where its step was taken
        for _ in range(steps):
            g = gradient(path[-1], xs, ys)
            path.append({name: path[-1][name] - alpha * g[name] for name in g})
        v = gradient(path.pop(), xq, yq)
        for phi in reversed(path):  # the last step's factor comes first
            Hv = hessian_times(v, phi, xs, ys)
            v = {name: v[name] - alpha * Hv[name] for name in v}
        mean = {name: mean[name] + v[name] / len(batch[0]) for name in theta}
    return mean
