"""Losses on relations: distances and angles between the items of a batch (RKD, Park et al. 2019).

Where we differ: the losses are means over all pairs or triples of a batch, where the paper has sums, so that
their weights do not depend on its size. Pairs and triples in which an item meets itself count in the mean;
they are equal for student and teacher, and add nothing to the sum.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import Scalar
from distill.kd.losses.features import Features


def relative_distances(features: Features) -> Float[Tensor, "batch batch"]:
    """Distances of all pairs of items over their mean (Park et al. 2019, eq. 3); 0 where there are none."""
    x = features.flatten(1)
    squares = (x[:, None] - x[None]).pow(2).sum(dim=2)
    d = torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)
    if not bool((d > 0).any()):  # one item, or items alike
        return d
    return d / d[d > 0].mean().clamp_min(1e-12)


def rkd_distance(student: Features, teacher: Features) -> Scalar:
    """Huber loss of all pairs' relative distances (Park et al. 2019, eq. 5): free of rotation and scale."""
    return F.smooth_l1_loss(relative_distances(student), relative_distances(teacher.detach()))


def angles(features: Features) -> Float[Tensor, "batch batch batch"]:
    """The cosine of the angle at item j between items i and k, [j, i, k] (Park et al. 2019, eq. 6)."""
    x = features.flatten(1)
    sides = F.normalize(x[None] - x[:, None], dim=2)
    return sides @ sides.transpose(1, 2)


def rkd_angle(student: Features, teacher: Features) -> Scalar:
    """Huber loss of all triples' angles (Park et al. 2019, eq. 7)."""
    return F.smooth_l1_loss(angles(student), angles(teacher.detach()))
