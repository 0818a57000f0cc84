"""What exports hold beside the whole set: rows for the hub, tensors and PNGs for DD-Ranking."""

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_dataset
from PIL import Image

from distill.__main__ import main
from distill.data.whiten import to_pixels
from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.folders import write_folder
from distill.sets.formats import WRITERS, ddranking, huggingface, safetensors
from distill.sets.formats.base import load_set
from tests.helpers import read_json_line, small_set, waves, write_npz
from tests.sets.samples import is_equal_set, whitened_set

TEXT = {
    "tokenizer": "split", "vectors": "v", "checksum": "c", "unknown": "zeros", "dim": 4, "length": 2,
    "max_length": 9, "files": [], "nearest": [["an", "owl"], ["the", "oak"], ["a", "jay"]],
}  # fmt: skip


def text_set() -> DistilledSet:
    network = {"name": "average", "arguments": {}, "init": "random", "scheme": "uniform"}
    source = {"name": "sentences", "classes": ["bird", "tree", "fish"], "mean": [], "std": []}
    return small_set(items=waves(3, 2, 4).float(), text=TEXT, network=network, source=source)


def prepared_set() -> DistilledSet:
    """Images as a user passed them to distill in Python: floats of no known scale."""
    source = {"name": "own data", "classes": ["a", "b", "c"], "mean": [0.0], "std": [1.0]}
    return small_set(source=source)


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("a test asked for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.usefixtures("_offline")
def test_the_rows_for_the_hub_hold_the_exact_items_and_a_picture(tmp_path: Path) -> None:
    data = whitened_set(labels=torch.tensor([[0.5, -0.1, 0.2], [0.0, 3.0, 0.1], [0.1, 0.2, 0.3]]))
    huggingface.write_set(data, tmp_path / "out")
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows.features["label"].names == ["a", "b c/d", "é"]
    assert rows["label"][:] == [0, 1, 2]
    assert rows[0]["image"].size == (8, 8)
    pixels = to_pixels(data.items, data.source)[0, 0].clamp(0, 1).mul(255).round()
    assert np.array_equal(np.asarray(rows[0]["image"]), pixels.byte().numpy())
    tensors = rows.remove_columns("image").with_format("torch")
    assert torch.equal(tensors["item"][:], data.items)
    assert torch.equal(tensors["soft_label"][:], data.labels)


@pytest.mark.usefixtures("_offline")
def test_the_rows_of_a_text_set_hold_the_nearest_words(tmp_path: Path) -> None:
    data = text_set()
    huggingface.write_set(data, tmp_path / "out")
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["words"][:] == TEXT["nearest"]
    assert torch.equal(rows.with_format("torch")["item"][:], data.items)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- text-classification" in card
    assert "license: cc-by-4.0" in card
    assert is_equal_set(load_set(tmp_path / "out"), data)


def test_floats_of_no_known_scale_are_not_clipped_to_pictures(tmp_path: Path) -> None:
    assert "image" not in huggingface.to_hf(prepared_set()).features
    with pytest.raises(SetError, match="floats whose black and white nobody knows: give --to hf, or safe"):
        ddranking.write_set(prepared_set(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("make", [small_set, text_set], ids=["images", "texts"])
def test_the_python_of_the_card_runs_with_the_installed_datasets(
    make: Callable[[], DistilledSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rows["item"]` is a Column in datasets 4 and later: the card's x and y are tensors."""
    huggingface.write_set(make(), tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    blocks = (tmp_path / "out" / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    scope: dict = {}
    for block in blocks:
        exec(block.split("```")[0], scope)
    assert torch.equal(scope["x"], make().items)
    assert torch.equal(scope["y"], make().labels)
    assert is_equal_set(scope["data"], make())
    assert scope["student"](scope["x"]).shape == scope["y"].shape


def test_an_export_of_an_older_version_reads_back(tmp_path: Path) -> None:
    """Its rows had the soft label in `label` and a column `class`; the set is in its own two files."""
    path = huggingface.write_set(small_set(), tmp_path / "out")
    rows = huggingface.to_hf(small_set()).rename_columns({"label": "class", "soft_label": "label"})
    huggingface.write_parquet(rows, path / huggingface.PARQUET)
    assert is_equal_set(load_set(path), small_set())


def test_the_image_folder_is_what_dd_ranking_loads(tmp_path: Path) -> None:
    """Items sorted by class, in DD-Ranking's normalisation; ImageFolder numbers the classes alike."""
    from torchvision.datasets import ImageFolder

    labels = torch.tensor([[0.0, 2.0, -1.0], [0.5, 0.1, 0.2], [0.1, 0.9, 0.2], [0, 0.1, 3.0]])
    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    source = {"name": "cifar-10", "classes": ["a", "b c/d", "é"], "mean": mean, "std": std}
    data = small_set(4, items=waves(4, 3, 8, 8).float(), labels=labels, source=source)
    ddranking.write_set(data, tmp_path / "out")
    images = torch.load(tmp_path / "out" / "images.pt", weights_only=True)
    order = [1, 0, 2, 3]
    ddranking_std = torch.tensor([0.2023, 0.1994, 0.2010]).view(-1, 1, 1)
    pixels = to_pixels(data.items[order], source)
    torch.testing.assert_close(images * ddranking_std + torch.tensor(mean).view(-1, 1, 1), pixels)
    assert torch.equal(torch.load(tmp_path / "out" / "labels.pt", weights_only=True), labels[order])
    hard = torch.load(tmp_path / "out" / "hard_labels.pt", weights_only=True)
    folder = ImageFolder(str(tmp_path / "out" / "images"))
    assert folder.targets == hard.tolist() == [0, 1, 1, 2]
    for (path, _), expected in zip(folder.samples, pixels, strict=True):
        picture = torch.from_numpy(np.array(Image.open(path))).movedim(-1, 0) / 255
        assert (picture - expected.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6
    lines = (tmp_path / "out" / "labels.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert [(r["item"], r["class"]) for r in rows] == [("1", "a"), ("0", "b c/d"), ("2", "b c/d"), ("3", "é")]
    assert float(rows[1]["label é"]) == -1
    clipped = ((pixels < 0) | (pixels > 1)).float().mean()
    assert sum(float(r["clipped"]) for r in rows) / 4 == pytest.approx(float(clipped), abs=1e-4)
    assert f"{100 * clipped:.1f} %\nof the pixels" in (tmp_path / "out" / "README.md").read_text()


def test_a_student_trains_on_an_export_as_on_the_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = str(write_npz(tmp_path / "blobs.npz"))
    small_set().save(tmp_path / "set.pt")
    ddranking.write_set(small_set(), tmp_path / "out")
    scores = []
    for name in ("set.pt", "out"):
        assert main(["student", str(tmp_path / name), "--dataset", real, "--seeds", "2", "--json"]) == 0
        scores.append(read_json_line(capsys.readouterr().out)["accuracy"])
    assert scores[0] == scores[1]
    assert main(["report", str(tmp_path / "out"), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert main(["import", str(tmp_path / "out"), "--out", str(tmp_path / "copy.pt")]) == 0
    assert is_equal_set(DistilledSet.load(tmp_path / "copy.pt"), small_set())


def export_small_set(folder: Path, *options: str) -> int:
    """`distill export` of a small set to folder/out; the exit code."""
    small_set().save(folder / "set.pt")
    return main(["export", str(folder / "set.pt"), "--out", str(folder / "out"), *options])


def test_an_export_of_another_format_is_overwritten_only_where_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_small_set(tmp_path, "--to", "safetensors") == 0
    assert export_small_set(tmp_path, "--to", "images") == 2
    assert "holds another export: --overwrite replaces it" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path / "out")) == ["set.json", "set.safetensors"]
    assert export_small_set(tmp_path, "--to", "images", "--overwrite") == 0
    assert (tmp_path / "out" / "labels.csv").is_file()
    assert sorted(os.listdir(tmp_path)) == ["out", "set.pt"]


BAD = {
    '--to: no format called "image"; did you mean "images"': ["--to", "image"],
    "cannot be written": ["--out", "/proc/nowhere/out"],
}


@pytest.mark.parametrize("sentence", BAD)
def test_a_bad_option_is_one_sentence(
    sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_small_set(tmp_path, *BAD[sentence]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("distill: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [".", "../exported", "./", ".."])
def test_an_export_given_as_the_folder_that_one_is_in_has_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = safetensors.write_set(small_set(), tmp_path / "exported")
    if place == "..":
        (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub" if place == ".." else folder)
    assert main(["export", place, "--to", "safetensors"]) == 0
    assert is_equal_set(load_set(tmp_path / "exported-safetensors"), small_set())


def test_a_root_or_another_folder_that_is_no_export_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["export", "/"]) == 2
    assert "/ is no exported set" in capsys.readouterr().err


def test_a_text_set_is_not_exported_as_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text_set().save(tmp_path / "set.pt")
    assert main(["export", str(tmp_path / "set.pt"), "--to", "images"]) == 2
    assert (
        "--to images is for grey or coloured images whose mean and std the set holds; its items are (2, 4)"
        in capsys.readouterr().err
    )
    assert os.listdir(tmp_path) == ["set.pt"]


def test_items_of_unknown_scale_are_rows_without_a_picture(tmp_path: Path) -> None:
    data = small_set(source={"name": "user's tensors", "classes": ["a", "b", "c"]})
    huggingface.write_set(data, tmp_path / "out")
    assert list(huggingface.to_hf(data).features) == ["item", "label", "soft_label"]
    assert is_equal_set(load_set(tmp_path / "out"), data)
    with pytest.raises(SetError, match="whose mean and std the set holds"):
        ddranking.write_set(data, tmp_path / "images")


def test_two_classes_of_one_name_are_refused_for_the_hub(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="two classes of the set have one name, .*: a, b, a"):
        huggingface.write_set(small_set(source={"name": "x", "classes": ["a", "b", "a"]}), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_without_safetensors_the_sentence_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for word in WRITERS:
        assert export_small_set(tmp_path, "--to", word) == 2
        assert "this needs the package safetensors: pip install 'distill[share]'" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["set.pt"]


def test_a_value_that_json_cannot_hold_is_refused_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="provenance/when of the set is a tuple that json cannot carry"):
        safetensors.write_set(small_set(provenance={"when": (1, 2)}), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def write_damaged(path: Path, damage: str) -> None:
    """An export, damaged."""
    safetensors.write_set(small_set(), path)
    tensors, metadata = path / safetensors.TENSORS, path / safetensors.METADATA
    content = json.loads(metadata.read_text())
    if damage == "cut tensors":
        tensors.write_bytes(tensors.read_bytes()[:500])
    if damage == "cut metadata":
        metadata.write_text(metadata.read_text()[:50])
    if damage == "no tensors":
        tensors.unlink()
    if damage == "another name":
        metadata.write_text(json.dumps(content | {"items": {safetensors.TENSOR_KEY: "nothing"}}))
    if damage == "a newer format":
        metadata.write_text(json.dumps(content | {"format": "distill-set/4"}))
    if damage == "no format":
        metadata.write_text("[]")
    if damage == "other shapes":
        metadata.write_text(json.dumps(content | {"labels": {safetensors.TENSOR_KEY: "items"}}))
    if damage == "deep":
        metadata.write_text("[" * 100_000)
    if damage == "900 deep":
        metadata.write_text(json.dumps(content)[:-1] + ', "more": ' + "[" * 900 + "]" * 900 + "}")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("cut tensors", "is damaged"), ("cut metadata", "is damaged"), ("deep", "is damaged"),
        ("900 deep", "holds lists more than 32 deep"),
        ("no tensors", "no such file; an exported set has"), ("another name", "lacks the tensor 'nothing'"),
        ("a newer format", "upgrade distill"), ("no format", "is a foreign file"),
        ("other shapes", "must be .n, "),
    ],
)  # fmt: skip
def test_a_damaged_export_is_one_sentence(damage: str, sentence: str, tmp_path: Path) -> None:
    write_damaged(tmp_path / "out", damage)
    with pytest.raises(SetError, match=sentence):
        load_set(tmp_path / "out")


def test_a_folder_without_a_set_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="is no exported set: it should hold .*set.safetensors and set.json"):
        load_set(tmp_path)


def test_a_failure_while_writing_keeps_the_older_export(tmp_path: Path) -> None:
    safetensors.write_set(small_set(), tmp_path / "out")
    with (
        pytest.raises(SetError, match="cannot be written"),
        write_folder(tmp_path / "out", True, safetensors.EXPORT) as new,
    ):
        shutil.rmtree(new)
    assert os.listdir(tmp_path) == ["out"]
    assert is_equal_set(load_set(tmp_path / "out"), small_set())


def test_the_default_folder_is_beside_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_set().save(tmp_path / "mine.pt")
    assert main(["export", str(tmp_path / "mine.pt"), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"to share it: hf upload USER/NAME {tmp_path / 'mine-hf'} --repo-type dataset"
    result = json.loads(lines[2])
    assert result["path"] == str(tmp_path / "mine-hf")
    assert result["bytes"] == sum(p.stat().st_size for p in (tmp_path / "mine-hf").rglob("*.*"))
