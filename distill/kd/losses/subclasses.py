"""Losses on subclass logits, which need no teacher: they shape what the teacher has to tell."""

import math

import torch
import torch.nn.functional as F

from distill.inner.losses import Logits, Scalar


def spread(subclasses: Logits, tau: float) -> Scalar:
    """mean_i log mean_j exp(v_i · v_j / τ) - 1 / τ of unit vectors v (Müller et al. 2020, eq. 3).

    It is largest, 0, where all items of a batch fall into one subclass, and pushes them apart. v are the
    subclass logits, centred over the batch, one per row.
    """
    v = F.normalize(subclasses - subclasses.mean(dim=0), dim=1)
    return (torch.logsumexp(v @ v.T / tau, dim=1) - math.log(len(v))).mean() - 1 / tau


def informed(subclasses: Logits, tau: float = 1.0) -> Scalar:
    """mean_i H(p_i) - H(mean_i p_i) of p = softmax(subclasses / τ): minus the mutual information with items.

    It is least, -log of their number, where each item is sure of its subclass and all are used alike over
    the batch (Bridle et al. 1991; Krause et al. 2010, eq. 3).
    """
    log_p = F.log_softmax(subclasses / tau, dim=1)
    mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    return -(log_p.exp() * log_p).sum(dim=1).mean() + (mean.exp() * mean).sum()
