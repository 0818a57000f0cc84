"""Sets that are published name files and folders; they do not say where on the maker's machine they were."""

import json
from pathlib import Path

import pytest
import torch

from distill.data.dataset import Dataset
from distill.registry import load
from distill.sets.formats import WRITERS, huggingface
from distill.sets.formats.base import load_set
from distill.sets.provenance import PLACES, describe_source, shorten_command, shorten_places
from tests.helpers import small_set, waves

ZOO = Path(__file__).parents[2] / "zoo"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("distill.mnist --n 3 --out /tmp/ex/r/g1 --width 8", "distill.mnist --n 3 --out g1 --width 8"),
        ("distill image --dataset=/home/me/cats.npz", "distill image --dataset=cats.npz"),
        ("distill image --out runs/bench/a --start ../b/set.pt", "distill image --out a --start set.pt"),
        ("poison --attacked cat/dog --weights nets/", "poison --attacked cat/dog --weights nets"),
        ("distill x /home/me/a.pt ~/b.pt", "distill x a.pt b.pt"),
        ("distill 'a b' --dataset mnist", "distill 'a b' --dataset mnist"),
        ('unclosed " --out /tmp/x', "unclosed '\"' --out x"),
    ],
)  # fmt: skip
def test_a_command_names_files_without_their_folders(command: str, expected: str) -> None:
    assert shorten_command(command) == expected
    assert shorten_command(expected) == expected


def test_settings_name_files_without_their_folders() -> None:
    config = {name: f"/home/me/{name}.x" for name in PLACES} | {"n": 3, "network": "torchvision/resnet18"}
    short = shorten_places({"config": config, "seed": 0})["config"]
    assert short == {name: f"{name}.x" for name in PLACES} | {"n": 3, "network": "torchvision/resnet18"}


@pytest.mark.parametrize("word", WRITERS)
def test_no_export_publishes_a_local_path(tmp_path: Path, word: str) -> None:
    provenance = {"command": "distill image --out /home/me/x", "config": {"dataset": "/home/me/blobs.npz"}}
    source = {"name": "/home/me/blobs.npz", "classes": ["a", "b", "c"], "mean": [0.3], "std": [0.2]}
    path = load(WRITERS[word]).write_set(small_set(provenance=provenance, source=source), tmp_path / "out")
    assert [file for file in path.rglob("*.*") if b"/home/me" in file.read_bytes()] == []
    assert load_set(path).source["name"] == "blobs.npz"


def test_the_files_of_a_text_set_are_named_only(tmp_path: Path) -> None:
    text = {
        "tokenizer": "split", "vectors": "/home/me/v.txt", "checksum": "c", "unknown": "zeros", "dim": 4,
        "length": 2, "max_length": 9, "files": ["/home/me/train.csv", "/home/me/test.csv", None, "a/b"],
        "nearest": [["a", "b"]] * 3,
    }  # fmt: skip
    huggingface.write_set(small_set(items=waves(3, 2, 4).float(), text=text), tmp_path / "out")
    content = json.loads((tmp_path / "out" / "set.json").read_text())["text"]
    assert (content["files"], content["vectors"]) == (["train.csv", "test.csv", None, "a/b"], "v.txt")


@pytest.mark.parametrize("path", sorted(ZOO.glob("*.pt")), ids=lambda path: path.stem)
def test_the_zoo_publishes_no_local_path(path: Path) -> None:
    data = load_set(path)
    assert shorten_places(data.provenance) == data.provenance


def test_the_share_of_the_most_frequent_class_of_the_test_split_is_kept() -> None:
    def make(*counts: int) -> Dataset:
        labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return Dataset("mine", torch.zeros(len(labels), 1, 2, 2), labels, ("a", "b"), (0.0,), (1.0,))

    train, test = make(5, 5), make(3, 1)
    assert describe_source("mine", train, test)["majority"] == 0.75
    assert describe_source("mine", train, None)["majority"] is None
