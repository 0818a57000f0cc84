"""Losses on features: the output of a student's layer beside that of a teacher's."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import Scalar

Features = Float[Tensor, "batch ..."]


def hint(student: Features, teacher: Features) -> Scalar:
    """Half the mean squared distance (Romero et al. 2015, FitNets, eq. 3, after the student's connector).

    Where we differ: a mean over items, channels and places, where the paper has a sum, so that the weight
    does not depend on the size of the layer; a teacher's maps are averaged to the student's height and width.
    """
    return F.mse_loss(student, pool_like(teacher.detach(), student)) / 2


def attention(student: Features, teacher: Features) -> Scalar:
    """Mean squared distance of unit attention maps Σ_channels a² (Zagoruyko and Komodakis 2017, eq. 2).

    The sum over the places of a map, the mean over the items. Where we differ: the equation has β / 2 times
    the distance; its square is what their code has, and what their β = 1,000 over items and places is for. A
    teacher's maps are averaged to the student's height and width.
    """
    return square_distances(student, teacher).sum(dim=1).mean()


def attention_mean(student: Features, teacher: Features) -> Scalar:
    """attention() over the number of places, as the authors' code has it (Zagoruyko and Komodakis 2017).

    Their weight of 1,000 is for this form. A map of 8×8 places then weighs 15.6 times attention(). Where we
    differ from the paper: as attention() does, and by the mean over places, which its eq. 2 does not have.
    """
    return square_distances(student, teacher).mean()


def square_distances(student: Features, teacher: Features) -> Float[Tensor, "batch places"]:
    """The squared differences of unit attention maps, by place."""
    pair = student, pool_like(teacher.detach(), student)
    maps = [F.normalize(a.pow(2).sum(dim=1).flatten(1), dim=1) for a in pair]
    return (maps[0] - maps[1]).pow(2)


def pool_like(features: Features, like: Features) -> Features:
    """Feature maps averaged to another's height and width; vectors as they are."""
    return F.adaptive_avg_pool2d(features, (like.shape[2], like.shape[3])) if features.ndim == 4 else features
