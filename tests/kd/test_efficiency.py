"""What students are combined with: mixup, smoothing, pruning, eight bits."""

import pytest
import torch
import torch.nn.functional as F

from distill.kd.efficiency import eight_bits, in_eight, masks, mixed, pruned, smoothed
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.student import Student
from distill.student.loop import Batch, live
from tests.helpers import CLASSES, SHAPE, waves

Y = torch.tensor([0, 2, 1, 1])


def test_smoothing_is_torch_s_label_smoothing() -> None:
    logits = waves(4, 3)
    ours = -(smoothed(Y, 3, 0.1) * F.log_softmax(logits, 1)).sum(1).mean()
    torch.testing.assert_close(ours, F.cross_entropy(logits, Y, label_smoothing=0.1))
    torch.testing.assert_close(smoothed(F.one_hot(Y, 3).float(), 3, 0.1), smoothed(Y, 3, 0.1))


def test_mixed_items_and_labels_share_alike() -> None:
    x = waves(4, *SHAPE).float()
    batch = mixed(Batch(x, Y, torch.arange(4), 0.0), 3, 1.0, stream("mix"))
    torch.testing.assert_close(batch.y.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(batch.x.mean(dim=0), x.mean(dim=0))
    torch.testing.assert_close(batch.y.mean(dim=0), F.one_hot(Y, 3).float().mean(dim=0))
    assert not torch.equal(batch.x, x)


def test_pruning_zeroes_the_smallest_for_good() -> None:
    network = build_network("mlp", SHAPE, CLASSES, width=8)
    weights = live(draw_weights(network, stream("prune")))
    large = torch.cat([w.detach().abs().flatten() for w in weights.values() if w.ndim > 1])
    kept = masks(weights, 0.5)
    pruned(weights, kept)
    zeros = torch.cat([w.detach().flatten() == 0 for w in weights.values() if w.ndim > 1])
    assert float(zeros.float().mean()) == pytest.approx(0.5, abs=0.01)
    assert float(large[zeros].max()) <= float(large[~zeros].min())
    optimiser = torch.optim.Adam(weights.values(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        torch.stack([(w - 1).pow(2).sum() for w in weights.values()]).sum().backward()
        optimiser.step()
    again = torch.cat([w.detach().flatten() == 0 for w in weights.values() if w.ndim > 1])
    assert torch.equal(again, zeros)


def test_eight_bits_hold_256_values_near_the_old_ones() -> None:
    w = waves(3, 100).float()
    rounded = in_eight(w)
    assert all(len(row.unique()) <= 256 for row in rounded)
    assert float((rounded - w).abs().max()) <= float(w.abs().max()) / 127 / 2 + 1e-6
    assert torch.equal(in_eight(rounded), rounded)
    assert in_eight(w[0]) is not None
    assert torch.equal(in_eight(w[0]), w[0])


def test_a_student_in_eight_bits_answers_nearly_alike_and_the_old_one_as_before() -> None:
    network = build_network("convnet", SHAPE, CLASSES, width=4, depth=2)
    student = Student(network, draw_weights(network, stream("int8"), "uniform"))
    x = waves(6, *SHAPE).float()
    before = student.logits(x)
    small = eight_bits(student, [x])
    assert torch.equal(student.logits(x), before)
    assert not torch.equal(small.logits(x), before)
    assert float((small.logits(x) - before).abs().max()) < 0.05 * float(before.abs().max()) + 0.02
    assert not any(m._forward_pre_hooks for m in network.modules())
