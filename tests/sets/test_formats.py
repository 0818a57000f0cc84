"""A shared set is the same set: as safetensors, for the hub, for DD-Ranking; nothing is overwritten."""

import csv
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields
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
from distill.sets.formats import atomic, safetensors
from distill.sets.formats import ddranking as ranking
from distill.sets.formats import huggingface as hub
from tests.helpers import small_set, waves
from tests.sets.test_distilled import STATE, same

WAYS = {"hf": hub.to_folder, "images": ranking.to_folder, "safetensors": safetensors.to_folder}
TEXT = {
    "tokenizer": "split", "vectors": "v", "checksum": "c", "unknown": "zeros", "dim": 4, "length": 2,
    "max_length": 9, "files": [], "nearest": [["an", "owl"], ["the", "oak"], ["a", "jay"]],
}  # fmt: skip


def equal(a: DistilledSet, b: DistilledSet) -> bool:
    return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def rich(**changes: object) -> DistilledSet:
    """A set with a tensor wherever a set may have one, and scores."""
    zca = {"mean": torch.rand(64), "matrix": torch.eye(64) + 0.1 * torch.rand(64, 64)}
    source = {"name": "mnist", "classes": ["a", "b c/d", "é"], "mean": [0.0], "std": [1.0], "zca": zca}
    baseline = {"mean": 0.25, "std": 0.01, "n": 20, "rates": "rate 0.1"}
    scores = {
        "accuracy": {"mean": 0.5, "std": 0.125, "n": 20, "split": "test", "weights": "held-out"},
        "full_data": 0.99, "baselines": {"random-real": baseline},
    }  # fmt: skip
    made = {
        "command": "python -m distill.mnist --n 3",
        "seconds": 1.5,
        "outer_steps": 7,
        "config": {"minutes": None},
    }
    return small_set(**({"source": source, "scores": scores, "provenance": made} | changes))


def sentences() -> DistilledSet:
    network = {"name": "average", "arguments": {}, "init": "random", "scheme": "uniform"}
    source = {"name": "sentences", "classes": ["bird", "tree", "fish"], "mean": [], "std": []}
    return small_set(items=waves(3, 2, 4).float(), text=TEXT, network=network, source=source)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("init", [None, STATE, [STATE, {"1.weight": torch.zeros(2, 2)}]])
def test_every_export_is_read_back_to_the_bit(way: str, init: object, tmp_path: Path) -> None:
    data = rich(init_state=init, lrs=torch.full((4, 6), 0.1))
    WAYS[way](data, tmp_path / "out")
    assert equal(safetensors.load(tmp_path / "out"), data)
    assert os.listdir(tmp_path) == ["out"]


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError("a test asked for the network")

    monkeypatch.setattr("socket.socket.connect", refused)


@pytest.mark.usefixtures("_offline")
def test_the_hub_s_rows_hold_the_exact_items_and_a_picture(tmp_path: Path) -> None:
    data = rich(labels=torch.tensor([[0.5, -0.1, 0.2], [0.0, 3.0, 0.1], [0.1, 0.2, 0.3]]))
    hub.to_folder(data, tmp_path / "out")
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows.features["class"].names == ["a", "b c/d", "é"]
    assert rows["class"][:] == [0, 1, 2]
    assert rows[0]["image"].size == (8, 8)
    pixels = to_pixels(data.items, data.source)[0, 0].clamp(0, 1).mul(255).round()
    assert np.array_equal(np.asarray(rows[0]["image"]), pixels.byte().numpy())
    plain = rows.remove_columns("image").with_format("torch")
    assert torch.equal(plain["item"][:], data.items)
    assert torch.equal(plain["label"][:], data.labels)


@pytest.mark.usefixtures("_offline")
def test_a_text_s_rows_hold_the_nearest_words(tmp_path: Path) -> None:
    data = sentences()
    hub.to_folder(data, tmp_path / "out")
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["words"][:] == TEXT["nearest"]
    assert torch.equal(rows.with_format("torch")["item"][:], data.items)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- text-classification" in card
    assert "license: cc-by-4.0" in card
    assert equal(safetensors.load(tmp_path / "out"), data)


