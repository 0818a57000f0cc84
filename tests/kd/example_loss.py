"""Similarity-preserving distillation: items similar for the teacher become similar for the student."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import Scalar
from distill.kd.losses.features import Features


def similarities(features: Features) -> Float[Tensor, "batch batch"]:
    """G = A Aᵀ of the flattened features A, each row over its length."""
    a = features.flatten(1)
    return F.normalize(a @ a.T, dim=1)


def similarity(student: Features, teacher: Features) -> Scalar:
    """‖G_teacher - G_student‖² / batch² (Tung and Mori 2019, arXiv 1907.09682)."""
    return (similarities(teacher.detach()) - similarities(student)).pow(2).sum() / len(student) ** 2
