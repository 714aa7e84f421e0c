"""Parts of the stored runs that the chapters define: what is held out, what is drawn, and the solver."""

import numpy as np
import pytest
import relatives
import torch
from relatives import Glyphs, Letters, Profiles


def draw(family, seed=0, **sizes):
    sizes = {"tasks": 6, "shots": 10, "query": 15} | sizes
    return family.sample(**sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def test_no_letter_of_the_test_looks_like_one_of_training_or_validation():
    parts = {part: images.double().numpy() for part, images in relatives.classes().items()}
    for held_out, others in (("test", ("train", "validation")), ("validation", ("train",))):
        for new in parts[held_out]:
            for seen in (image for part in others for image in parts[part]):
                for a, b in zip(new, seen, strict=True):  # font by font
                    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.9


def test_letters_that_look_alike_would_have_leaked():
    images = {letter: relatives.draw(letter, "DejaVuSans") for letter in ("O", "Օ", "A")}
    assert torch.equal(images["O"], images["Օ"])  # Latin and Armenian
    assert not torch.equal(images["O"], images["A"])
    armenian = len(relatives.ALPHABETS["Armenian"])
    assert len(relatives.classes()["test"]) < armenian


@pytest.mark.parametrize("part", relatives.PARTS)
def test_a_task_draws_letters_of_its_part_and_names_them_alike_in_both_sets(part, monkeypatch):
    monkeypatch.setattr(relatives, "distorted", lambda images, generator: images[..., None, :, :])
    batch, known = draw(Glyphs(part)), relatives.classes()[part]
    for task in range(6):
        named = {}
        for x, y in zip(
            torch.cat([batch[0], batch[2]], 1)[task], torch.cat([batch[1], batch[3]], 1)[task], strict=True
        ):
            found = (known == x[0]).all(-1).all(-1).any(-1).nonzero()
            named.setdefault(y.item(), set()).update(found.flatten().tolist())
        assert sorted(named) == [0, 1, 2, 3, 4]
        assert all(len(letters) == 1 for letters in named.values())
        assert len(set().union(*named.values())) == 5
    assert torch.bincount(batch.y_support.flatten()).tolist() == [12] * 5


def test_the_classifier_sees_training_letters_alone_under_their_numbers(monkeypatch):
    monkeypatch.setattr(relatives, "distorted", lambda images, generator: images[..., None, :, :])
    batch, known = draw(Letters()), relatives.classes()["train"]
    for x, y in zip(batch.x_support.flatten(0, 1), batch.y_support.flatten(), strict=True):
        assert (known[y] == x[0]).all(-1).all(-1).any()


def test_distortions_are_drawn_anew_and_keep_the_ink():
    plain = relatives.classes()["train"][:20, 0]
    first, second = (relatives.distorted(plain, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not torch.equal(first, second)
    share = first.mean((1, 2, 3)) / plain.mean((1, 2))  # sizes vary by 0.8 to 1.2
    assert ((share > 0.4) & (share < 1.8)).all()


@pytest.mark.parametrize("half", ["west", "east"])
def test_profiles_stay_in_their_half(half, monkeypatch):
    columns = torch.arange(403, dtype=torch.float64).expand(344, -1)
    monkeypatch.setattr(relatives, "elevation", lambda: columns / 100)
    batch = draw(Profiles(half), tasks=2_000)
    found = 100 * torch.cat([batch.y_support, batch.y_query], 1).double()
    low, high = (0, 200) if half == "west" else (201, 402)
    assert low - 1e-2 <= found.min() < low + 2
    assert high - 2 < found.max() <= high + 1e-2
    x = torch.cat([batch.x_support, batch.x_query], 1).double()
    torch.testing.assert_close((found - found[:, :1]), 5.9 * (x - x[:, :1]), rtol=1e-3, atol=1e-2)


def test_conjugate_gradients_solve():
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(9, 9, generator=generator, dtype=torch.float64)
    M, b = A @ A.T + torch.eye(9), torch.randn(9, generator=generator, dtype=torch.float64)
    found = relatives.conjugate_gradients(lambda v: M @ v, b, 30)
    torch.testing.assert_close(found, torch.linalg.solve(M, b))


def test_the_classifier_has_an_output_for_each_training_letter():
    params = relatives.CLASSIFIER.init(torch.Generator().manual_seed(0), torch.float32)
    assert len(list(params.values())[-1]) == len(relatives.classes()["train"])
