// Methods of chapter 11 in Python, as readers copy them: what ANIL and Meta-SGD have in place of the inner loop.

export const HEAD_LOOP = `
def head_loop(theta, x, y, *, loss, **settings):
    body = {n: p for n, p in theta.items() if n not in ("W3", "b3")}
    head = {n: theta[n] for n in ("W3", "b3")}
    for phi in l2l.inner_loop(head, x, y, loss=lambda head, x, y: loss(body | head, x, y), **settings):
        yield body | phi
`;

export const OWN_RATES = `
def own_rates(theta, x, y, *, alpha, steps, loss):
    phi = {n: p for n, p in theta.items() if not n.startswith("log_rate.")}
    yield phi
    for _ in range(steps):
        slope = torch.func.grad(loss)(phi, x, y)
        phi = {n: p - theta[f"log_rate.{n}"].exp() * slope[n] for n, p in phi.items()}
        yield phi


def with_rates(params, alpha):
    return params | {f"log_rate.{n}": torch.full_like(p, alpha).log() for n, p in params.items()}
`;
