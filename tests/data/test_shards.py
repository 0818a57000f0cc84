"""Pictures in tar shards and in data sets of the library datasets: the same as those of a folder."""

import io
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from distill.commands.image import main as image
from distill.data import load, to_dataset
from distill.data.pictures import cache_files
from distill.data.pictures.stored import StoredItems, is_on_disk
from distill.errors import DataError

WORDS = ("ant", "bee", "cat")
SHORT = [
    "--n", "3", "--network", "mlp", "--width", "8", "--init", "random", "--outer-steps", "2",
    "--validate-every", "2", "--test-networks", "1", "--full-data-networks", "0", "--dc-networks", "0",
    "--baseline-networks", "0", "--inner-steps", "2", "--method", "dm",
]  # fmt: skip


def make_pictures(count: int, first: int = 0) -> list[tuple[str, bytes, int]]:
    """(key, PNG, class) of so many pictures of three classes."""
    random, pictures = np.random.default_rng(first), []
    for k in range(first, first + count):
        pixels = random.integers(0, 120, (8, 8, 3), dtype=np.uint8)
        pixels[:, 2 * (k % 3) : 2 * (k % 3) + 2] += 100
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        pictures.append((f"{k:04}", file.getvalue(), k % 3))
    return pictures


def write_shard(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def members_of(pictures: list[tuple[str, bytes, int]], words: bool = False) -> list[tuple[str, bytes]]:
    """What a shard holds of pictures: KEY.png, KEY.json and KEY.cls each."""
    return [
        member
        for key, png, label in pictures
        for member in (
            (f"{key}.png", png),
            (f"{key}.json", b"{}"),
            (f"{key}.cls", WORDS[label].encode() if words else f"{label}\n".encode()),
        )
    ]


def write_shards(root: Path, words: bool = False) -> Path:
    """Two shards of training pictures and one of test pictures."""
    for k, name in enumerate(("train-000", "train-001", "val-000")):
        write_shard(root / f"{name}.tar", members_of(make_pictures(12, 12 * k), words))
    return root


def pixels_of(pictures: list[tuple[str, bytes, int]]) -> torch.Tensor:
    arrays = [np.array(Image.open(io.BytesIO(png))).transpose(2, 0, 1) for _, png, _ in pictures]
    return torch.from_numpy(np.stack(arrays))


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_shards_hold_what_was_written(keep: str, words: bool, tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards", words)
    cache = tmp_path / "cache" if keep == "disk" else None
    train, test = load(root, keep=keep, cache=cache)
    assert is_on_disk(train.items) == (keep == "disk")
    assert train.classes == (WORDS if words else ("0", "1", "2"))
    assert torch.equal(train.items[:], pixels_of(make_pictures(12) + make_pictures(12, 12)))
    assert train.labels.tolist() == [k % 3 for k in range(24)]
    assert torch.equal(test.items[:], pixels_of(make_pictures(12, 24)))


def test_a_pattern_one_shard_and_folders_of_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_shards(tmp_path / "shards")
    train, test = load(f"{root}/train-*.tar", keep="disk", cache=tmp_path / "cache")
    assert (len(train), len(test)) == (20, 4)
    assert "decoding 24 pictures" in capsys.readouterr().err
    assert any("every fifth picture is a test picture" in remark for remark in train.remarks)
    load(f"{root}/train-*.tar", keep="disk", cache=tmp_path / "cache")
    assert capsys.readouterr().err == ""
    assert len(load(root / "train-000.tar")[0]) == 10
    for split, name in (("train", "train-000"), ("test", "val-000")):
        (tmp_path / "both" / split).mkdir(parents=True)
        shutil.copy(root / f"{name}.tar", tmp_path / "both" / split / "000.tar")
    assert [len(part) for part in load(tmp_path / "both")] == [12, 12]


def test_shards_that_change_are_decoded_anew(tmp_path: Path) -> None:
    root, cache = write_shards(tmp_path / "shards"), tmp_path / "cache"
    load(root, keep="disk", cache=cache)
    write_shard(root / "train-001.tar", members_of(make_pictures(12, 50)))
    train, _ = load(root, keep="disk", cache=cache)
    assert any("they were decoded anew" in remark for remark in train.remarks)
    assert torch.equal(train.items[12:], pixels_of(make_pictures(12, 50)))
    assert len(list((cache / "pictures").iterdir())) == 1


def test_a_killed_writing_of_shards_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = write_shards(tmp_path / "shards"), tmp_path / "cache"
    add, count = cache_files.Summary.add, iter(range(100))

    def stop(self: Any, picture: torch.Tensor) -> bytes:
        if next(count) == 20:
            raise KeyboardInterrupt
        return add(self, picture)

    with monkeypatch.context() as patch:
        patch.setattr(cache_files.Summary, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            load(root, keep="disk", cache=cache)
    assert list((cache / "pictures").iterdir()) == []
    assert len(load(root, keep="disk", cache=cache)[0]) == 24


PNG = make_pictures(1)[0][1]
BAD_SHARDS: dict[str, tuple[list[tuple[str, bytes]], str]] = {
    "no label": ([("a.png", PNG)], r"x\.tar: a\.png has no label: put a\.cls beside it"),
    "two labels": (
        [("a.cls", b"1"), ("a.png", PNG), ("a.cls", b"2")],
        r"x\.tar: a\.cls is 2 and 1: one label per picture",
    ),
    "two pictures": (
        [("a.png", PNG), ("a.jpg", PNG), ("a.cls", b"1")],
        r"x\.tar: a\.jpg is a second picture of a",
    ),
    "an empty label": ([("d/a.png", PNG), ("d/a.cls", b"\n")], r"x\.tar: d/a\.cls holds no class"),
    "a label of bytes": ([("a.png", PNG), ("a.cls", b"\xff\xfe")], r"x\.tar: a\.cls holds no class"),
    "a label without end": ([("a.png", PNG), ("a.cls", b"9" * 5000)], r"x\.tar: a\.cls holds no class"),
    "no pictures": ([("a.txt", b"words")], r"x\.tar holds no pictures KEY\.jpg"),
    "a class that is not trained on": (
        [("a.png", PNG), ("a.cls", b"7")],
        r"x\.tar: a\.png is of the class 7, of which there is no training picture",
    ),
    "a damaged picture": (
        [("a.png", PNG[:40]), ("a.cls", b"1")],
        r"x\.tar: a\.png is not a readable image: .*--skip-damaged",
    ),
}


@pytest.mark.parametrize("name", BAD_SHARDS)
def test_shards_that_are_wrong_name_the_member(name: str, tmp_path: Path) -> None:
    members, sentence = BAD_SHARDS[name]
    write_shards(tmp_path / "shards")
    write_shard(tmp_path / "shards" / "val-x.tar", members)
    with pytest.raises(DataError, match=sentence):
        load(tmp_path / "shards")
    if "--skip-damaged" in sentence:
        train, test = load(tmp_path / "shards", skip_damaged=True)
        assert (len(train), len(test)) == (24, 12)
        assert any("1 pictures are damaged and left out" in remark for remark in train.remarks)


@pytest.mark.parametrize("size", [0, 200, 512, 700, 3 * 512, 4 * 512, 7 * 512 + 10, -1024, -1025, -5 * 512])
def test_a_cut_shard_is_said(size: int, tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards")
    path = root / "train-001.tar"
    with tarfile.open(path) as tar:
        end = max(m.offset_data + -(-m.size // 512) * 512 for m in tar)
    content = path.read_bytes()
    path.write_bytes(content[:size] if size >= 0 else content[: end + 1024 + size])
    with pytest.raises(DataError, match=r"train-001\.tar is cut or damaged after "):
        load(root)


def test_what_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"no tar file" * 1000)
    with pytest.raises(DataError, match=r"x\.tar is cut or damaged .* or is no plain tar file"):
        load(tmp_path / "x.tar")
    with pytest.raises(DataError, match="there is no such shard"):
        load(tmp_path / "missing-*.tar")
    write_shard(tmp_path / "only" / "test-0.tar", members_of(make_pictures(12)))
    with pytest.raises(DataError, match="the names of all shards say test: call one of them train"):
        load(tmp_path / "only")


def test_runs_from_shards_and_from_a_saved_dataset(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards")
    hub_images().save_to_disk(tmp_path / "saved")
    for k, data in enumerate((f"{root}/*.tar", tmp_path / "saved")):
        place = ["--keep", "disk", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / f"run{k}")]
        assert image(["--dataset", str(data), *SHORT, *place]) == 0
        assert torch.load(tmp_path / f"run{k}" / "set.pt", weights_only=True)["items"].shape == (3, 3, 8, 8)


def hub_images() -> datasets.DatasetDict:
    """A set as load_dataset("owner/name") of the hub gives it, for which it stands in: an Image and a
    ClassLabel column, pictures as encoded bytes in an Arrow table."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(WORDS))})
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {
                    "image": [{"bytes": png, "path": None} for _, png, _ in pictures],
                    "label": [label for _, _, label in pictures],
                },
                features=features,
            )
            for split, pictures in (("train", make_pictures(24)), ("test", make_pictures(12, 24)))
        }
    )


@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_sets_of_the_hub_are_decoded_once(
    keep: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, cache = hub_images(), tmp_path / "cache" if keep == "disk" else None
    train, test = load(data, keep=keep, cache=cache)
    assert is_on_disk(train.items) == (keep == "disk")
    assert train.classes == WORDS
    for split, name in ((train, "train"), (test, "test")):
        expected = to_dataset(data[name])
        assert torch.equal(split.items[:], expected.items)
        assert torch.equal(split.labels, expected.labels)
    capsys.readouterr()
    load(hub_images(), keep=keep, cache=cache)  # the same fingerprints
    assert capsys.readouterr().err == ""


def test_parts_of_sets_of_the_hub_have_caches_of_their_own(tmp_path: Path) -> None:
    data, cache = hub_images(), tmp_path / "cache"
    load(data, keep="disk", cache=cache)
    part = data["train"].shuffle(seed=1).select(range(20))
    train, test = load(part, keep="disk", cache=cache, size=6)
    assert (len(train), len(test)) == (16, 4)
    assert train.shape == (3, 6, 6)
    assert isinstance(train.items, StoredItems)
    assert len(list((cache / "pictures").iterdir())) == 2
    assert [int(label) for label in train.labels] == [x for k, x in enumerate(part["label"]) if k % 5 != 4]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.remove_columns("label"), "the train split needs a column of the type Image and one of"),
        (
            lambda d: d.cast_column("label", datasets.Value("int64")),
            "one of ClassLabel, and neither a transform nor streaming",
        ),
        (lambda d: datasets.DatasetDict(test=d["test"]), 'data has no split "train"'),
        (lambda d: d["train"].to_iterable_dataset(), "the train split needs a column"),
        (lambda d: d["train"].with_transform(lambda rows: rows), "the train split needs a column"),
        (
            lambda d: datasets.DatasetDict(
                train=d["train"],
                test=d["test"].cast_column("label", datasets.ClassLabel(names=["x", "y", "z"])),
            ),
            "the splits of the dataset differ in their classes",
        ),
    ],
)
def test_sets_of_the_hub_that_cannot_lie_on_disk(change: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        load(change(hub_images()), keep="disk", cache=tmp_path / "cache")


def test_a_saved_dataset_that_is_damaged(tmp_path: Path) -> None:
    hub_images().save_to_disk(tmp_path / "saved")
    next((tmp_path / "saved" / "train").glob("*.arrow")).write_bytes(b"cut")
    with pytest.raises(DataError, match="saved cannot be read as a saved dataset"):
        load(tmp_path / "saved")
