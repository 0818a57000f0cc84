"""Losses on subclass logits, which need no teacher: they shape what the teacher has to tell."""

import math

import torch
import torch.nn.functional as F

from distill.inner.losses import Logits, Scalar


def negative_sampling(subclasses: Logits, tau: float) -> Scalar:
    """mean_i log mean_j exp(v_i · v_j / τ) - 1 / τ of unit vectors v: never above zero.

    The auxiliary loss of subclass distillation (Müller, Kornblith and Hinton 2020, section 3.2; the authors'
    notebook calls it negative sampling and has β = 1, τ = 1). v_i are the subclass logits of item i, centred
    over the subclasses and divided by their length, so that v_i · v_j is the correlation of two items over
    all subclasses. It is zero where all items of a batch have the same subclass logits up to scale, and falls
    as they differ. Where we differ: τ and β, its weight, are the recipe's.
    """
    v = F.normalize(subclasses - subclasses.mean(dim=1, keepdim=True), dim=1)
    return (torch.logsumexp(v @ v.T / tau, dim=1) - math.log(len(v))).mean() - 1 / tau


def mutual_information(subclasses: Logits, tau: float = 1.0) -> Scalar:
    """mean_i H(p_i) - H(mean_i p_i) of p = softmax(subclasses / τ): minus the mutual information with items.

    It is least, -log of their number, where each item is sure of its subclass and all are used alike over
    the batch (Bridle et al. 1991; Krause et al. 2010, eq. 3). Where we differ: Krause et al. add a penalty on
    the weights, which here is the optimiser's. It is not the loss of Müller et al. 2020.
    """
    log_p = F.log_softmax(subclasses / tau, dim=1)
    mean = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    return -(log_p.exp() * log_p).sum(dim=1).mean() + (mean.exp() * mean).sum()
