"""A resumed run goes on with the data that it was started with, or says how they have changed."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.commands.image import main as distil
from distill.commands.text import main as distil_texts
from distill.data.dataset import Dataset
from distill.runs import result
from distill.runs.files.fingerprint import KEY, describe_data, is_same
from distill.runs.measure import Measurement
from distill.sets.distilled import DistilledSet
from distill.student.scores import Report
from tests.helpers import write_npz, write_texts

SMALL = ["--network", "mlp", "--width", "8", "--n", "3", "--inner-steps", "2", "--outer-batch", "16",
         "--held-out", "10", "--outer-steps", "4", "--validate-every", "2"]  # fmt: skip


@pytest.fixture(autouse=True)
def without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that end with the set: its scores and pictures take longest, and other tests cover them."""
    monkeypatch.setattr(result, "measure", lambda *_: Measurement([Report("nothing", (0.5,))], {}))
    for name in ("save_pictures", "save_curve", "write_page", "print_verdict"):
        monkeypatch.setattr(result, name, lambda *_: None)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run on blobs.npz beside it."""
    data = write_npz(tmp_path / "blobs.npz", train=120, test=30)
    assert distil(["--dataset", str(data), *SMALL, "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def change_arrays(path: Path, change: str) -> None:
    """Other data under the same name."""
    arrays = dict(np.load(path))
    if change == "labels":
        arrays["y_train"][7] = (arrays["y_train"][7] + 1) % 3
    elif change == "test labels":
        arrays["y_test"] = (arrays["y_test"] + 1) % 3
    elif change == "size":
        arrays |= {name: arrays[name].repeat(2, 1).repeat(2, 2) for name in ("x_train", "x_test")}
    elif change == "number":
        arrays |= {"x_train": arrays["x_train"][:-3], "y_train": arrays["y_train"][:-3]}
    elif change == "items":
        arrays["x_train"][60, 3, 3] ^= 1
    elif change == "floats":
        arrays |= {name: np.float32(arrays[name][::-1] / 300) for name in ("x_train", "x_test")}
    elif change == "classes":
        arrays["classes"] = np.array(["a", "b", "c"])
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("labels", "the labels of its train items have changed"),
        ("test labels", "the labels of its test items have changed"),
        ("size", "the size of its train items was 1, 8, 8 and is 1, 16, 16"),
        ("number", "the number of its train items was 120 and is 117"),
        ("items", "the values of its train items have changed"),
        ("floats", "the values of its train items have changed"),
        ("classes", "the classes of its train items was 0, 1, 2 and is a, b, c"),
    ],
)
def test_a_run_whose_data_changed_is_not_resumed(
    run: Path, change: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    change_arrays(run.parent / "blobs.npz", change)
    assert distil(["--resume", str(run)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error == (
        f"distill: {run} was started with other data: {sentence}; give the same data, or start a new run"
    )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_run_is_resumed_with_the_same_data_under_another_date(run: Path) -> None:
    first = DistilledSet.load(run / "set.pt")
    shutil.copy(run.parent / "blobs.npz", run.parent / "copy.npz")
    shutil.move(run.parent / "copy.npz", run.parent / "blobs.npz")
    assert distil(["--resume", str(run)]) == 0
    assert torch.equal(DistilledSet.load(run / "set.pt").items, first.items)


def test_a_run_from_before_fingerprints_is_resumed(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    assert config.pop(KEY)["train"]["number"] == 120
    (run / "config.json").write_text(json.dumps(config))
    assert distil(["--resume", str(run)]) == 0


@pytest.mark.parametrize("value", [1, {}, {"train": {}, "test": []}, {"train": {}, "test": {}}])
def test_a_damaged_fingerprint_is_one_sentence(
    run: Path, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {KEY: value}))
    assert distil(["--resume", str(run)]) == 2
    assert "is damaged" in (error := capsys.readouterr().err) or "started with other data" in error


def test_texts_and_word_vectors_that_changed_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_texts(tmp_path, 60, 20)
    options = [*files, "--n", "2", "--init", "fixed", "--outer-steps", "1", "--validate-every", "1"]
    assert distil_texts([*options, "--network", "average", "--out", str(tmp_path / "run")]) == 0
    vectors = (tmp_path / "vectors.txt").read_text()
    (tmp_path / "vectors.txt").write_text(vectors.rstrip().rpartition(" ")[0] + " 3.0\n")
    assert distil_texts(["--resume", str(tmp_path / "run")]) == 2
    assert "the word vectors of its train items have changed" in capsys.readouterr().err
    (tmp_path / "vectors.txt").write_text(vectors)
    texts = (tmp_path / "train.csv").read_text()
    (tmp_path / "train.csv").write_text(texts.replace("owl", "jay"))
    assert distil_texts(["--resume", str(tmp_path / "run")]) == 2
    assert "the values of its train items have changed" in capsys.readouterr().err


def make_data(count: int, *item: int) -> Dataset:
    x = torch.rand(count, *item, generator=torch.Generator().manual_seed(0))
    return Dataset("own", x, torch.arange(count) % 2, ("a", "b"), (0.0,), (1.0,))


def test_sums_bear_the_last_digits_of_another_machine_and_no_more() -> None:
    data = make_data(3000, 1, 8, 8)
    facts = describe_data(data, data)["train"]["items"]
    near, far = (describe_data(replace(data, items=x), data)["train"]["items"]
                 for x in (data.items * (1 + 1e-6), data.items.flip(3)))  # fmt: skip
    assert is_same(facts, near)
    assert not is_same(facts, far)


def test_60000_images_take_less_than_a_fiftieth_of_a_second() -> None:
    data = replace(make_data(60_000, 1, 1, 1), items=torch.zeros(60_000, 1, 28, 28, dtype=torch.uint8))
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        describe_data(data, data)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.04  # both splits


def test_large_images_are_sampled_by_their_values() -> None:
    data = replace(make_data(40, 1, 1, 1), items=torch.zeros(40, 3, 1024, 1024, dtype=torch.uint8))
    changed = data.items.clone()
    changed[39, 0, 0, 0] = 1
    assert describe_data(data, data) != describe_data(replace(data, items=changed), data)