def test_the_card_tells_score_baselines_command_and_licence(tmp_path: Path) -> None:
    hub.to_folder(rich(), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for words in (
        "license: cc-by-sa-3.0", "- image-classification", "- n<1K",
        "| these 3 items | 50.00 ± 12.50 % | 20 |",
        "| as many random-real items | 25.00 ± 1.00 % | 20 |", "| all real items | 99.00 % | |",
        "    python -m distill.mnist --n 3\n", "hf upload USER/NAME out --repo-type dataset", "then whitened",
    ):  # fmt: skip
        assert words in card
    hub.to_folder(small_set(), tmp_path / "bare", license="mit")
    bare = (tmp_path / "bare" / "README.md").read_text(encoding="utf-8")
    assert "license: mit" in bare
    assert "Not measured yet." in bare
    assert "The command was not kept." in bare


def test_the_image_folder_is_what_dd_ranking_loads(tmp_path: Path) -> None:
    """Items sorted by class, in DD-Ranking's normalisation; ImageFolder numbers the classes as we do."""
    from torchvision.datasets import ImageFolder

    labels = torch.tensor([[0.0, 2.0, -1.0], [0.5, 0.1, 0.2], [0.1, 0.9, 0.2], [0, 0.1, 3.0]])
    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    source = {"name": "cifar-10", "classes": ["a", "b c/d", "é"], "mean": mean, "std": std}
    data = small_set(4, items=waves(4, 3, 8, 8).float(), labels=labels, source=source)
    ranking.to_folder(data, tmp_path / "out")
    images = torch.load(tmp_path / "out" / "images.pt", weights_only=True)
    order = [1, 0, 2, 3]
    theirs = torch.tensor([0.2023, 0.1994, 0.2010]).view(-1, 1, 1)
    pixels = to_pixels(data.items[order], source)
    torch.testing.assert_close(images * theirs + torch.tensor(mean).view(-1, 1, 1), pixels)
    assert torch.equal(torch.load(tmp_path / "out" / "labels.pt", weights_only=True), labels[order])
    hard = torch.load(tmp_path / "out" / "hard_labels.pt", weights_only=True)
    folder = ImageFolder(str(tmp_path / "out" / "images"))
    assert folder.targets == hard.tolist() == [0, 1, 1, 2]
    for (path, _), expected in zip(folder.samples, pixels, strict=True):
        found = torch.from_numpy(np.array(Image.open(path))).movedim(-1, 0) / 255
        assert (found - expected.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6
    lines = (tmp_path / "out" / "labels.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert [(r["item"], r["class"]) for r in rows] == [("1", "a"), ("0", "b c/d"), ("2", "b c/d"), ("3", "é")]
    assert float(rows[1]["label é"]) == -1
    out = ((pixels < 0) | (pixels > 1)).float().mean()
    assert sum(float(r["clipped"]) for r in rows) / 4 == pytest.approx(float(out), abs=1e-4)
    assert f"{100 * out:.1f} %\nof the pixels" in (tmp_path / "out" / "README.md").read_text()


def test_a_student_trains_on_an_export_as_on_the_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.helpers import write_npz

    data = str(write_npz(tmp_path / "blobs.npz"))
    small_set().save(tmp_path / "set.pt")
    ranking.to_folder(small_set(), tmp_path / "out")
    found = []
    for place in ("set.pt", "out"):
        assert main(["student", str(tmp_path / place), "--dataset", data, "--seeds", "2", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"])
    assert found[0] == found[1]
    assert main(["report", str(tmp_path / "out"), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert main(["import", str(tmp_path / "out"), "--out", str(tmp_path / "back.pt")]) == 0
    assert equal(DistilledSet.load(tmp_path / "back.pt"), small_set())


def exported(tmp_path: Path, *words: str) -> int:
    """`distill export` of a small set to tmp_path/out."""
    small_set().save(tmp_path / "set.pt")
    return main(["export", str(tmp_path / "set.pt"), "--out", str(tmp_path / "out"), *words])


def test_an_export_is_replaced_only_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exported(tmp_path, "--to", "safetensors") == 0
    assert exported(tmp_path, "--to", "images") == 2
    assert "holds another export: --overwrite replaces it" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path / "out")) == ["set.json", "set.safetensors"]
    assert exported(tmp_path, "--to", "images", "--overwrite") == 0
    assert (tmp_path / "out" / "labels.csv").is_file()
    assert sorted(os.listdir(tmp_path)) == ["out", "set.pt"]


def a_file(place: Path) -> None:
    (place / "out").write_text("mine")


def a_folder(place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "mine").write_text("mine")


@pytest.mark.parametrize(
    ("what", "sentence"), [(a_file, "is a file"), (a_folder, "files that are not an export")]
)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_export_is_never_replaced(
    what: Callable[[Path], None], sentence: str, way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what(tmp_path)
    assert exported(tmp_path, "--to", way, "--overwrite") == 2
    assert sentence in capsys.readouterr().err
    mine = tmp_path / "out"
    assert (mine if mine.is_file() else mine / "mine").read_text() == "mine"


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(way: str, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk."""
    safetensors.to_folder(small_set(), tmp_path / "out")
    hub.to_hf(small_set())  # what is imported by it may be written to a cache
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SetError, match="cannot be written .*: make room"):
            WAYS[way](small_set(items=torch.ones(3, 1, 8, 8)), tmp_path / "out", overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["out"]
    assert equal(safetensors.load(tmp_path / "out"), small_set())


BAD = {
    '--to: no format called "image"; did you mean "images"': ["--to", "image"],
    "cannot be written": ["--out", "/proc/nowhere/out"],
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_words_are_one_sentence(
    sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(tmp_path, *BAD[sentence]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.startswith("distill: ")
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_sentences_are_no_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentences().save(tmp_path / "set.pt")
    assert main(["export", str(tmp_path / "set.pt"), "--to", "images"]) == 2
    assert (
        "--to images is for grey or coloured images whose mean and std the set tells; its items are (2, 4)"
        in capsys.readouterr().err
    )
    assert os.listdir(tmp_path) == ["set.pt"]


def test_items_of_unknown_scale_are_rows_without_a_picture(tmp_path: Path) -> None:
    data = small_set(source={"name": "own tensors", "classes": ["a", "b", "c"]})
    hub.to_folder(data, tmp_path / "out")
    assert list(hub.to_hf(data).features) == ["item", "label", "class"]
    assert equal(safetensors.load(tmp_path / "out"), data)
    with pytest.raises(SetError, match="whose mean and std the set tells"):
        ranking.to_folder(data, tmp_path / "images")


def test_two_classes_of_one_name_are_refused_for_the_hub(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="two classes of the set have one name, .*: a, b, a"):
        hub.to_folder(small_set(source={"name": "x", "classes": ["a", "b", "a"]}), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_without_safetensors_the_sentence_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for way in WAYS:
        assert exported(tmp_path, "--to", way) == 2
        assert "this needs the package safetensors: pip install 'distill[share]'" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["set.pt"]


def test_what_json_cannot_carry_is_refused_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="provenance/when of the set is a tuple that json cannot carry"):
        safetensors.to_folder(small_set(provenance={"when": (1, 2)}), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def broken(place: Path, how: str) -> None:
    """An export, damaged."""
    safetensors.to_folder(small_set(), place)
    tensors, words = place / atomic.TENSORS, place / atomic.WORDS
    content = json.loads(words.read_text())
    if how == "cut tensors":
        tensors.write_bytes(tensors.read_bytes()[:500])
    if how == "cut words":
        words.write_text(words.read_text()[:50])
    if how == "no tensors":
        tensors.unlink()
    if how == "another name":
        words.write_text(json.dumps(content | {"items": {safetensors.MARK: "nothing"}}))
    if how == "a newer format":
        words.write_text(json.dumps(content | {"format": "distill-set/2"}))
    if how == "no format":
        words.write_text("[]")
    if how == "other shapes":
        words.write_text(json.dumps(content | {"labels": {safetensors.MARK: "items"}}))
    if how == "deep":
        words.write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("cut tensors", "is damaged"), ("cut words", "is damaged"), ("deep", "is damaged"),
        ("no tensors", "no such file; an exported set has"), ("another name", "lacks the tensor 'nothing'"),
        ("a newer format", "upgrade distill"), ("no format", "is a foreign file"),
        ("other shapes", "must be .n, "),
    ],
)  # fmt: skip
def test_a_damaged_export_is_one_sentence(how: str, sentence: str, tmp_path: Path) -> None:
    broken(tmp_path / "out", how)
    with pytest.raises(SetError, match=sentence):
        safetensors.load(tmp_path / "out")


def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    safetensors.to_folder(small_set(), tmp_path / "out")
    with pytest.raises(SetError, match="cannot be written"), atomic.whole(tmp_path / "out", True) as folder:
        shutil.rmtree(folder)
    assert os.listdir(tmp_path) == ["out"]
    assert equal(safetensors.load(tmp_path / "out"), small_set())


def test_the_default_folder_stands_beside_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_set().save(tmp_path / "mine.pt")
    assert main(["export", str(tmp_path / "mine.pt"), "--json"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1] == f"to share it: hf upload USER/NAME {tmp_path / 'mine-hf'} --repo-type dataset"
    facts = json.loads(said[2])
    assert facts["path"] == str(tmp_path / "mine-hf")
    assert facts["bytes"] == sum(p.stat().st_size for p in (tmp_path / "mine-hf").rglob("*.*"))
