"""Classes by name at every door of the command line: the same score for the same classes in another order."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from distill.__main__ import main as run
from distill.commands.adapt import main as adapt
from distill.commands.compare import main as compare
from distill.commands.image import main as distil
from distill.commands.relabel import main as relabel
from distill.commands.student import main as study
from distill.commands.teach import main as teach
from distill.data.images import load
from distill.kd.network_files import save_network
from distill.runs import result
from distill.runs.measure import Measurement
from distill.sets.distilled import DistilledSet
from distill.sets.storage import write_tensors
from distill.student.scores import Report
from distill.student.training import build_problem, initial_weights, replay
from tests.helpers import read_json_line, small_set

ANIMALS = ("ant", "bee", "cat", "dog")
MIXED = ("dog", "cat", "ant", "bee")


def write_animals(path: Path, classes: tuple[str, ...] | None, order: tuple[str, ...] = ANIMALS) -> Path:
    """Images of four animals, a quarter of each bright; labels by the order of the classes."""
    random, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 80), ("test", 40)):
        kinds = np.arange(count) % 4
        images = random.integers(0, 60, (count, 8, 8), dtype=np.uint8)
        for image, kind in zip(images, kinds, strict=True):
            image[:, 2 * kind : 2 * kind + 2] += 150
        arrays[f"x_{split}"] = images
        arrays[f"y_{split}"] = np.array([order.index(ANIMALS[kind]) for kind in kinds])
    np.savez(path, **arrays, **({} if classes is None else {"classes": np.array(classes)}))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data in four orders and with other classes, and a set of the first that is right for every item."""
    root = tmp_path_factory.mktemp("classes")
    write_animals(root / "same.npz", ANIMALS)
    write_animals(root / "mixed.npz", MIXED, MIXED)
    write_animals(root / "unnamed.npz", None)
    write_animals(root / "other.npz", ("ant", "bee", "cat", "fox"))
    train, _ = load(str(root / "same.npz"))
    source = {"name": str(root / "same.npz"), "classes": list(ANIMALS), "mean": list(train.mean)}
    data = small_set(
        items=train.batch(slice(0, 4))[0], labels=torch.eye(4), schedule=torch.arange(4).repeat(30, 1),
        lrs=torch.full((30,), 0.1), source={**source, "std": list(train.std)},
    )  # fmt: skip
    data.save(root / "set.pt")
    return root


@pytest.fixture
def without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end with the set: its scores and pictures take longest, and other tests cover them."""
    monkeypatch.setattr(result, "measure", lambda *_: Measurement([Report("nothing", (0.5,))], {}))
    for name in ("save_pictures", "save_curve", "write_page", "print_verdict"):
        monkeypatch.setattr(result, name, lambda *_: None)


SAME_CLASSES = ["same.npz", "mixed.npz", "unnamed.npz"]


@pytest.mark.parametrize("name", SAME_CLASSES)
def test_a_set_is_measured_on_the_same_classes_in_another_order(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [str(folder / "set.pt"), "--dataset", str(folder / name), "--json", "--seeds", "2"]
    assert study(options) == 0
    assert read_json_line(capsys.readouterr().out)["accuracy"]["mean"] == 1.0


@pytest.mark.parametrize("name", SAME_CLASSES)
def test_compare_matches_classes_by_name(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compared, which takes long, is given real data whose labels are the set's."""
    splits = []
    monkeypatch.setattr(
        "distill.student.comparison.grid.compare_items", lambda _, *data: splits.extend(data[:2]) or []
    )
    monkeypatch.setattr("distill.student.comparison.table.format_table", lambda *_: "")
    options = [str(folder / "set.pt"), "--dataset", str(folder / name), "--out", str(tmp_path / "c.json")]
    assert compare([*options, "--networks", "mlp"]) == 0
    assert [split.classes for split in splits] == [ANIMALS, ANIMALS]
    assert [split.labels.tolist() for split in splits] == [[0, 1, 2, 3] * 20, [0, 1, 2, 3] * 10]


