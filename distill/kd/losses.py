"""Losses of knowledge distillation: plain functions of what a student and a teacher answer, to a scalar.

Logits are (batch, classes), τ is the temperature that softens them, features are (batch, width) or
(batch, channels, height, width). Teachers are taken as constants: no gradient flows into them. The map of
the field is Gou et al. 2020: what a student matches is the teacher's response (logits), its features
(layers), or the relations between items.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import Logits, Scalar, cross_entropies

Features = Float[Tensor, "batch ..."]


def divergences(student: Logits, teacher: Logits, tau: float) -> Float[Tensor, " batch"]:
    """KL(softmax(teacher / τ) ‖ softmax(student / τ)) per item."""
    p, q = F.log_softmax(teacher.detach() / tau, dim=1), F.log_softmax(student / tau, dim=1)
    return (p.exp() * (p - q)).sum(dim=1)


def hinton(student: Logits, teacher: Logits, tau: float) -> Scalar:
    """τ² · mean KL of the softened teacher from the softened student (Hinton et al. 2015, section 2).

    τ² keeps the gradient's size: for large τ it tends to that of half the squared distance of the centred
    logits over the number of classes.
    """
    return tau**2 * divergences(student, teacher, tau).mean()


def soft_weights(student: Logits, teacher: Logits, y: Tensor) -> Float[Tensor, " batch"]:
    """w = 1 - exp(-CE(student, y) / CE(teacher, y)) per item (Zhou et al. 2021, eq. 12), a constant.

    It is small where the student knows more than the teacher: there a soft label only regularises. Signed
    labels can make a cross-entropy negative, which counts as zero.
    """
    with torch.no_grad():
        ours, theirs = cross_entropies(student, y), cross_entropies(teacher, y)
        return 1 - torch.exp(-ours.clamp_min(0) / theirs.clamp_min(1e-7))


def weighted(student: Logits, teacher: Logits, y: Tensor, tau: float) -> Scalar:
    """τ² · mean of w · KL (Zhou et al. 2021, eq. 13: weighted soft labels)."""
    return tau**2 * (soft_weights(student, teacher, y) * divergences(student, teacher, tau)).mean()


def regularising(student: Logits, teacher: Logits, y: Tensor, tau: float) -> Float[Tensor, " batch"]:
    """Which items are regularisation samples (Zhou et al. 2021, section 3.3): variance falls, bias grows.

    Those on which the teacher is less sure of the label than the student is, both softened by τ.
    """
    return (cross_entropies(teacher / tau, y) > cross_entropies(student / tau, y)).float()


def spread(subclasses: Logits, tau: float) -> Scalar:
    """mean_i log mean_j exp(v_i · v_j / τ) - 1 / τ of unit vectors v (Müller et al. 2020, eq. 3).

    It is largest, 0, where all items of a batch fall into one subclass, and pushes them apart. v are the
    subclass logits, centred over the batch, one per row.
    """
    v = F.normalize(subclasses - subclasses.mean(dim=0), dim=1)
    return (torch.logsumexp(v @ v.T / tau, dim=1) - math.log(len(v))).mean() - 1 / tau


def informed(subclasses: Logits) -> Scalar:
    """mean_i H(p_i) - H(mean_i p_i), the negative mutual information of items and subclasses.

    It is least, -log of their number, where each item is sure of its subclass and all are used alike over
    the batch (Bridle et al. 1991; Krause et al. 2010, eq. 3).
    """
    log_p = F.log_softmax(subclasses, dim=1)
    mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    return -(log_p.exp() * log_p).sum(dim=1).mean() + (mean.exp() * mean).sum()


def hint(student: Features, teacher: Features) -> Scalar:
    """Half the mean squared distance (Romero et al. 2015, FitNets, eq. 3, after the student's regressor)."""
    return F.mse_loss(student, pooled(teacher.detach(), student)) / 2


def attention(student: Features, teacher: Features) -> Scalar:
    """Mean squared distance of unit attention maps Σ_channels a² (Zagoruyko and Komodakis 2017, eq. 2)."""
    ours, theirs = student, pooled(teacher.detach(), student)
    maps = [F.normalize(a.pow(2).sum(dim=1).flatten(1), dim=1) for a in (ours, theirs)]
    return (maps[0] - maps[1]).pow(2).sum(dim=1).mean()


def pooled(features: Features, like: Features) -> Features:
    """Feature maps averaged to another's height and width; vectors as they are."""
    return F.adaptive_avg_pool2d(features, (like.shape[2], like.shape[3])) if features.ndim == 4 else features


def distances(features: Features) -> Float[Tensor, "batch batch"]:
    """Distances of all pairs of items over their mean (Park et al. 2019, eq. 3)."""
    x = features.flatten(1)
    squares = (x[:, None] - x[None]).pow(2).sum(dim=2)
    d = torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)
    return d / d[d > 0].mean().clamp_min(1e-12)


def rkd_distance(student: Features, teacher: Features) -> Scalar:
    """Huber loss of all pairs' relative distances (Park et al. 2019, eq. 5): free of rotation and scale."""
    return F.smooth_l1_loss(distances(student), distances(teacher.detach()))


def angles(features: Features) -> Float[Tensor, "batch batch batch"]:
    """The cosine of the angle at item j between items i and k, [j, i, k] (Park et al. 2019, eq. 6)."""
    x = features.flatten(1)
    sides = F.normalize(x[None] - x[:, None], dim=2)
    return sides @ sides.transpose(1, 2)


def rkd_angle(student: Features, teacher: Features) -> Scalar:
    """Huber loss of all triples' angles (Park et al. 2019, eq. 7)."""
    return F.smooth_l1_loss(angles(student), angles(teacher.detach()))


def mmd(source: Float[Tensor, "a ..."], target: Float[Tensor, "b ..."]) -> Scalar:
    """Squared maximum mean discrepancy of two batches under a sum of five Gaussian kernels.

    Long et al. 2015 (deep adaptation networks), with the mean squared distance over 4, 2, 1, ½ and ¼ as the
    kernels' widths; never negative.
    """
    x = torch.cat([source.flatten(1), target.flatten(1)])
    squares = (x[:, None] - x[None]).pow(2).sum(dim=2)
    width = squares.detach().mean().clamp_min(1e-12)
    kernel = sum((torch.exp(-squares / (width * 2.0**k)) for k in range(-2, 3)), torch.zeros_like(squares))
    n = len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
