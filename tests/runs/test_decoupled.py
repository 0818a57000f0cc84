"""--method sre2l and `distill select` as a user runs them, with teachers and with what is none."""

import math
import shlex
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import Weights, WeightsEnum
from torchvision.transforms._presets import ImageClassification

from distill.__main__ import main
from distill.data.images import load
from distill.errors import UserError
from distill.inner.problem import Problem, Task
from distill.kd.network_files import save_network
from distill.methods.decoupled.recovery import SRe2L
from distill.networks.build import build_network
from distill.networks.composed import TorchvisionNetwork
from distill.outer.loop import OuterOptimizer, descend, initial_state
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs.decoupled.teacher import Renormalised, load_trained
from distill.sets.distilled import DistilledSet
from distill.sets.labels.top import TopLabels
from distill.student.evaluation import accuracy
from distill.student.loop import train_ordinary
from distill.student.protocols.ordinary import Adam
from distill.student.training import Student, initial_weights
from distill.student.views.schedule import ViewSchedule
from tests.helpers import small_set, write_npz
from tests.runs.test_resume import stop_at

NARROW = {"width": 8, "depth": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated images, a network with batch norm trained on them, and networks that are no teachers."""
    folder = tmp_path_factory.mktemp("decoupled")
    train, test = load(str(write_npz(folder / "blobs.npz")))
    network = build_network("convnet-batch", train.shape, 3, **NARROW)
    adam = lambda parameters: torch.optim.Adam(parameters, lr=0.01)  # noqa: E731
    student = train_ordinary(train, network, None, adam, 4, 50, stream("order"))
    assert accuracy(student, test) > 0.9
    architecture = {"name": "convnet-batch", **NARROW}
    save_network(str(folder / "teacher.pt"), architecture, student.network, train.classes)
    four = build_network("convnet-batch", train.shape, 4, **NARROW)
    save_network(str(folder / "four.pt"), architecture, four, list("abcd"))
    large = build_network("convnet-batch", (1, 16, 16), 3, **NARROW)
    save_network(str(folder / "large.pt"), architecture, large, train.classes)
    plain = build_network("convnet", train.shape, 3, **NARROW)
    trained = train_ordinary(train, plain, None, adam, 4, 50, stream("plain"))
    save_network(str(folder / "plain.pt"), {"name": "convnet", **NARROW}, trained.network, train.classes)
    (folder / "text.pt").write_text("no tensors")
    torch.save(TorchvisionNetwork("resnet18", 3).body.state_dict(), folder / "resnet18.pth")
    return folder


def recover(folder: Path, out: Path, *options: str) -> int:
    line = ["--dataset", folder / "blobs.npz", "--n", "6", "--network", "mlp", "--init", "random"]
    line += ["--width", "16", "--outer-steps", "8", "--validate-every", "4", "--outer-batch", "4"]
    line += ["--test-networks", "1", "--full-data-networks", "0", "--dc-networks", "0", "--inner-steps", "4"]
    line += ["--validation-networks", "1", "--method", "sre2l"]
    return main(["image", *map(str, line), "--out", str(out), *options])


def test_a_stopped_recovery_goes_on_bit_by_bit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = tmp_path / "teacher.pt"
    teacher.write_bytes((folder / "teacher.pt").read_bytes())
    assert recover(folder, tmp_path / "whole", "--teacher", str(teacher)) == 0
    with monkeypatch.context() as patch:
        stop_at(5, patch)
        assert recover(folder, tmp_path / "stopped", "--teacher", str(teacher)) != 0
    network = build_network("convnet-batch", (1, 8, 8), 3, **NARROW)
    save_network(str(teacher), {"name": "convnet-batch", **NARROW}, network)
    assert main(["image", "--resume", str(tmp_path / "stopped")]) == 2
    assert "holds other weights than when the run began" in capsys.readouterr().err
    teacher.write_bytes((folder / "teacher.pt").read_bytes())
    assert main(["image", "--resume", str(tmp_path / "stopped")]) == 0
    whole, stopped = (DistilledSet.load(tmp_path / name / "set.pt") for name in ("whole", "stopped"))
    assert torch.equal(whole.items, stopped.items)
    assert str(tmp_path) not in str(whole.provenance)


def test_recovered_items_teach_what_their_noise_does_not(folder: Path) -> None:
    """Three students each, trained on six items until their loss is small."""
    train, test = load(str(folder / "blobs.npz"))
    items, labels = train.draw_noise(6, stream("start")), start_labels(6, 3, "soft")
    start = Synthetic(items, labels, start_lrs(0.1, 2, None), cyclic_schedule(6, 6, 2))
    problem, x = Problem(build_network("mlp", train.shape, 3, width=16)), train.batch(slice(0, 2))[0]
    method = SRe2L(
        network=load_trained(str(folder / "teacher.pt"), train, "cpu"), bn_weight=1.0, crop_area=1.0
    )
    objective = method.objective(problem, lambda k: [Task((), x, train.labels[:2], stream("task", k))])
    outer = OuterOptimizer(
        lr={"items": 0.25, "labels": 0.1, "lrs": 0.1}, average_decay=0.9, clip_norm=math.inf
    )
    *_, last = islice(descend(start, objective, outer, initial_state(start, outer), lambda k: k / 80), 80)

    def score(items: Tensor) -> float:
        data = small_set(6, items=items, labels=labels, schedule=torch.arange(6)[None], lrs=torch.ones(1))
        weights = initial_weights(data, problem.network, "random", 3)
        protocol = Adam(steps=60, lr=0.005, augment="none")
        students = [protocol.train(data, problem.network, w, stream("train")) for w in weights]
        return sum(accuracy(student, test) for student in students) / 3

    assert score(last.average["items"]) > score(items) + 0.15


@pytest.mark.parametrize(
    ("teacher", "sentence"),
    [
        (None, "--teacher FILE is missing: --method sre2l recovers items"),
        ("nothing.pt", "nothing.pt"),
        ("text.pt", "is not a file of weights"),
        ("four.pt", "differ in their classes"),
        ("large.pt", "for items 1×8×8 of 3 classes"),
        ("plain.pt", "the teacher has no batch norm"),
        ("torchvision:resnet", 'no model in torchvision called "resnet"'),
        ("torchvision:resnet18:IMAGENET", "no weights called"),
        ("torchvision:alexnet:alexnet.pth", "alexnet.pth"),
        ("torchvision:resnet34:resnet18.pth", "does not fit"),
    ],
)
def test_what_is_no_teacher_is_one_sentence_before_anything_is_learned(
    folder: Path, tmp_path: Path, teacher: str | None, sentence: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("distill.runs.job.open_folder", lambda *_: pytest.fail("a run was begun"))
    monkeypatch.chdir(folder)
    assert recover(folder, tmp_path / "run", *(["--teacher", teacher] if teacher else [])) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_fewer_items_than_classes_and_fixed_items_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = ("--teacher", str(folder / "teacher.pt"))
    assert recover(folder, tmp_path / "run", *teacher, "--fixed-items", "--labels", "soft") == 2
    assert "leaves nothing to learn" in capsys.readouterr().err
    assert recover(folder, tmp_path / "run", *teacher, "--n", "2") == 2
    assert "--n 2 is below the 3 classes" in capsys.readouterr().err


def test_a_teacher_of_torchvision_from_a_file(folder: Path) -> None:
    train = load(str(folder / "blobs.npz"))[0]
    network = load_trained(f"torchvision:resnet18:{folder / 'resnet18.pth'}", train, "cpu")
    state = torch.load(folder / "resnet18.pth", weights_only=True)
    assert torch.equal(network.state_dict()["body.fc.weight"], state["fc.weight"])
    assert network(train.batch(slice(0, 2))[0]).shape == (2, 3)


def test_torchvisions_own_weights_get_pixels_as_they_were_trained_on(folder: Path) -> None:
    train = load(str(folder / "blobs.npz"))[0]
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
    x = train.batch(slice(0, 3))[0]
    seen = Renormalised(torch.nn.Identity(), train, mean, std)(x)
    pixels = (x * train.std[0] + train.mean[0]).expand(-1, 3, -1, -1)
    expected = (pixels - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    torch.testing.assert_close(seen, expected)


NAMES = ["owl", "ant", "bee"]


@pytest.fixture
def published(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of weights that torchvision publishes, by its digest, for three classes; its name fetches it."""
    file = folder / "renamed.pth"
    file.write_bytes((folder / "resnet18.pth").read_bytes())
    url = f"https://models/resnet18-{sha256(file.read_bytes()).hexdigest()[:8]}.pth"
    weights = Weights(
        url=url, transforms=partial(ImageClassification, crop_size=8), meta={"categories": NAMES}
    )
    table = WeightsEnum("Table", {"DEFAULT": weights})
    monkeypatch.setattr("torchvision.models.get_model_weights", lambda _: table)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: torch.load(file))
    return file


