"""Losses of knowledge distillation, as laws."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.inner.losses import cross_entropies, cross_entropy_with_any_labels
from distill.kd.losses import KD_LOSSES, domains, features, relations, response, subclasses
from tests.helpers import waves

Y = torch.tensor([0, 2, 1, 1, 0])


def logits(phase: float = 0.0) -> Tensor:
    return 3 * waves(5, 3, phase=phase)


def grad(loss: object, student: Tensor, *arguments: object) -> Tensor:
    leaf = student.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf, *arguments), leaf)[0]  # type: ignore[operator]


MATCHED = {
    "hinton": lambda a, b: response.hinton(a, b, 4.0),
    "weighted": lambda a, b: response.weighted(a, b, Y, 2.0),
    "hint": features.hint,
    "attention": features.attention,
    "rkd_distance": relations.rkd_distance,
    "rkd_angle": relations.rkd_angle,
}


@pytest.mark.parametrize("name", MATCHED)
def test_the_gradient_is_zero_at_equality_and_never_reaches_the_teacher(name: str) -> None:
    shape = (5, 2, 4, 4) if name == "attention" else (5, 3)
    a, b = waves(*shape).requires_grad_(), waves(*shape, phase=2.0).requires_grad_()
    assert float(MATCHED[name](a.detach(), a.detach().clone())) == pytest.approx(0, abs=1e-12)
    assert float(grad(MATCHED[name], a.detach(), a.detach().clone()).abs().max()) < 1e-9
    value = MATCHED[name](a, b)
    assert float(value.detach()) > 0
    student_grad, teacher_grad = torch.autograd.grad(value, [a, b], allow_unused=True)
    assert teacher_grad is None
    assert float(student_grad.abs().max()) > 0


def test_hinton_is_torch_s_kl_times_the_temperature_squared() -> None:
    a, b = logits(), logits(5)
    kl = F.kl_div(F.log_softmax(a / 3, 1), F.softmax(b / 3, 1), reduction="batchmean")
    torch.testing.assert_close(response.hinton(a, b, 3.0), 9 * kl)


def test_the_temperature_squared_keeps_the_gradient_s_size() -> None:
    """For large τ the gradient tends to that of half the squared distance of centred logits, over classes."""
    a, b = logits(), logits(5)
    centred = (a - a.mean(1, keepdim=True)) - (b - b.mean(1, keepdim=True))
    limit = centred / 3 / len(a)
    torch.testing.assert_close(grad(response.hinton, a, b, 1e4), limit, rtol=1e-3, atol=1e-6)
    sizes = [float(grad(response.hinton, a, b, tau).norm()) for tau in (10.0, 100.0, 1000.0)]
    assert max(sizes) / min(sizes) < 1.2


def test_the_cross_entropy_of_one_hot_labels_is_that_of_class_numbers() -> None:
    soft = F.one_hot(Y, 3).double()
    torch.testing.assert_close(
        cross_entropy_with_any_labels(logits(), soft), cross_entropy_with_any_labels(logits(), Y)
    )
    torch.testing.assert_close(cross_entropy_with_any_labels(logits(), Y), F.cross_entropy(logits(), Y))


def test_weighted_soft_labels_are_kd_when_all_weights_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = logits(), logits(5)
    assert response.weighted(a, b, Y, 2.0) < response.hinton(a, b, 2.0)
    monkeypatch.setattr(response, "item_weights", lambda *_: torch.ones(5))
    torch.testing.assert_close(response.weighted(a, b, Y, 2.0), response.hinton(a, b, 2.0))


def test_a_soft_label_weighs_less_where_the_student_is_right() -> None:
    teacher, student = torch.zeros(5, 3).double(), 5 * F.one_hot(Y, 3).double()
    weights_of_right, weights_of_wrong = (
        response.item_weights(student, teacher, Y),
        response.item_weights(-student, teacher, Y),
    )
    assert float(weights_of_right.max()) < 0.02
    assert float(weights_of_wrong.min()) > 0.98
    ratio = float(cross_entropies(student, Y)[0]) / math.log(3)
    assert float(weights_of_right[0]) == pytest.approx(1 - math.exp(-ratio))
    assert response.find_regularisation_samples(student, teacher, Y, 1.0).tolist() == [1.0] * 5
    assert response.find_regularisation_samples(-student, teacher, Y, 1.0).tolist() == [0.0] * 5


def test_negative_sampling_is_zero_for_equal_logits_and_lower_for_separated_ones() -> None:
    apart = 4 * torch.eye(4).double().repeat(3, 1)
    together = apart[:1].repeat(12, 1) + 1e-3 * waves(12, 1)
    value = float(subclasses.negative_sampling(apart, 1.0))
    assert value < -0.3
    assert float(subclasses.negative_sampling(together + torch.zeros_like(apart), 1.0)) <= 1e-6
    assert float(subclasses.negative_sampling(together, 1.0)) > value


def test_negative_sampling_is_the_authors_normalised_correlation() -> None:
    """Zero mean and unit variance over an item's subclasses; a product of two items over (number · τ)."""
    z, tau = waves(6, 5, phase=2.0), 0.7
    normalised = (z - z.mean(1, keepdim=True)) / z.std(1, correction=0, keepdim=True)
    scaled = normalised @ normalised.T / (5 * tau)
    expected = torch.logsumexp(scaled, dim=1).mean() - 1 / tau - math.log(6)
    torch.testing.assert_close(subclasses.negative_sampling(z, tau), expected)
    shift, scale = waves(6, 1, phase=1.0), 2 + waves(6, 1)
    torch.testing.assert_close(subclasses.negative_sampling(scale * z + shift, tau), expected)


