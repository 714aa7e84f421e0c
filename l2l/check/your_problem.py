"""The exercises of the chapter on a problem of one's own: nearest centroids, and normalisation without a leak."""

from collections.abc import Callable

import torch
from torch import Tensor

from l2l.check.answers import Answer
from l2l.check.cases import uniform
from l2l.check.exercise import Exercise


def features_case(i: int, generator: torch.Generator) -> dict:
    """(z_support, y_support, z_query): features of classes of unequal size and length, labels 0, 1, 2."""
    y = torch.tensor([0, 1, 2, 0, 1, 0, 0])
    centres = uniform(generator, -1, 1, 3, 4) * torch.tensor([[1.0], [3.0], [2.0]], dtype=torch.float64)
    return {
        "z_support": centres[y] + uniform(generator, -2, 2, 7, 4),
        "y_support": y,
        "z_query": centres.repeat(20, 1) + uniform(generator, -3, 3, 60, 4),
    }


def by_centroid(
    centre: Callable[[Tensor], Tensor] = lambda z: z.mean(0),
    score: Callable[[Tensor, Tensor], Tensor] = lambda z, c: -torch.cdist(z, c),
) -> Answer:
    def answer(z_support: Tensor, y_support: Tensor, z_query: Tensor) -> Tensor:
        centres = torch.stack([centre(z_support[y_support == c]) for c in range(3)])
        return score(z_query, centres).argmax(-1).double()

    return answer


def nearest_point(z_support: Tensor, y_support: Tensor, z_query: Tensor) -> Tensor:
    return y_support[torch.cdist(z_query, z_support).argmin(-1)].double()


nearest_centroid = Exercise(
    name="nearest_centroid",
    doc="""Check f(z_support, y_support, z_query) → for each query point, the label whose mean is nearest.

    z_support is [n, F], y_support [n] with labels 0, 1, 2, z_query [Q, F]. A label's mean is that of its
    support points; distances are Euclidean. Source: Snell et al. (2017), without a trained embedding.
    """,
    case=features_case,
    oracle=by_centroid(),
    mistakes={
        "It is the label of the nearest support point; compare with the mean of each class.": nearest_point,
        "It takes the largest inner product, which prefers long centroids; take the smallest distance.": by_centroid(
            score=lambda z, c: z @ c.mT
        ),
        "It takes the largest cosine; take the smallest Euclidean distance.": by_centroid(
            score=lambda z, c: torch.nn.functional.normalize(z) @ torch.nn.functional.normalize(c).mT
        ),
        "A centroid looks like a sum over its class; it must be the mean.": by_centroid(lambda z: z.sum(0)),
        "A centroid looks like the first support point of its class; it must be the mean.": by_centroid(lambda z: z[0]),
        "It takes the farthest centroid.": by_centroid(score=torch.cdist),
    },
)


def points_case(i: int, generator: torch.Generator) -> dict:
    """(z_support, z_query): the query points differ from the support points in mean and in spread."""
    return {"z_support": uniform(generator, -1, 2, 6, 3), "z_query": uniform(generator, 0, 5, 4, 3)}


EPS = 1e-5


def normalised(
    by: Callable[[Tensor, Tensor], Tensor], correction: int = 0, over: tuple[int, ...] = (0,), eps: float = EPS
) -> Answer:
    def answer(z_support: Tensor, z_query: Tensor) -> Tensor:
        z = by(z_support, z_query)
        return (z_query - z.mean(over)) / (z.var(over, correction=correction) + eps).sqrt()

    return answer


def by_spread(z_support: Tensor, z_query: Tensor) -> Tensor:
    return (z_query - z_support.mean(0)) / (z_support.var(0, correction=0) + EPS)


normalise_by_support = Exercise(
    name="normalise_by_support",
    doc="""Check f(z_support, z_query) → the query features, normalised by mean and variance of the support features.

    The answer is [Q, F]: for each feature (z - mean) / sqrt(var + 1e-5), with the variance that divides by the number
    of points, as in batch normalisation. No query point's features then depend on another query point.
    """,
    case=points_case,
    oracle=normalised(lambda support, query: support),
    mistakes={
        "It normalises by the query's own statistics: each prediction then depends on the other query points.": (
            normalised(lambda support, query: query)
        ),
        "It normalises by the statistics of support and query points together: the query points leak.": normalised(
            lambda support, query: torch.cat([support, query])
        ),
        "The variance divides by n - 1; batch normalisation divides by n.": normalised(
            lambda support, query: support, correction=1
        ),
        "One mean and variance serve all features; each feature must have its own.": normalised(
            lambda support, query: support, over=(0, 1)
        ),
        "It divides by the variance where it should divide by its square root.": by_spread,
        "The mean is not subtracted.": lambda z_support, z_query: (
            z_query / (z_support.var(0, correction=0) + EPS).sqrt()
        ),
    },
)