def test_a_published_file_is_the_teacher_that_its_name_fetches(folder: Path, published: Path) -> None:
    """With torchvision's mean and std, and the classes in the data's order."""
    train = replace(load(str(folder / "blobs.npz"))[0], classes=("ant", "bee", "owl"))
    x = train.batch(slice(0, 4))[0]
    fetched = load_trained("torchvision:resnet18", train, "cpu")(x)
    network = TorchvisionNetwork("resnet18", 3).eval()
    network.body.load_state_dict(torch.load(published))
    seen = Renormalised(network, train, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(fetched, seen(x)[:, [1, 2, 0]])
    assert torch.equal(load_trained(f"torchvision:resnet18:{published}", train, "cpu")(x), fetched)


def test_names_that_match_in_part_are_refused_and_those_of_none_are_taken_in_order(
    folder: Path, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = load(str(folder / "blobs.npz"))[0]
    with pytest.raises(
        UserError, match=r"torchvision:resnet18 differ in their classes \(cat, owl\): give data"
    ):
        load_trained("torchvision:resnet18", replace(train, classes=("ant", "bee", "cat")), "cpu")
    numbers = replace(train, classes=("n01", "n02", "n03"))
    network = load_trained("torchvision:resnet18", numbers, "cpu")
    assert isinstance(network, Renormalised)
    assert "none of its class names is in blobs.npz: taken in order" in capsys.readouterr().err
    load_trained("torchvision:resnet18", train, "cpu")  # classes that are just numbered
    assert capsys.readouterr().err == ""


def test_another_file_of_torchvision_says_what_it_is_taken_for_and_has_its_own_classes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, file = (
        replace(load(str(folder / "blobs.npz"))[0], classes=("ant", "bee", "owl")),
        tmp_path / "t.pt",
    )
    x, word = train.batch(slice(0, 4))[0], f"torchvision:resnet18:{file}"
    file.write_bytes((folder / "resnet18.pth").read_bytes())
    logits = load_trained(word, train, "cpu")(x)
    assert "not as torchvision publishes it: it gets images by the mean and std" in capsys.readouterr().err
    network = TorchvisionNetwork("resnet18", 3)
    network.body.load_state_dict(torch.load(file))
    save_network(str(file), {"name": "torchvision/resnet18"}, network, NAMES)
    torch.testing.assert_close(load_trained(word, train, "cpu")(x), logits[:, [1, 2, 0]])


def test_weights_that_cannot_be_fetched_are_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no connection")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    train = load(str(folder / "blobs.npz"))[0]
    with pytest.raises(UserError, match=r"cannot be fetched \(OSError: no connection\): give a file"):
        load_trained("torchvision:resnet18", train, "cpu")


def select(folder: Path, out: Path, *options: str) -> int:
    arguments = [str(folder / "blobs.npz"), "--network", "mlp", "--width", "16", "--out", str(out), *options]
    return main(["select", *arguments])


def test_rdeds_crops_are_exported_with_the_teachers_labels(folder: Path, tmp_path: Path) -> None:
    teacher = str(folder / "teacher.pt")
    options = ("--coreset", "rded", "--ipc", "4", "--teacher", teacher, "--views", "3", "--tau", "2")
    assert select(folder, tmp_path / "set.pt", *options, "--view-augment", "crop") == 0
    data, train = DistilledSet.load(tmp_path / "set.pt"), load(str(folder / "blobs.npz"))[0]
    student = Student(load_trained(teacher, train, "cpu"))
    torch.testing.assert_close(data.labels, (student.logits(data.items) / 2).softmax(dim=1))
    assert (data.labels.argmax(dim=1).bincount() == 4).all()
    view = ViewSchedule("crop").view(data.items, 2)
    assert data.view_labels is not None
    assert torch.equal(data.view_labels[2], (student.logits(view) / 2).softmax(dim=1))
    assert data.provenance["command"].startswith("distill select blobs.npz --coreset rded --seed 0 --ipc 4")
    assert str(folder) not in str(data.provenance)
    assert main(["student", str(tmp_path / "set.pt"), "--protocol", "fkd", "--seeds", "1"]) == 0


def test_the_largest_values_of_labels_per_view_are_stored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--n", "6", "--teacher", str(folder / "teacher.pt"), "--views", "3")
    assert select(folder, tmp_path / "whole.pt", *options) == 0
    assert select(folder, tmp_path / "top.pt", *options, "--top", "1") == 0
    assert "labels of 3 views, the largest of 3 values: 54 bytes instead of 216" in capsys.readouterr().out
    whole, top = (DistilledSet.load(tmp_path / f"{name}.pt") for name in ("whole", "top"))
    assert isinstance(whole.view_labels, Tensor)
    assert isinstance(top.view_labels, TopLabels)
    largest = whole.view_labels.max(dim=2, keepdim=True)
    torch.testing.assert_close(top.view_labels.values, largest.values.half())
    assert torch.equal(top.view_labels.classes, largest.indices.byte())
    assert top.provenance["command"].endswith("--views 3 --top 1 --tau 1")


def test_the_command_in_a_selected_set_makes_it_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--coreset", "rded", "--seed", "3", "--n", "6", "--teacher", str(folder / "teacher.pt"))
    views = ("--views", "3", "--view-augment", "crop-flip", "--view-seed", "7", "--tau", "1.2345678")
    assert select(folder, tmp_path / "first.pt", *options, *views, "--image-size", "8") == 0
    first = DistilledSet.load(tmp_path / "first.pt")
    command = first.provenance["command"]
    for words in ("--network mlp --width 16", "--view-augment crop-flip --view-seed 7", "--image-size 8"):
        assert words in command
    assert "--out" not in command
    monkeypatch.chdir(folder)
    assert main([*shlex.split(command)[1:], "--out", str(tmp_path / "second.pt")]) == 0
    second = DistilledSet.load(tmp_path / "second.pt")
    for name in ("items", "labels", "view_labels", "schedule", "lrs"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert (first.network, first.inner, first.views) == (second.network, second.inner, second.views)
    assert second.provenance["command"] == command


def test_a_teacher_of_selected_images_needs_no_batch_norm(folder: Path, tmp_path: Path) -> None:
    teacher = str(folder / "plain.pt")
    assert select(folder, tmp_path / "set.pt", "--n", "6", "--teacher", teacher) == 0
    data, train = DistilledSet.load(tmp_path / "set.pt"), load(str(folder / "blobs.npz"))[0]
    student = Student(load_trained(teacher, train, "cpu"))
    torch.testing.assert_close(data.labels, student.logits(data.items).softmax(dim=1))


@pytest.mark.parametrize("coreset", ["random", "means", "herding", "k-center"])
def test_every_coreset_is_a_set_with_hard_labels(folder: Path, tmp_path: Path, coreset: str) -> None:
    options = ["--teacher", str(folder / "teacher.pt"), "--labels", "hard"]
    teacher = options if coreset in ("herding", "k-center") else []
    assert select(folder, tmp_path / "set.pt", "--coreset", coreset, "--n", "6", *teacher) == 0
    data = DistilledSet.load(tmp_path / "set.pt")
    assert data.items.shape == (6, 1, 8, 8)
    assert sorted(data.labels.argmax(dim=1).tolist()) == [0, 0, 1, 1, 2, 2]
    assert set(data.labels.flatten().tolist()) == {0.0, 1.0}
    assert "--tau" not in data.provenance["command"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--coreset", "rded"], "--coreset rded chooses by a network that was trained"),
        (["--labels", "teacher"], "--labels teacher stores its soft labels"),
        (["--views", "3"], "--teacher FILE is missing: --views stores its soft labels"),
        (["--views", "3", "--labels", "hard", "--teacher", "teacher.pt"], "--views has no effect with"),
        (
            ["--labels", "hard", "--teacher", "teacher.pt", "--tau", "4"],
            "--tau has no effect without --labels",
        ),
        (["--view-augment", "crop"], "--view-augment has no effect without --views"),
        (["--teacher", "four.pt"], "differ in their classes"),
        (["--teacher", "teacher.pt", "--views", "2", "--view-augment", "zom"], 'did you mean "zoom"'),
        (["--teacher", "teacher.pt", "--views", "2", "--top", "4"], "--top must be auto or a whole number"),
        (["--coreset", "rdd"], 'no coreset called "rdd"; did you mean "rded"'),
        (["--out", "blobs.npz", "--overwrite"], "would replace what is read"),
        (["--out", "teacher.pt"], "is there already"),
    ],
)
def test_a_wrong_selection_is_one_sentence(
    folder: Path, tmp_path: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    assert select(folder, tmp_path / "set.pt", *options) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "set.pt").exists()