def test_mutual_information_is_least_where_each_item_is_sure_and_all_subclasses_are_used() -> None:
    sure = 50 * torch.eye(4).double().repeat(3, 1)
    assert float(subclasses.mutual_information(sure)) == pytest.approx(-math.log(4))
    assert float(subclasses.mutual_information(sure[:1].repeat(12, 1))) == pytest.approx(0, abs=1e-12)
    assert float(subclasses.mutual_information(torch.zeros(12, 4).double())) == pytest.approx(0, abs=1e-12)


def test_filtering_takes_the_regularisation_samples_out_of_hinton() -> None:
    a, b = logits(), logits(5)
    marks = response.find_regularisation_samples(a, b, Y, 2.0)
    assert 0 < float(marks.sum()) < len(Y)
    kept = marks == 0
    expected = response.hinton(a[kept], b[kept], 2.0) * kept.double().mean()
    torch.testing.assert_close(response.hinton_filtered(a, b, Y, 2.0), expected)
    gradient = grad(response.hinton_filtered, a, b, Y, 2.0)
    assert [bool(row.any()) for row in gradient] == kept.tolist()


def test_regularisation_samples_are_those_of_the_larger_gradient_at_the_label() -> None:
    """|d(L_kd - L_ce) / dz_label| > |dL_ce / dz_label|, both softened (Zhou et al. 2021, section 3.3)."""
    a, b, tau = logits(), logits(5), 2.0
    student, teacher = ((z / tau).softmax(1)[torch.arange(5), Y] for z in (a, b))
    bias, variance = student - 1, (student - teacher) - (student - 1)
    expected = (variance.abs() > bias.abs()).double()
    torch.testing.assert_close(response.find_regularisation_samples(a, b, Y, tau).double(), expected)


def rotate(x: Tensor) -> Tensor:
    q, _ = torch.linalg.qr(waves(3, 3, phase=1.0))
    return 7 * x @ q + 4


@pytest.mark.parametrize("loss", [relations.rkd_distance, relations.rkd_angle])
def test_relations_do_not_change_under_rotation_translation_and_scaling(loss: object) -> None:
    a, b = logits(), logits(5)
    torch.testing.assert_close(loss(rotate(a), b), loss(a, b))  # type: ignore[operator]
    assert float(loss(rotate(b), b)) == pytest.approx(0, abs=1e-12)  # type: ignore[operator]


def test_relations_of_equal_items_have_finite_gradients() -> None:
    same = torch.ones(4, 3).double()
    for loss in (relations.rkd_distance, relations.rkd_angle):
        assert torch.isfinite(grad(loss, same, logits()[:4])).all()
        assert float(loss(logits()[:1], logits(5)[:1])) == 0  # the last batch of an epoch


def test_published_weights_are_for_the_forms_of_their_code() -> None:
    """Tian et al.: 100 · MSE of a hint. Zagoruyko and Komodakis: 1,000 · mean over items and places."""
    a, b = waves(3, 2, 4, 4), waves(3, 2, 4, 4, phase=2.0)
    weight = KD_LOSSES["hint"].weight
    torch.testing.assert_close(weight * features.hint(a, b), 100 * F.mse_loss(a, b))
    maps = [F.normalize(x.pow(2).mean(1).flatten(1)) for x in (a, b)]
    expected = 1000 * (maps[0] - maps[1]).pow(2).mean()
    torch.testing.assert_close(KD_LOSSES["attention-mean"].weight * features.attention_mean(a, b), expected)
    torch.testing.assert_close(16 * features.attention_mean(a, b), features.attention(a, b))


def test_attention_compares_places_and_ignores_channels_and_scale() -> None:
    maps = waves(2, 3, 4, 4)
    assert float(features.attention(maps, 5 * maps[:, [2, 0, 1]])) == pytest.approx(0, abs=1e-12)
    larger = maps.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert float(features.attention(maps, larger)) == pytest.approx(0, abs=1e-12)


def test_the_discrepancy_of_a_batch_to_itself_is_zero_and_grows_with_distance() -> None:
    x = waves(8, 3)
    assert float(domains.mmd(x, x)) == pytest.approx(0, abs=1e-12)
    assert float(domains.mmd(x, x.flip(0))) == pytest.approx(0, abs=1e-12)
    near, far = domains.mmd(x, x + 0.5), domains.mmd(x, x + 2)
    assert 0 < float(near) < float(far)
    assert float(domains.mmd(x, x + 2)) == pytest.approx(float(domains.mmd(x + 2, x)))
