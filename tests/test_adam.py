import torch

from l2l.adam import adam, adam_init


def test_equals_torch(generator):
    theta = torch.randn(12, generator=generator, dtype=torch.float64)
    leaf = theta.clone().requires_grad_()
    optimiser, state = torch.optim.Adam([leaf], lr=0.03), adam_init(theta)
    for _ in range(20):
        leaf.grad = torch.randn(12, generator=generator, dtype=torch.float64)
        optimiser.step()
        before = theta.clone()
        updated, state = adam(theta, leaf.grad, state, 0.03)
        assert torch.equal(before, theta)
        theta = updated
    torch.testing.assert_close(theta, leaf.detach(), rtol=1e-12, atol=1e-12)
