import pytest
import torch

import l2l


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


@pytest.fixture
def problem(generator):
    """A small float64 problem: parameters and a batch of 3 tasks."""
    theta = l2l.init_params((1, 6, 5, 1), generator=generator, dtype=torch.float64)
    batch = l2l.SineTasks().sample(3, 5, 4, generator=generator, dtype=torch.float64)
    return theta, batch
