"""Sets of a sentence encoder as a user makes them: every method, the files, students, predictions."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distill.commands.compare import main as compare
from distill.commands.export import main as export
from distill.commands.predict import main as predict
from distill.commands.student import main as student
from distill.commands.text import main as distil
from distill.data.adapters import OWN
from distill.kd.network_files import save_student
from distill.sets.distilled import DistilledSet
from distill.student import train
from distill.student.protocols import SetRecipe
from distill.student.protocols.ordinary import Adam
from distill.student.protocols.standard import DC
from tests.encoders import DIM, write_encoder
from tests.helpers import read_json_line, small_set, write_texts

QUICK = ["--n", "2", "--init", "random", "--test-networks", "3", "--baseline-networks", "2",
         "--full-data-networks", "1", "--outer-batch", "64", "--validation-networks", "1"]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The embeddings of these tests lie in a folder of their own."""
    patch = pytest.MonkeyPatch()
    place = tmp_path_factory.mktemp("cache")
    patch.setattr("distill.data.encoders.dataset.CACHE", place)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    write_texts(root)
    write_encoder(root / "encoder")
    return root


def list_arguments(folder: Path, *options: str) -> list[str]:
    files = ["--train", str(folder / "train.csv"), "--test", str(folder / "test.csv")]
    return [*files, "--encoder", str(folder / "encoder"), *QUICK, *options]


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """A run of a linear probe, 300 outer steps: Adam at 0.001 goes too short a way in 16 dimensions."""
    out = folder / "run"
    options = ("--rule", "momentum", "--outer-steps", "300", "--validate-every", "100", "--out", str(out))
    assert distil(list_arguments(folder, *options)) == 0
    return out


def test_two_embeddings_beat_random_real_ones(finished: Path) -> None:
    data = DistilledSet.load(finished / "set.pt")
    assert data.items.shape == (2, DIM)
    assert data.network["name"] == "linear"
    assert data.scores["accuracy"]["mean"] > 0.9
    assert data.scores["accuracy"]["mean"] > data.scores["baselines"]["random-real"]["mean"]


def test_the_file_says_which_encoder(finished: Path, folder: Path) -> None:
    text = DistilledSet.load(finished / "set.pt").text
    assert text is not None
    assert (text["encoder"], text["pooling"], text["normalised"]) == (str(folder / "encoder"), "mean", True)
    assert (text["dim"], text["numbers"], len(text["checksum"])) == (DIM, "float32", 64)
    assert len(text["nearest"]) == len(text["mixture"]) == 2


def test_what_was_learned_can_be_read(finished: Path) -> None:
    lines = (finished / "sentences.txt").read_text().splitlines()
    assert "   nearest real sentences, by cosine similarity:" in lines
    assert any(line.startswith("   as a sum of real sentences, which explains") for line in lines)
    page = (finished / "report.html").read_text()
    assert "A synthetic sentence is one learned embedding." in page
    assert '"nearest sentence"' in page.replace("\\u0022", '"')


@pytest.mark.parametrize("method", ["unroll", "frepo", "rcig", "dc", "dm", "rat-bptt", "mtt"])
def test_every_method_learns_embeddings(method: str, folder: Path, tmp_path: Path) -> None:
    options = ("--method", method, "--network", "mlp", "--width", "8", "--inner-steps", "4",
               "--outer-steps", "2", "--validate-every", "2", "--out", str(tmp_path / "run"))  # fmt: skip
    assert distil(list_arguments(folder, *options)) == 0
    data = DistilledSet.load(tmp_path / "run" / "set.pt")
    assert data.items.shape == (2, DIM)
    assert data.items.isfinite().all()


