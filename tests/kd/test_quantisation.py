"""Quantisation-aware training: values and gradients are those of torch.ao, and no weight is lost."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.ao.nn.qat import Conv2d, Linear
from torch.ao.quantization import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    PerChannelMinMaxObserver,
    QConfig,
)

from distill.kd.networks import Network
from distill.kd.recipe.checks import check_rounding
from distill.kd.recipe.parts import RecipeError, StagePart
from distill.kd.techniques.quantisation import (
    apply_fake_quantisation,
    build_ranges,
    quantise,
    round_tensor,
    round_weights,
)
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.student import Student
from tests.helpers import CLASSES, SHAPE, waves
from tests.recipes import CE, NET, build_raw_recipe, hinton, same_weights, train_recipe

EIGHT_BITS = {"quant_min": -127, "quant_max": 127, "dtype": torch.qint8}
INPUTS = FakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver,
    qscheme=torch.per_tensor_symmetric,
    averaging_constant=0.01,
    **EIGHT_BITS,
)
WEIGHTS = FakeQuantize.with_args(
    observer=PerChannelMinMaxObserver, qscheme=torch.per_channel_symmetric, ch_axis=0, **EIGHT_BITS
)


def build_layers(kind: str) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A layer, the same one of torch.ao for quantisation-aware training, and what rounds its inputs."""
    layer = nn.Linear(6, 5) if kind == "linear" else nn.Conv2d(2, 5, 3)
    aware = Linear if kind == "linear" else Conv2d
    layer.qconfig = QConfig(activation=INPUTS, weight=WEIGHTS)
    return layer, aware.from_float(copy.deepcopy(layer)), INPUTS()


@pytest.mark.filterwarnings("ignore")  # torch.ao announces its move to another package
@pytest.mark.parametrize(("kind", "shape"), [("linear", (7, 6)), ("convolution", (4, 2, 5, 5))])
def test_values_and_gradients_are_those_of_torch_ao(kind: str, shape: tuple[int, ...]) -> None:
    """Three batches, of which the second exceeds the range and the third is in eval mode."""
    layer, theirs, inputs = build_layers(kind)
    ranges = build_ranges(layer)
    apply_fake_quantisation(layer, ranges)
    for k, factor in enumerate((1.0, 3.0, 2.0)):
        if k == 2:
            layer.eval()
            inputs.apply(torch.ao.quantization.disable_observer)
        x = (factor * waves(*shape, phase=k).float().abs()).requires_grad_()
        y = x.detach().clone().requires_grad_()
        ours, expected = layer(x), theirs(inputs(y))
        torch.testing.assert_close(ours, expected)
        layer.zero_grad()
        theirs.zero_grad()
        (ours**2).sum().backward()
        (expected**2).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
        torch.testing.assert_close(layer.weight.grad, theirs.weight.grad)
        torch.testing.assert_close(layer.bias.grad, theirs.bias.grad)
        if k:
            assert 0 < float((x.grad == 0).float().mean()) < 1  # beyond the range
    torch.testing.assert_close(ranges[""], inputs.activation_post_process.max_val)


def test_a_gradient_passes_straight_through_the_rounding() -> None:
    w = waves(3, 10).float().requires_grad_()
    direction = waves(3, 10, phase=5).float()
    (round_weights(w) * direction).sum().backward()
    torch.testing.assert_close(w.grad, direction)
    x = torch.tensor([-2.0, -0.5, 0.0, 0.9, 1.5], requires_grad=True)
    rounded = round_tensor(x, torch.tensor(1.0))
    rounded.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(rounded, torch.tensor([-128.0, -64.0, 0.0, 114.0, 127.0]) / 127)


def build_student(name: str = "convnet") -> Student:
    network = build_network(name, SHAPE, CLASSES, **({"width": 4, "depth": 2} if name == "convnet" else {}))
    return Student(network, draw_weights(network, stream("qat"), "uniform"))


def test_a_network_that_learns_so_answers_as_it_is_measured() -> None:
    """The range of one batch is what measuring on that batch finds."""
    student, x = build_student("linear"), waves(6, *SHAPE).float()
    apply_fake_quantisation(student.network, build_ranges(student.network))
    student.train().logits(x)
    torch.testing.assert_close(student.eval().logits(x), quantise(build_student("linear"), [x]).logits(x))


def test_weights_keep_their_places_and_values_and_copies_are_not_rounded() -> None:
    student, x = build_student(), waves(6, *SHAPE).float()
    exact, names = student.logits(x), [name for name, _ in student.network.named_parameters()]
    before = {name: w.clone() for name, w in student.state_dict().items()}
    handles = apply_fake_quantisation(student.network, build_ranges(student.network))
    assert not torch.equal(student.logits(x), exact)
    assert torch.equal(Student(student.network).logits(x), exact)
    assert [name for name, _ in student.network.named_parameters()] == names
    assert all(isinstance(w, nn.Parameter) for w in student.network.parameters())
    for handle in handles:
        handle.remove()
    assert torch.equal(student.logits(x), exact)
    assert all(torch.equal(w, before[name]) for name, w in student.state_dict().items())


def test_a_pass_that_is_broken_off_loses_no_weight() -> None:
    layer = nn.Linear(3, 2)
    weight = layer.weight
    apply_fake_quantisation(layer, build_ranges(layer))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer(torch.ones(1, 4))
    assert layer.weight is weight


def build_raw(folder: Path, **options: Any) -> dict[str, Any]:
    network = {**NET, "int8": True}
    stages = [
        {"turns": {"teacher": [CE]}, "epochs": 3},
        {"turns": {"student": [CE, hinton("teacher")]}, "epochs": 3, **options},
    ]
    return build_raw_recipe(folder, {"teacher": NET, "student": network}, stages)


def test_a_stage_trains_with_eight_bits_and_leaves_no_hook(tmp_path: Path) -> None:
    aware, plain = (train_recipe(build_raw(tmp_path, **options)) for options in ({"qat": True}, {}))
    assert same_weights(aware["teacher"], plain["teacher"])
    assert not same_weights(aware["student"], plain["student"])
    modules = list(aware["student"].module.modules())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in modules)


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (
            nn.Linear(2, 2),
            "a would learn with eight bits and be measured without: give networks.a.int8: true",
        ),
        (nn.LayerNorm(2), "a has no convolution of images and no linear layer"),
    ],
)
def test_what_cannot_be_rounded_or_is_not_measured_so_is_refused(module: nn.Module, sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        check_rounding(StagePart({}, qat=True), "stages.0", Network("a", Student(module)))
    assert str(error.value) == f"stages.0.qat: {sentence}"
    assert check_rounding(StagePart({}), "stages.0", Network("a", Student(module))) is None


def test_a_recipe_is_refused_before_it_trains(tmp_path: Path) -> None:
    raw = build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}, "qat": True}])
    with pytest.raises(RecipeError, match="give networks.a.int8: true"):
        train_recipe(raw)
