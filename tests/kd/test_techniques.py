"""What distillation is combined with: mixup, smoothing, pruning, eight bits; and the table of techniques."""

from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F

from distill.kd import TECHNIQUES
from distill.kd.recipe.parts import NetworkPart, StagePart
from distill.kd.techniques.mixing import mix_batch, smooth_labels
from distill.kd.techniques.pruning import apply_masks, find_masks
from distill.kd.techniques.quantisation import quantise, round_weights
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.registry import load
from distill.student import Student
from distill.student.loop import Batch
from tests.helpers import CLASSES, SHAPE, waves

Y = torch.tensor([0, 2, 1, 1])


def test_every_technique_is_a_key_of_a_recipe_and_leads_to_its_code() -> None:
    keys = {f.name for part in (StagePart, NetworkPart) for f in fields(part)}
    assert set(TECHNIQUES) <= keys
    assert all(callable(load(entry)) and entry.summary for entry in TECHNIQUES.values())


def test_smoothing_is_torch_s_label_smoothing() -> None:
    logits = waves(4, 3)
    loss = -(smooth_labels(Y, 3, 0.1) * F.log_softmax(logits, 1)).sum(1).mean()
    torch.testing.assert_close(loss, F.cross_entropy(logits, Y, label_smoothing=0.1))
    torch.testing.assert_close(smooth_labels(F.one_hot(Y, 3).float(), 3, 0.1), smooth_labels(Y, 3, 0.1))


def test_mixup_mixes_items_and_labels_by_the_same_shares() -> None:
    x = waves(4, *SHAPE).float()
    batch = mix_batch(Batch(x, Y, torch.arange(4), 0.0, plain=x + 1), 3, 1.0, stream("mix"))
    assert batch.plain is not None
    torch.testing.assert_close(batch.plain, batch.x + 1)
    torch.testing.assert_close(batch.y.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(batch.x.mean(dim=0), x.mean(dim=0))
    torch.testing.assert_close(batch.y.mean(dim=0), F.one_hot(Y, 3).float().mean(dim=0))
    assert not torch.equal(batch.x, x)


def test_pruning_zeroes_the_smallest_weights_until_its_handles_are_removed() -> None:
    network = build_network("mlp", SHAPE, CLASSES, width=8)
    student = Student(network, draw_weights(network, stream("prune")))
    parameters = dict(student.network.named_parameters())
    matrices = [p for p in parameters.values() if p.ndim > 1]
    sizes = torch.cat([p.detach().abs().flatten() for p in matrices])
    handles = apply_masks(parameters, find_masks(parameters, 0.5))

    def find_zeros() -> torch.Tensor:
        return torch.cat([p.detach().flatten() == 0 for p in matrices])

    def train_steps(count: int) -> None:
        optimiser = torch.optim.Adam(parameters.values(), lr=0.1)
        for _ in range(count):
            optimiser.zero_grad()
            torch.stack([(p - 1).pow(2).sum() for p in parameters.values()]).sum().backward()
            optimiser.step()

    zeros = find_zeros()
    assert float(zeros.float().mean()) == pytest.approx(0.5, abs=0.01)
    assert float(sizes[zeros].max()) <= float(sizes[~zeros].min())
    train_steps(3)
    assert torch.equal(find_zeros(), zeros)
    for handle in handles:
        handle.remove()
    train_steps(1)
    assert not find_zeros().any()


def test_eight_bits_hold_256_values_near_the_originals() -> None:
    w = waves(3, 100).float()
    rounded = round_weights(w)
    assert all(len(row.unique()) <= 256 for row in rounded)
    assert float((rounded - w).abs().max()) <= float(w.abs().max()) / 127 / 2 + 1e-6
    assert torch.equal(round_weights(rounded), rounded)
    assert torch.equal(round_weights(w[0]), w[0])


def test_an_eight_bit_student_is_near_the_original_and_leaves_it_unchanged() -> None:
    network = build_network("convnet", SHAPE, CLASSES, width=4, depth=2)
    student = Student(network, draw_weights(network, stream("int8"), "uniform"))
    x = waves(6, *SHAPE).float()
    before = student.logits(x)
    small = quantise(student, [x])
    assert torch.equal(student.logits(x), before)
    assert not torch.equal(small.logits(x), before)
    assert float((small.logits(x) - before).abs().max()) < 0.05 * float(before.abs().max()) + 0.02
    assert not any(m._forward_pre_hooks for m in student.modules())
