"""Losses on responses: the student's logits beside the labels or the teacher's logits."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import Logits, Scalar, cross_entropies, cross_entropy_with_any_labels


def cross_entropy(student: Logits, labels: Tensor, tau: float = 1.0) -> Scalar:
    """The mean cross-entropy of logits over τ to class numbers or soft labels."""
    return cross_entropy_with_any_labels(student / tau, labels)


def divergences(student: Logits, teacher: Logits, tau: float) -> Float[Tensor, " batch"]:
    """KL(softmax(teacher / τ) ‖ softmax(student / τ)) per item."""
    p, q = F.log_softmax(teacher.detach() / tau, dim=1), F.log_softmax(student / tau, dim=1)
    return (p.exp() * (p - q)).sum(dim=1)


def hinton(student: Logits, teacher: Logits, tau: float) -> Scalar:
    """τ² · mean KL of the softened teacher from the softened student (Hinton et al. 2015, section 2).

    τ² keeps the gradient's size: for large τ it tends to that of half the squared distance of the centred
    logits over the number of classes. Where we differ: the paper has the cross-entropy to the soft labels,
    which is this KL plus the teacher's entropy. The entropy is a constant, so the gradient is the same.
    """
    return tau**2 * divergences(student, teacher, tau).mean()


def item_weights(student: Logits, teacher: Logits, labels: Tensor) -> Float[Tensor, " batch"]:
    """w = 1 - exp(-CE(student, y) / CE(teacher, y)) per item (Zhou et al. 2021, eq. 12), a constant.

    It is small where the student knows more than the teacher, where a soft label only regularises. Both
    cross-entropies are those of the logits at τ = 1, as in the paper. Where we differ: labels may be soft,
    and signed ones can make a cross-entropy negative, which counts as zero.
    """
    with torch.no_grad():
        student_loss, teacher_loss = cross_entropies(student, labels), cross_entropies(teacher, labels)
        return 1 - torch.exp(-student_loss.clamp_min(0) / teacher_loss.clamp_min(1e-7))


def weighted(student: Logits, teacher: Logits, labels: Tensor, tau: float) -> Scalar:
    """τ² · mean of w · KL (Zhou et al. 2021, eq. 13: weighted soft labels), w those of item_weights().

    Where we differ: the paper has the cross-entropy to the soft labels in the place of the KL. w is a
    constant, so the gradient is the same.
    """
    return tau**2 * (item_weights(student, teacher, labels) * divergences(student, teacher, tau)).mean()


def hinton_filtered(student: Logits, teacher: Logits, labels: Tensor, tau: float) -> Scalar:
    """τ² · mean of (1 - r) · KL, where r is 1 for regularisation samples, which have no part in it.

    The control of Zhou et al. 2021, section 3.3: without them a student is worse than with all. Where we
    differ: the KL stands for the cross-entropy to the soft labels, as in hinton; the mean is over all items
    of the batch, so that the others weigh what they weigh there.
    """
    kept = 1 - find_regularisation_samples(student, teacher, labels, tau)
    return tau**2 * (kept * divergences(student, teacher, tau)).mean()


@torch.no_grad()
def find_regularisation_samples(
    student: Logits, teacher: Logits, labels: Tensor, tau: float
) -> Float[Tensor, " batch"]:
    """1 for each regularisation sample, else 0 (Zhou et al. 2021, section 3.3): variance falls, bias grows.

    Those whose gradient of L_kd - L_ce at the label's logit, 1 - p_teacher, is larger than that of L_ce,
    1 - p_student: the teacher is less sure of the label than the student is, both softened by τ. Where we
    differ: labels may be soft; what is compared are the cross-entropies, for a class -log of these shares.
    """
    return (cross_entropies(teacher / tau, labels) > cross_entropies(student / tau, labels)).float()