PROTOCOLS = {
    "recipe": [], "dc": ["--epochs", "20"], "dsa": ["--epochs", "20", "--augment", "none"],
    "frepo": ["--augment", "none"], "adam": [],
}  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_trains_on_embeddings(
    protocol: str, finished: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--protocol", protocol, "--seeds", "2", "--network", "mlp", "--json", *PROTOCOLS[protocol]]
    assert student([str(finished / "set.pt"), *options]) == 0
    assert read_json_line(capsys.readouterr().out)["accuracy"]["n"] == 2


def test_the_set_is_compared_with_coresets_of_embeddings(finished: Path, tmp_path: Path) -> None:
    options = ["--protocols", "adam", "--baselines", "random", "means", "herding", "k-center", "--seeds", "1"]
    assert compare([str(finished / "set.pt"), *options, "--out", str(tmp_path / "c.json")]) == 0
    rows = json.loads((tmp_path / "c.json").read_text())["rows"]
    assert {row["network"] for row in rows} == {"linear", "mlp"}
    assert {"random", "means", "herding", "k-center"} <= {row["items"] for row in rows}


def test_an_exported_set_names_its_encoder_without_its_place(finished: Path, tmp_path: Path) -> None:
    assert export([str(finished / "set.pt"), "--to", "safetensors", "--out", str(tmp_path / "e")]) == 0
    content = "".join(p.read_text(errors="replace") for p in (tmp_path / "e").iterdir())
    assert str(finished.parent) not in content


WRONG = {
    "has no effect beside --encoder": ["--vectors", "bundled"],
    "--synthetic-length has no effect beside --encoder": ["--synthetic-length", "5"],
    'the network "textcnn" is for sequences (length, dim), not for items 16': ["--network", "textcnn"],
    'no encoder numbers called "float16"': ["--encoder-numbers", "float16"],
    "is more than the 24 tokens that": ["--max-length", "100"],
}  # fmt: skip


@pytest.mark.parametrize("sentence", WRONG)
def test_what_is_wrong_is_one_sentence(
    sentence: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "run"
    assert distil(list_arguments(folder, *WRONG[sentence], "--out", str(out))) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not out.exists()


def test_an_encoder_that_changed_since_the_set_is_refused(
    folder: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = write_encoder(tmp_path / "other", seed=3)
    line = [str(finished / "set.pt"), "--encoder", other, "--seeds", "1"]
    assert student(line) == 2
    assert "whose checksum is" in capsys.readouterr().err
    assert student([str(finished / "set.pt"), "--vectors", "bundled"]) == 2
    assert "--vectors has no effect on" in capsys.readouterr().err


# predict


def test_new_texts_get_their_classes(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "p.csv"
    line = [
        str(finished / "set.pt"),
        "--text",
        "the owl is a owl",
        "the oak of oak",
        "--out",
        str(out),
        "--json",
    ]
    assert predict(line) == 0
    printed = capsys.readouterr().out
    rows = read_json_line(printed)["predictions"]
    assert [row["class"] for row in rows] == ["bird", "tree"]
    for row in rows:
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["probability"] == max(row["probabilities"].values())
    assert "linear, 5 students by recipe" in printed
    with out.open() as file:
        written = list(csv.DictReader(file))
    assert [row["class"] for row in written] == ["bird", "tree"]
    assert float(written[0]["bird"]) == pytest.approx(rows[0]["probability"], abs=1e-6)


def test_a_file_of_texts_is_predicted_as_students_measure_it(
    finished: Path, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    """The accuracy over the test file is what the set says of itself."""
    assert predict([str(finished / "set.pt"), "--csv", str(folder / "test.csv"), "--json"]) == 0
    rows = read_json_line(capsys.readouterr().out)["predictions"]
    with (folder / "test.csv").open() as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    share = sum(row["class"] == label for row, label in zip(rows, labels, strict=True)) / len(labels)
    assert share == pytest.approx(DistilledSet.load(finished / "set.pt").scores["accuracy"]["mean"], abs=0.05)


def test_a_saved_student_predicts_as_it_did(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = DistilledSet.load(finished / "set.pt")
    torch.save(train(data, seed=4).state_dict(), tmp_path / "student.pt")
    line = [str(finished / "set.pt"), "--text", "a jay", "--student", str(tmp_path / "student.pt"), "--json"]
    assert predict(line) == 0
    assert read_json_line(capsys.readouterr().out)["students"] == 1


@pytest.mark.parametrize(
    ("protocol", "scale"), [(SetRecipe(), 0.1), (Adam(steps=9), 0.1), (DC(epochs=9), 1.0)], ids=repr
)
def test_the_probabilities_of_a_saved_student_have_the_scale_of_its_training(
    protocol: Any, scale: float, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    inner = {"rule": "sgd", "momentum": 0.0, "loss": "squared-error", "softmax_scale": 0.1}
    data = small_set(inner=inner, labels=10 * (torch.eye(3) - 1 / 3))
    data.save(tmp_path / "s.pt")
    student, place = train(data, protocol=protocol), str(tmp_path / "student.pt")
    save_student(place, student, data, "mlp", protocol)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    line = [str(tmp_path / "s.pt"), "--images", str(tmp_path / "a.png"), "--student", place, "--json"]
    assert predict(line) == 0
    row = read_json_line(capsys.readouterr().out)["predictions"][0]
    black = torch.full((1, 1, 8, 8), -0.3 / 0.2)
    expected = (scale * student.logits(black)).softmax(dim=1)[0].tolist()
    assert list(row["probabilities"].values()) == pytest.approx(expected, abs=1e-4)


def test_image_files_are_resized_and_normalised_as_the_set_is(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = small_set()
    data.save(tmp_path / "s.pt")
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (
        predict([str(tmp_path / "s.pt"), "--images", str(tmp_path / "a.png"), "--seeds", "1", "--json"]) == 0
    )
    row = read_json_line(capsys.readouterr().out)["predictions"][0]
    x = (torch.from_numpy(pixels).float()[None, None] / 255 - 0.3) / 0.2
    expected = train(data, seed=0).logits(x).softmax(dim=1)[0]
    assert list(row["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_pictures_for_a_set_of_one_s_own_floats_are_doubted_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """As `distill student` does: nobody knows how these floats were made of pixels."""
    own = {**small_set().source, "name": OWN, "mean": [0.0], "std": [1.0]}
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    for source, count in ((own, 1), ({**own, "mean": [0.3]}, 0), (small_set().source, 0)):
        small_set(source=source).save(tmp_path / "s.pt")
        assert predict([str(tmp_path / "s.pt"), "--images", str(tmp_path / "a.png"), "--seeds", "1"]) == 0
        assert (
            capsys.readouterr().err.count("s.pt was learned from floats as they were: here pixels") == count
        )


def test_coloured_pictures_are_read_as_grey_where_the_set_is(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    small_set().save(tmp_path / "s.pt")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8) + np.uint8([200, 0, 0])).save(tmp_path / "a.png")
    assert predict([str(tmp_path / "s.pt"), "--images", str(tmp_path / "a.png"), "--seeds", "1"]) == 0
    assert "1 of 1 pictures have colours: read as grey ones" in capsys.readouterr().err


PREDICT_ERRORS = {
    "is of images: give --images FILE": ["s.pt", "--text", "owl"],
    "is of images: give --images": ["s.pt"],
    "is not a readable image": ["s.pt", "--images", "s.pt"],
    "no such file": ["set.pt", "--csv", "missing.csv"],
    'is of texts: give --text "…" or --csv FILE': ["set.pt", "--images", "s.pt"],
    "holds the weights of another network": ["set.pt", "--text", "owl", "--student", "other.pt"],
    "--text-column has no effect without --csv": ["set.pt", "--text", "owl", "--text-column", "x"],
    "would replace what is read": ["set.pt", "--text", "owl", "--out", "set.pt"],
}


@pytest.mark.parametrize("sentence", PREDICT_ERRORS)
def test_what_cannot_be_predicted_is_one_sentence(
    sentence: str,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    small_set().save("s.pt")
    DistilledSet.load(finished / "set.pt").save("set.pt")
    torch.save({"weight": torch.ones(2, 2)}, "other.pt")
    assert predict(PREDICT_ERRORS[sentence]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