@pytest.mark.parametrize("name", SAME_CLASSES)
def test_relabel_matches_classes_by_name(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [str(folder / "set.pt"), "--dataset", str(folder / name), "--json", "--seeds", "1"]
    teacher = ["--teacher", str(save_teacher(folder, tmp_path / "teacher.pt"))]
    assert relabel([*options, *teacher, "--out", str(tmp_path / "r.pt")]) == 0
    assert read_json_line(capsys.readouterr().out)["set_labels"]["mean"] == 1.0


def test_a_teacher_taught_on_another_order_relabels_by_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file names its classes; unmatched, every label would be wrong."""
    stage = {"turns": {"teacher": [{"loss": "cross-entropy"}]}, "epochs": 30, "lr": 0.01}
    recipe = {
        "data": {"name": str(folder / "mixed.npz")},
        "networks": {"teacher": {"name": "mlp", "width": 16}},
        "stages": [stage],
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert teach([str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out")]) == 0
    teacher, new = tmp_path / "out" / "teacher.pt", tmp_path / "new.pt"
    options = [str(folder / "set.pt"), "--seeds", "2", "--teacher", str(teacher), "--json"]
    assert relabel([*options, "--out", str(new)]) == 0
    assert read_json_line(capsys.readouterr().out)["teacher_labels"]["mean"] == 1.0
    assert DistilledSet.load(new).labels.argmax(1).tolist() == [0, 1, 2, 3]
    assert study([*options, "--share", "1"]) == 0
    assert read_json_line(capsys.readouterr().out)["with_teacher"]["mean"] == 1.0
    recipe |= {"data": {"name": str(folder / "same.npz")}}
    recipe["networks"] = {"teacher": {"name": "mlp", "width": 16, "checkpoint": str(teacher)}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert teach([str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "again")]) == 2
    assert (
        f"{teacher} has the classes of same.npz in another order: train it on same.npz"
        in capsys.readouterr().err
    )


def test_a_saved_student_predicts_by_the_classes_of_its_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--save names the classes; a file that names them in another order is reordered, other ones refused."""
    data, file, picture = str(folder / "set.pt"), tmp_path / "net.pt", tmp_path / "dog.png"
    Image.fromarray(np.load(folder / "same.npz")["x_test"][3]).save(picture)
    line = ["predict", data, "--images", str(picture), "--student", str(file), "--json"]
    assert study([data, "--seeds", "1", "--save", str(file)]) == 0
    capsys.readouterr()
    content = torch.load(file, weights_only=True)
    assert content["classes"] == list(ANIMALS)
    assert run(line) == 0
    assert read_json_line(capsys.readouterr().out)["predictions"][0]["class"] == "dog"
    places = [ANIMALS.index(name) for name in MIXED]
    last = [name for name, w in content["state"].items() if len(w) == 4]
    content["state"] |= {name: content["state"][name][places] for name in last}
    write_tensors(file, content | {"classes": list(MIXED)})
    assert run(line) == 0
    assert read_json_line(capsys.readouterr().out)["predictions"][0]["class"] == "dog"
    write_tensors(file, content | {"classes": ["ant", "bee", "cat", "fox"]})
    assert run(line) == 2
    assert "differ in their classes (" in capsys.readouterr().err


def save_teacher(folder: Path, path: Path) -> Path:
    """A student of the set as a file."""
    data = DistilledSet.load(folder / "set.pt")
    problem = build_problem(data)
    student = replay(data, problem, initial_weights(data, problem.network, "random", 1)[0])
    save_network(str(path), {"name": "mlp", "width": 16, "depth": None}, student.network)
    return path


@pytest.mark.parametrize("name", SAME_CLASSES)
def test_a_recipe_matches_the_classes_of_its_set_by_name(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = {"turns": {"student": [{"loss": "cross-entropy"}]}, "items": "set", "epochs": 60, "lr": 0.01}
    recipe = {
        "data": {"name": str(folder / name), "set": str(folder / "set.pt")},
        "networks": {"student": {"name": "mlp", "width": 16}},
        "stages": [stage],
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert teach([str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert read_json_line(capsys.readouterr().out)["networks"]["student"]["accuracy"] == 1.0


SMALL = ["--n", "4", "--network", "mlp", "--width", "16", "--init", "random", "--outer-steps", "1",
         "--validate-every", "1", "--held-out", "8", "--test-networks", "1"]  # fmt: skip


@pytest.mark.parametrize("name", SAME_CLASSES)
def test_a_start_has_its_labels_in_the_order_of_the_data(
    folder: Path, tmp_path: Path, name: str, without_measuring: None
) -> None:
    start = ["--start", str(folder / "set.pt"), "--out", str(tmp_path / "run")]
    assert distil(["--dataset", str(folder / name), *SMALL, *start]) == 0
    order = MIXED if name == "mixed.npz" else ANIMALS
    labels = DistilledSet.load(tmp_path / "run" / "set.pt").labels
    assert labels.argmax(1).tolist() == [order.index(animal) for animal in ANIMALS]


def test_a_source_and_a_target_in_another_order_are_adapted_by_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.runs.measure.full_data_accuracy", lambda *_: 1.0)
    pair = ["--source", str(folder / "same.npz"), "--target", str(folder / "mixed.npz")]
    options = ["--network-steps", "60", "--out", str(tmp_path / "run"), "--json"]
    assert adapt([*pair, *SMALL, *options]) == 0
    assert read_json_line(capsys.readouterr().out)["baselines"]["before"]["mean"] == 1.0


def test_other_classes_are_refused_at_every_door(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, data = str(folder / "other.npz"), str(folder / "set.pt")
    recipe = {
        "data": {"name": other, "set": data},
        "networks": {"student": {"name": "mlp"}},
        "stages": [{"turns": {"student": [{"loss": "cross-entropy"}]}, "items": "set"}],
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    out = ["--out", str(tmp_path / "run")]
    doors = {
        study: [data, "--dataset", other],
        compare: [data, "--dataset", other, "--out", str(tmp_path / "c.json")],
        relabel: [data, "--dataset", other, "--teacher", "t.pt", "--out", str(tmp_path / "r.pt")],
        teach: [str(tmp_path / "recipe.yaml"), *out],
        distil: ["--dataset", other, *SMALL, "--start", data, *out],
        adapt: ["--source", str(folder / "same.npz"), "--target", other, *SMALL, *out],
    }
    for door, options in doors.items():
        assert door(options) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert "differ in their classes (" in lines[-1]
        assert "dog" in lines[-1]
        assert "fox" in lines[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
