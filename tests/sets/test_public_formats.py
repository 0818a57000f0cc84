"""Files of other projects, made here in their layout, train what plain torch in their manner trains."""

import copy
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.__main__ import main
from distill.commands.set_options import SetConfig, load_set_and_data
from distill.data.dataset import Dataset
from distill.data.images import load
from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.formats import public as foreign
from distill.student.evaluate import accuracy
from distill.student.training import build_network, build_problem, initial_weights, replay
from tests.helpers import SHAPE, waves, write_npz
from tests.sets.test_distilled import Trap

Y, X = torch.arange(3), waves(3, *SHAPE).float()
LR = torch.tensor([0.1])


@pytest.fixture(scope="module")
def mnist() -> tuple[Dataset, Dataset]:
    """Five hundred test images are enough."""
    train, test = load("mnist")
    return train, test.subset(torch.arange(500))


@pytest.fixture
def blobs(tmp_path: Path) -> tuple[Dataset, Dataset]:
    train, test = load(str(write_npz(tmp_path / "blobs.npz")))
    return train, test


def theirs(data: Dataset, mean: float, std: float) -> tuple[Tensor, Tensor]:
    """ToTensor and Normalize(mean, std) of all items."""
    return (data.items / 255 - mean) / std, data.labels


def few(train: Dataset, per_class: int, mean: float, std: float) -> tuple[Tensor, Tensor]:
    """Real images of each class, as a start of distillation has them."""
    x, y = theirs(train, mean, std)
    picks = torch.cat([train.of_class(c)[:per_class] for c in range(len(train.classes))])
    return x[picks].clone(), y[picks].clone()


