import torch

from l2l.adam import adam, adam_init


def test_equals_torch(generator):
    theta = {
        "W1": torch.randn(3, 4, generator=generator, dtype=torch.float64),
        "b1": torch.zeros(4, dtype=torch.float64),
    }
    leaves = [p.clone().requires_grad_() for p in theta.values()]
    optimiser, state = torch.optim.Adam(leaves, lr=0.03), adam_init(theta)
    for _ in range(20):
        grads = {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) for k, p in theta.items()}
        for leaf, g in zip(leaves, grads.values(), strict=True):
            leaf.grad = g
        optimiser.step()
        before = {k: p.clone() for k, p in theta.items()}
        updated, state = adam(theta, grads, state, 0.03)
        assert all(torch.equal(before[k], theta[k]) for k in theta)
        theta = updated
    for ours, theirs in zip(theta.values(), leaves, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)
