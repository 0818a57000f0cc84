"""Files of other projects, written here in their layout, train what plain torch in their manner trains."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.data.dataset import Dataset
from distill.data.images import load
from distill.sets.distilled import DistilledSet
from distill.sets.public.build import import_public
from distill.sets.public.normalisation import normalise_like
from distill.sets.public.options import ImportOptions
from distill.student.evaluation import accuracy
from distill.student.training import build_problem, build_set_network, initial_weights, replay
from tests.helpers import waves
from tests.sets.samples import write_best, write_experiments, write_steps

MEAN, STD = 0.1307, 0.3081  # both projects normalise MNIST so


@pytest.fixture(scope="module")
def mnist() -> tuple[Dataset, Dataset]:
    """Five hundred test images are enough."""
    train, test = load("mnist")
    return train, test.select(torch.arange(500))


def normalise(data: Dataset) -> tuple[Tensor, Tensor]:
    """ToTensor and Normalize of all items, and their labels."""
    return (data.items / 255 - MEAN) / STD, data.labels


def pick_real(train: Dataset, per_class: int) -> tuple[Tensor, Tensor]:
    """Real images of each class, from which a distillation may start."""
    x, y = normalise(train)
    indices = torch.cat([train.class_indices(c)[:per_class] for c in range(len(train.classes))])
    return x[indices].clone(), y[indices].clone()


def score(network: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float((network(x).argmax(1) == y).float().mean())


def train_student(data: DistilledSet, test: Dataset, network: nn.Module) -> tuple[dict[str, Tensor], float]:
    """The weights and the accuracy of a student of the set, from the weights of a network."""
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    student = replay(data, build_problem(data), weights)
    return dict(student.state_dict()), accuracy(student, normalise_like(test, data))


def build_started_network(data: DistilledSet) -> nn.Module:
    network = build_set_network(data)
    network.load_state_dict(initial_weights(data, network, "random", 1)[0])
    return network


def assert_weights(network: nn.Module, weights: list[Tensor], rtol: float, atol: float) -> None:
    for parameter, weight in zip(network.parameters(), weights, strict=True):
        torch.testing.assert_close(weight, parameter.detach(), rtol=rtol, atol=atol)


def train_steps_inplace(network: nn.Module, steps: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    """SsnL's training: w -= lr · gradient, step by step; learned labels as in ilia10000's fork."""
    for x, y, lr in steps:
        logits = network(x)
        if y.is_floating_point():
            loss = torch.mean(torch.sum(-y * F.log_softmax(logits, dim=1), 1))
        else:
            loss = F.cross_entropy(logits, y)
        gradients = torch.autograd.grad(loss * lr.squeeze(), list(network.parameters()))
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.data -= gradient


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_results_pth_trains_as_train_steps_inplace(labels: str, mnist: tuple, tmp_path: Path) -> None:
    """SsnL's class numbers and ilia10000's learned labels."""
    train, test = mnist
    x, y = pick_real(train, 4)
    order = torch.arange(40).view(10, 4).T.flatten()
    y = y[order] if labels == "hard" else F.one_hot(y[order], 10) + 0.1 * waves(40, 10).float()
    path = write_steps(tmp_path / "results.pth", x[order], y, steps=4, epochs=8)
    data = import_public(path, train)
    assert len(data) == 40
    assert data.schedule.shape == (32, 10)
    assert (data.network["name"], data.network["scheme"]) == ("lenet", "xavier")
    network = build_started_network(data)
    weights, student_score = train_student(data, test, network)
    train_steps_inplace(network, torch.load(path, weights_only=True))
    assert_weights(network, list(weights.values()), rtol=1e-4, atol=1e-5)
    assert student_score == pytest.approx(score(network, *normalise(test)), abs=1e-6)
    assert student_score > 0.2


class VicoConvNet(nn.Module):
    """ConvNet of VICO's networks.py by default, of a width: padding 3 makes grey 28×28 images 32×32."""

    def __init__(self, channels: int, classes: int, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for d in range(3):
            inputs, padding = (channels, 3 if channels == 1 else 1) if d == 0 else (width, 1)
            norm = nn.GroupNorm(width, width, affine=True)
            layers += [nn.Conv2d(inputs, width, 3, padding=padding), norm, nn.ReLU(), nn.AvgPool2d(2, 2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * 4 * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def evaluate_synset(
    network: nn.Module, x: Tensor, y: Tensor, epochs: int, lr: float, criterion: Callable, new_optimiser: bool
) -> None:
    """VICO's training on few images, without augmentation. new_optimiser: one more where the rate falls."""
    optimiser = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=0.0005)
    for epoch in range(epochs + 1):
        loss = criterion(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if epoch == epochs // 2 + 1:
            if new_optimiser:
                optimiser = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=0.0005)
            for group in optimiser.param_groups:
                group["lr"] = lr * 0.1


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """DATM's SoftCrossEntropy."""
    return torch.sum(-F.log_softmax(logits, dim=1) * F.softmax(target, dim=1)) / len(logits)


@pytest.mark.parametrize("project", ["vico", "mtt", "datm"])
def test_res_and_images_best_train_as_evaluate_synset(project: str, mnist: tuple, tmp_path: Path) -> None:
    """Equal weights where momentum goes on; with the new optimiser of the code, the same score."""
    train, test = mnist
    x, y = pick_real(train, 2)
    labels, lr = (y, 0.01) if project != "datm" else (6 * F.one_hot(y, 10) + waves(20, 10).float(), 0.02)
    if project == "vico":
        first_experiment = [waves(20, 1, 28, 28).float(), y]
        path = write_experiments(tmp_path / "res_DC_MNIST_ConvNet_2ipc.pt", first_experiment, [x, y])
    else:
        path = write_best(tmp_path / "run", x, labels, torch.tensor(lr) if project == "datm" else None)
    data = import_public(path, train, options=ImportOptions(epochs=12, augment=""))
    network_metadata = {**data.network, "arguments": {"padding": 3, "width": 32}}  # a quarter: faster
    assert network_metadata == {**data.network, "arguments": {**data.network["arguments"], "width": 32}}
    assert (data.network["name"], data.network["scheme"]) == ("convnet", "uniform")
    data = replace(data, network=network_metadata)
    network, vico = build_started_network(data), VicoConvNet(1, 10, 32)
    for parameter, vico_parameter in zip(network.parameters(), vico.parameters(), strict=True):
        vico_parameter.data.copy_(parameter.data)
    weights, student_score = train_student(data, test, network)
    criterion = soft_cross_entropy if project == "datm" else F.cross_entropy
    restarted = copy.deepcopy(vico)
    evaluate_synset(vico, x, labels, 12, lr, criterion, new_optimiser=False)
    assert_weights(vico, list(weights.values()), rtol=1e-3, atol=1e-4)
    real = normalise(test)
    assert student_score == pytest.approx(score(vico, *real), abs=0.0021)  # one image of 500
    if project == "vico":
        evaluate_synset(restarted, x, labels, 12, lr, criterion, new_optimiser=True)
        assert student_score == pytest.approx(score(restarted, *real), abs=0.02)
    assert student_score > 0.4