def scored(network: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float((network(x).argmax(1) == y).float().mean())


def ours(data: DistilledSet, test: Dataset, network: nn.Module) -> tuple[dict[str, Tensor], float]:
    """The weights and the accuracy of our student from the weights of a network."""
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    student = replay(data, build_problem(data), weights)
    return student.state_dict(), accuracy(student, foreign.normalised(test, data))


def fresh(data: DistilledSet) -> nn.Module:
    network = build_network(data)
    network.load_state_dict(initial_weights(data, network, "random", 1)[0])
    return network


def agree(network: nn.Module, weights: dict[str, Tensor], rtol: float = 1e-4, atol: float = 1e-5) -> None:
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(weights[name], parameter.detach(), rtol=rtol, atol=atol)


def results(x: Tensor, y: Tensor, steps: int, epochs: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """What their get_steps() answers: the data of each step again in each epoch, a rate of its own each."""
    parts = list(zip(x.chunk(steps), y.chunk(steps), strict=True))
    lrs = F.softplus(torch.linspace(-4, -3, steps * epochs)[:, None]).unbind()
    return [(*part, lr) for part, lr in zip(parts * epochs, lrs, strict=True)]


def test_files_of_old_torch_and_rates_with_a_graph_are_read(blobs: tuple, tmp_path: Path) -> None:
    """torch.save before 1.6 wrote no zip; lr is saved as the softplus of what is learned."""
    lr = F.softplus(torch.full((2, 1), -3.0, requires_grad=True)).unbind()
    steps = [(X.clone().requires_grad_(), Y, rate) for rate in lr]
    torch.save(steps, tmp_path / "results.pth", _use_new_zipfile_serialization=False)
    data = foreign.read(tmp_path / "results.pth", blobs[0])
    assert len(data) == 3
    assert data.lrs.tolist() == pytest.approx([0.0486, 0.0486], abs=1e-4)
    assert not data.items.requires_grad
    assert not data.lrs.requires_grad


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_results_pth_trains_as_their_train_steps_inplace(kind: str, mnist: tuple, tmp_path: Path) -> None:
    """SsnL's class numbers and ilia10000's learned labels: w -= lr · grad, step by step."""
    train, test = mnist
    x, y = few(train, 4, 0.1307, 0.3081)
    order = torch.arange(40).view(10, 4).T.flatten()
    labels = y[order] if kind == "hard" else F.one_hot(y[order], 10) + 0.1 * waves(40, 10).float()
    steps = results(x[order], labels, steps=4, epochs=8)
    torch.save(steps, tmp_path / "results.pth")
    data = foreign.read(tmp_path / "results.pth", train)
    assert len(data) == 40
    assert data.schedule.shape == (32, 10)
    assert (data.network["name"], data.network["scheme"]) == ("lenet", "xavier")
    network = fresh(data)
    weights, found = ours(data, test, network)
    for x, y, lr in steps:
        logits = network(x)
        if kind == "hard":
            loss = F.cross_entropy(logits, y)
        else:
            loss = torch.mean(torch.sum(-y * F.log_softmax(logits, dim=1), 1))
        grads = torch.autograd.grad(loss * lr.squeeze(), list(network.parameters()))
        for parameter, grad in zip(network.parameters(), grads, strict=True):
            parameter.data -= grad
    agree(network, weights)
    assert found == pytest.approx(scored(network, *theirs(test, 0.1307, 0.3081)), abs=1e-6)
    assert found > 0.2


class TheirConvNet(nn.Module):
    """ConvNet of VICO's networks.py in its default setting, at a width: padding 3 makes grey 28×28 32×32."""

    def __init__(self, channels: int, classes: int, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for d in range(3):
            before, padding = (channels, 3 if channels == 1 else 1) if d == 0 else (width, 1)
            norm = nn.GroupNorm(width, width, affine=True)
            layers += [nn.Conv2d(before, width, 3, padding=padding), norm, nn.ReLU(), nn.AvgPool2d(2, 2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * 4 * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def taught(
    network: nn.Module, x: Tensor, y: Tensor, epochs: int, lr: float, criterion: Callable, forget: bool
) -> None:
    """evaluate_synset() of few images, without augmentation. forget: a new optimiser where the rate falls."""
    optimiser = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=0.0005)
    for epoch in range(epochs + 1):
        loss = criterion(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if epoch == epochs // 2 + 1:
            if forget:
                optimiser = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=0.0005)
            for group in optimiser.param_groups:
                group["lr"] = lr * 0.1


def soft_cross_entropy(inputs: Tensor, target: Tensor) -> Tensor:
    """DATM's SoftCrossEntropy."""
    return torch.sum(-F.log_softmax(inputs, dim=1) * F.softmax(target, dim=1)) / len(inputs)


def res(path: Path, experiments: list[list[Tensor]]) -> Path:
    torch.save({"data": experiments, "accs_all_exps": {"ConvNet": [np.mean([0.5, 0.6])]}}, path)
    return path


def mtt(folder: Path, images: Tensor, labels: Tensor, lr: Tensor | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(images, folder / "images_best.pt")
    torch.save(labels, folder / "labels_best.pt")
    if lr is not None:
        torch.save(lr, folder / "lr_best.pt")
    return folder


@pytest.mark.parametrize("kind", ["vico", "mtt", "datm"])
def test_res_and_images_best_train_as_their_evaluate_synset(kind: str, mnist: tuple, tmp_path: Path) -> None:
    """Weights to float tolerance where momentum goes on; with their new optimiser, the same score."""
    train, test = mnist
    x, y = few(train, 2, 0.1307, 0.3081)
    labels, lr = (y, 0.01) if kind != "datm" else (6 * F.one_hot(y, 10) + waves(20, 10).float(), 0.02)
    if kind == "vico":
        place = res(tmp_path / "res_DC_MNIST_ConvNet_2ipc.pt", [[waves(20, 1, 28, 28).float(), y], [x, y]])
    else:
        place = mtt(tmp_path / "run", x, labels, torch.tensor(lr) if kind == "datm" else None)
    data = foreign.read(place, train, epochs=12, augment="")
    assert data.network == {
        "name": "convnet",
        "arguments": {"padding": 3},
        "init": "random",
        "scheme": "uniform",
    }
    data = replace(
        data, network={**data.network, "arguments": {"padding": 3, "width": 32}}
    )  # a quarter: faster
    network, copied = fresh(data), TheirConvNet(1, 10, 32)
    for mine, copy_of in zip(network.parameters(), copied.parameters(), strict=True):
        copy_of.data.copy_(mine.data)
    weights, found = ours(data, test, network)
    criterion = soft_cross_entropy if kind == "datm" else F.cross_entropy
    forgetful = copy.deepcopy(copied)
    taught(copied, x, labels, 12, lr, criterion, forget=False)
    agree(
        copied,
        dict(zip((n for n, _ in copied.named_parameters()), weights.values(), strict=True)),
        1e-3,
        1e-4,
    )
    real = theirs(test, 0.1307, 0.3081)
    assert found == pytest.approx(scored(copied, *real), abs=0.0021)  # one image of 500
    if kind == "vico":
        taught(forgetful, x, labels, 12, lr, criterion, forget=True)
        assert found == pytest.approx(scored(forgetful, *real), abs=0.02)
    assert found > 0.4


def test_the_experiment_is_chosen_and_defaults_to_the_last(blobs: tuple, tmp_path: Path) -> None:
    y = torch.arange(3)
    images = [waves(3, *SHAPE, phase=k).float() for k in range(3)]
    place = res(tmp_path / "res_DSA_blobs.pt", [[x, y] for x in images])
    assert torch.equal(foreign.read(place, blobs[0]).items, images[2])
    assert torch.equal(foreign.read(place, blobs[0], experiment=1).items, images[1])
    with pytest.raises(SetError, match="holds 3 experiments: --experiment 3 is none of 0 … 2"):
        foreign.read(place, blobs[0], experiment=3)


def test_recipes_are_their_defaults(blobs: tuple, tmp_path: Path) -> None:
    y = torch.arange(3)
    x = waves(3, *SHAPE).float()
    dc = foreign.read(res(tmp_path / "res_DC_blobs.pt", [[x, y]]), blobs[0])
    dsa = foreign.read(res(tmp_path / "res_DSA_blobs.pt", [[x, y]]), blobs[0])
    assert (len(dc.lrs), dc.inner["augment"]) == (301, "")
    assert (len(dsa.lrs), dsa.inner["augment"]) == (1001, foreign.SIAMESE)
    assert (dc.inner["momentum"], dc.inner["weight_decay"]) == (0.9, 0.0005)
    assert dc.lrs[151] == pytest.approx(0.01)
    assert dc.lrs[152] == pytest.approx(0.001)
    assert any("no learning rate" in remark for remark in dsa.provenance["remarks"])
    own = foreign.read(
        tmp_path / "res_DSA_blobs.pt", blobs[0], epochs=4, lr=0.5, augment="flip", network="mlp"
    )
    assert (len(own.lrs), float(own.lrs[0]), own.inner["augment"]) == (5, 0.5, "flip")
    assert own.network["name"] == "mlp"
    words = "--dataset blobs.npz --epochs 4 --lr 0.5 --augment flip --network mlp"
    assert own.provenance["command"] == f"distill import res_DSA_blobs.pt {words}"
    assert dc.provenance["command"] == "distill import res_DC_blobs.pt --dataset blobs.npz"


def test_many_images_come_in_batches_each_as_often(blobs: tuple, tmp_path: Path) -> None:
    x, y = waves(300, *SHAPE).float(), torch.arange(300) % 3
    data = foreign.read(res(tmp_path / "res_DC_blobs.pt", [[x, y]]), blobs[0], epochs=63)
    assert data.schedule.shape == (75, 256)  # 64 epochs of 300
    assert data.schedule.flatten().bincount().tolist() == [64] * 300
    assert not torch.equal(data.schedule[0].sort().values, data.schedule[0])
    assert data.lrs.unique().tolist() == pytest.approx([0.001, 0.01])


def test_labels_that_are_shares_stay_and_logits_become_shares(blobs: tuple, tmp_path: Path) -> None:
    logits = waves(3, 3).float()
    for labels in (logits, logits.softmax(dim=1)):
        data = foreign.read(mtt(tmp_path / "run", X, labels), blobs[0])
        torch.testing.assert_close(data.labels, logits.softmax(dim=1))


def test_the_steps_of_results_pth_may_be_run_through_more_often(blobs: tuple, tmp_path: Path) -> None:
    torch.save(results(waves(6, *SHAPE).float(), torch.arange(6) % 3, 2, 2), tmp_path / "results.pth")
    once, twice = (foreign.read(tmp_path / "results.pth", blobs[0], epochs=e) for e in (None, 2))
    assert torch.equal(twice.schedule, once.schedule.repeat(2, 1))
    assert torch.equal(twice.lrs, once.lrs.repeat(2))
    assert once.inner == {"rule": "sgd", "loss": "soft-cross-entropy", "augment": ""}


@pytest.mark.parametrize(
    ("table", "name", "std"),
    [
        (foreign.WANG, "cifar-10", 0.247), (foreign.ZHAO, "cifar-10", 0.2023),
        (foreign.ZHAO, "data/CIFAR_10.npz", 0.2023), (foreign.ZHAO, "fashion-mnist", 0.353),
    ],
)  # fmt: skip
def test_each_project_normalises_by_constants_of_its_own(table: dict, name: str, std: float) -> None:
    found = foreign.constants(table, name, 1 if "mnist" in name else 3)
    assert found is not None
    assert found[1][0] == std
    assert foreign.constants(table, name, 7) is None
    assert foreign.constants(table, "own.npz", 3) is None


def test_whitening_is_kornias(blobs: tuple, tmp_path: Path) -> None:
    """ZCAWhitening(eps=0.1): U (S + eps)^-½ Uᵀ of the covariance over N - 1, of pixels in [0, 1]."""
    train, test = blobs
    x = train.items.double().flatten(1) / 255
    centred = x - x.mean(0)
    u, s, _ = torch.linalg.svd(centred.T @ centred / (len(x) - 1))
    expected = centred @ (u * (s + 0.1).rsqrt() @ u.T)
    place = mtt(tmp_path / "run", waves(3, *SHAPE).float(), torch.arange(3))
    data = foreign.read(place, train, zca=True)
    zca = data.source["zca"]
    found = (x.float() - zca["mean"]) @ zca["matrix"]
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)
    assert data.source["mean"] == [0.0]
    write = ["student", str(place), "--dataset", str(tmp_path / "blobs.npz"), "--seeds", "1", "--zca"]
    torch.save(results(found[:6].view(6, *SHAPE), train.labels[:6], 1, 30), tmp_path / "white.pth")
    write[1] = str(tmp_path / "white.pth")
    assert main([*write, "--network", "mlp", "--json"]) == 0


def test_the_commands_open_a_public_file_as_its_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The student on the file, and on the .pt that `distill import` makes of it, find the same accuracy."""
    data = str(write_npz(tmp_path / "blobs.npz"))
    train, _ = load(data)
    x, y = train.batch(torch.arange(6))
    torch.save(results(x, y, 2, 20), tmp_path / "results.pth")
    file = str(tmp_path / "results.pth")
    common = ["--dataset", data, "--network", "mlp"]
    assert main(["student", file, *common, "--seeds", "3", "--json"]) == 0
    said = capsys.readouterr()
    direct = json.loads(said.out.splitlines()[-1])["accuracy"]
    assert "results.pth: its weights are new ones" in said.err
    assert direct["mean"] > 0.5
    out = str(tmp_path / "set.pt")
    assert main(["import", file, *common, "--out", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == 40
    assert main(["student", out, "--seeds", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"] == direct
    set_, _, test = load_set_and_data(SetConfig(set=file, dataset=data))  # what compare and relabel open
    assert torch.equal(set_.items, DistilledSet.load(out).items)
    assert len(test) == 60
    assert main(["export", file]) == 2
    assert (
        "results.pth is a public format: `distill import` makes a set of it first" in capsys.readouterr().err
    )
    assert main(["import", file, *common, "--out", out]) == 2
    assert "set.pt is there already: --overwrite replaces it" in capsys.readouterr().err
    assert main(["import", file, *common, "--out", out, "--overwrite"]) == 0


WRONG = {
    "images .3, 8, 8., blobs.npz has .1, 8, 8.: give the --dataset": {
        "data": [[waves(3, 3, 8, 8).float(), Y]]
    },
    "holds the label 3: the 3 classes of blobs.npz are 0 … 2": {"data": [[X, Y + 1]]},
    "holds the label -1": {"data": [[X, Y - 1]]},
    r"labels \[2\] for 3 images": {"data": [[X, Y[:2]]]},
    r"labels \[\] for 3 images": {"data": [[X, Y[0]]]},
    r"labels \[3, 1\]: class numbers are 3 in a row": {"data": [[X, Y[:, None]]]},
    "data .*, not images": {"data": [[(X * 255).byte(), Y]]},
    "are single numbers, not images": [(LR[0], LR[0], LR)],
    r"labels \[3, 10\], blobs.npz has 3 classes": {"data": [[X, torch.zeros(3, 10)]]},
    "experiment -1 is not a pair": {"data": [[X]]},
    "cannot be read: it .* holds more than tensors": {"data": [[X.to_sparse(), Y]]},
    "cannot be read: it .* holds more than tensors and": {"data": [[X.to(torch.complex64), Y]]},
    "experiment -1 is not a pair of images and": {"data": [[X, Y == 0]]},
    "holds 0 experiments": {"data": []},
    "is none of the public formats": {"weights": X},
    r"data \[3, 8\], not images": [(X[:, 0, 0], Y, LR)],
    "step 2 has data .*, unlike step 1": [(X, Y, LR), (X[:2], Y[:2], LR)],
    "step 1 has 3 learning rates": [(X, Y, torch.ones(3))],
    "items must be float32 and finite": [(X * float("nan"), Y, LR)],
    "lrs must be float32 and finite": [(X, Y, LR * float("inf"))],
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_does_not_fit_is_one_sentence(sentence: str, blobs: tuple, tmp_path: Path) -> None:
    torch.save(WRONG[sentence], tmp_path / "file.pt")
    with pytest.raises(SetError, match=sentence):
        foreign.read(tmp_path / "file.pt", blobs[0])


def test_two_classes_have_another_network_there(tmp_path: Path) -> None:
    y = np.arange(300) % 2
    train, _ = load(str(write_npz(tmp_path / "two.npz", y_train=y, y_test=y[:60])))
    torch.save([(X[:2], torch.tensor([0, 1]), LR)], tmp_path / "results.pth")
    with pytest.raises(SetError, match="their networks have one output"):
        foreign.read(tmp_path / "results.pth", train)


def test_images_without_their_labels_or_to_look_at_are_one_sentence(blobs: tuple, tmp_path: Path) -> None:
    place = mtt(tmp_path / "run", X, Y, torch.ones(2))
    with pytest.raises(SetError, match="learning rate beside it is not a single number"):
        foreign.read(place, blobs[0])
    torch.save("none", place / "labels_best.pt")
    with pytest.raises(SetError, match="the labels beside it are a str"):
        foreign.read(place, blobs[0])
    (place / "labels_best.pt").unlink()
    with pytest.raises(SetError, match="labels_best.pt: no such file"):
        foreign.read(place, blobs[0])
    torch.save(X, place / "images_zca_100.pt")
    with pytest.raises(SetError, match="holds images to look at"):
        foreign.read(place / "images_zca_100.pt", blobs[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetError, match="holds no images_best.pt"):
        foreign.read(tmp_path / "empty", blobs[0])


@pytest.mark.parametrize("writer", [torch.save, lambda o, p: Path(p).write_bytes(pickle.dumps(o))])
@pytest.mark.parametrize("layout", [lambda t: [(X, Y, t)], lambda t: {"data": [[X, Y]], "accs_all_exps": t}])
def test_hidden_code_never_executes(
    writer: Callable, layout: Callable, blobs: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer(layout(Trap(tmp_path / "sprung")), tmp_path / "results.pth")
    with pytest.raises(SetError, match="holds more than tensors and plain values"):
        foreign.read(tmp_path / "results.pth", blobs[0])
    for verb in ("student", "import", "compare"):
        words = [verb, str(tmp_path / "results.pth"), "--dataset", str(tmp_path / "blobs.npz")]
        assert main([*words, "--out", str(tmp_path / "out")] if verb != "student" else words) == 2
        said = capsys.readouterr().err
        assert "more than tensors and plain values" in said
        assert said.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["blobs.npz", "results.pth"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_one_sentence(share: float, blobs: tuple, tmp_path: Path) -> None:
    torch.save([(X, Y, LR)], tmp_path / "results.pth")
    whole = (tmp_path / "results.pth").read_bytes()
    (tmp_path / "results.pth").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(SetError, match="truncated, damaged"):
        foreign.read(tmp_path / "results.pth", blobs[0])


BAD = {
    "does not say what it was made from: give --dataset": ["student"],
    "--dataset is missing: a public file does not say": ["import", "--out", "new.pt"],
    'no data set called "minst"; did you mean "mnist"': ["import", "--dataset", "minst", "--out", "new.pt"],
    "--epochs must be above 0, not 0": [
        "import",
        "--dataset",
        "blobs.npz",
        "--epochs",
        "0",
        "--out",
        "new.pt",
    ],
    "--lr must be above 0, not -1": ["import", "--dataset", "blobs.npz", "--lr", "-1", "--out", "new.pt"],
    'no network called "lenett"': [
        "import",
        "--dataset",
        "blobs.npz",
        "--network",
        "lenett",
        "--out",
        "new.pt",
    ],
    'no augmentation called "flap"': [
        "import",
        "--dataset",
        "blobs.npz",
        "--augment",
        "flap",
        "--out",
        "new.pt",
    ],
    "cannot be written": ["import", "--dataset", "blobs.npz", "--network", "mlp", "--out", "/proc/new.pt"],
    "images (1, 8, 8), mnist has (1, 28, 28)": ["import", "--dataset", "mnist", "--out", "new.pt"],
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_words_are_one_sentence(
    sentence: str,
    blobs: tuple,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save([(X, Y, LR)], "results.pth")
    verb, *words = BAD[sentence]
    assert main([verb, "results.pth", *words]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["blobs.npz", "results.pth"]
