"""Route-constrained distillation (Jin et al. 2019): a teacher is followed through anchors of its training."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from distill.data.dataset import Dataset
from distill.kd.networks import Networks, compute_logits
from distill.kd.recipe.parts import StagePart


def split_route(part: StagePart, networks: Networks, train: Dataset) -> list[StagePart]:
    """A stage without a route as it is; else one stage per anchor of the route, the epochs shared out."""
    if part.route is None:
        return [part]
    anchors = [name for name in networks if name.startswith(f"{part.route}@")]
    if part.gap:
        anchors = choose_anchors(anchors, networks, train, part.gap)
    each = max(1, part.epochs // len(anchors))
    epochs = [each] * (len(anchors) - 1) + [max(1, part.epochs - each * (len(anchors) - 1))]
    return [
        replace(part, route=None, epochs=e, turns={
            learner: replace(turn, losses=[
                replace(p, teacher=anchor) if p.teacher == part.route else p for p in turn.losses
            ])
            for learner, turn in part.turns.items()
        })
        for anchor, e in zip(anchors, epochs, strict=True)
    ]  # fmt: skip


def choose_anchors(names: list[str], networks: Networks, train: Dataset, least: float) -> list[str]:
    """Anchors at least so far apart, the last always among them (greedy: Jin et al. 2019, section 3.4).

    The distance of two is the mean KL of the later one's output from the earlier one's, on 1,000 items.
    """
    sample = train.select(torch.arange(min(1000, len(train))))
    log_p = {name: F.log_softmax(compute_logits(networks[name], sample), dim=1) for name in names}
    anchors = [names[0]]
    for name in names[1:]:
        distance = float(F.kl_div(log_p[anchors[-1]], log_p[name], log_target=True, reduction="batchmean"))
        if distance >= least or name == names[-1]:
            anchors.append(name)
    return anchors
