"""Images of a folder that stay on disk: the same numbers as in memory, and no half cache is believed."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill.commands.image import main as image
from distill.commands.student import main as student
from distill.data.augment.batch import build_augmentation
from distill.data.dataset import Dataset
from distill.data.images import load
from distill.data.pictures import cache as cache_module
from distill.data.pictures import cache_files
from distill.data.pictures import places as places_module
from distill.data.pictures.stored import StoredItems
from distill.errors import DataError
from distill.inner.problem import Problem
from distill.inner.rules import SGD
from distill.outer.prefetch import Prefetch
from distill.outer.tasks import StateDrawer, TaskDrawer, draw_by_class
from distill.runs.files.fingerprint import describe_data
from distill.runs.measure import split_data
from tests.helpers import write_npz


def write_pictures(root: Path, each: int = 15, size: int = 8, grey: bool = False) -> Path:
    """A folder of three classes of small PNG pictures."""
    random = np.random.default_rng(0)
    for label, name in enumerate(("ant", "bee", "cat")):
        (root / name).mkdir(parents=True)
        for k in range(each):
            pixels = random.integers(0, 120, (size, size) if grey else (size, size, 3), dtype=np.uint8)
            pixels[:, 2 * label : 2 * label + 2] += 100
            Image.fromarray(pixels).save(root / name / f"{k:03}.png")
    return root


def load_both(root: Path, cache: Path) -> tuple[tuple[Dataset, Dataset], tuple[Dataset, Dataset]]:
    return load(str(root), keep="memory"), load(str(root), keep="disk", cache=cache)


@pytest.mark.parametrize("grey", [False, True])
def test_items_on_disk_are_those_in_memory(grey: bool, tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "pictures", grey=grey)
    memory, disk = load_both(root, tmp_path / "cache")
    assert memory[0].classes == disk[0].classes
    np.testing.assert_allclose(memory[0].mean + memory[0].std, disk[0].mean + disk[0].std, rtol=1e-6)
    for a, b in zip(memory, disk, strict=True):
        assert isinstance(b.items, StoredItems)
        assert a.items.shape == b.items.shape
        assert torch.equal(a.items, b.items[:])
        assert torch.equal(a.labels, b.labels)
        places = torch.tensor([3, 0, 3, len(a) - 1])
        torch.testing.assert_close(a.batch(places)[0], b.batch(places)[0], rtol=1e-5, atol=1e-5)
        assert torch.equal(a.select(places).items, b.select(places).items[:])
        assert torch.equal(a.items[2], b.items[2])
    assert describe_data(*memory) == describe_data(*disk)
    parts = [split_data(*pair, 9, seed=1) for pair in (memory, disk)]
    assert torch.equal(parts[0].held_out.items, parts[1].held_out.items[:])


def test_a_cache_is_made_once_and_anew_where_the_pictures_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"
    load(str(root), keep="disk", cache=cache)
    said = capsys.readouterr().err
    assert "decoding 45 pictures into" in said
    assert "9 kB" in said
    load(str(root), keep="disk", cache=cache)
    assert capsys.readouterr().err == ""
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(root / "ant" / "000.png")
    os.utime(root / "ant" / "000.png", (1, 1))
    train, _ = load(str(root), keep="disk", cache=cache)
    assert "decoding 45 pictures" in capsys.readouterr().err
    assert any("they were decoded anew" in remark for remark in train.remarks)
    assert len(list((cache / "pictures").iterdir())) == 1
    assert (train.items[0] == 7).all()


def test_a_killed_writing_leaves_nothing_that_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache_files.Summary, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            load(str(root), keep="disk", cache=cache)
    assert list((cache / "pictures").iterdir()) == []
    (cache / "pictures" / ".partial-of-a-kill").mkdir()
    train, _ = load(str(root), keep="disk", cache=cache)
    assert len(train) == 36
    assert not (cache / "pictures" / ".partial-of-a-kill").exists()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="cannot be written"):
        load(str(root), keep="disk", cache=tmp_path / "file")


def test_processes_that_begin_together_decode_once(tmp_path: Path) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"
    code = f"from distill.data.images import load; load({str(root)!r}, keep='disk', cache={str(cache)!r})"
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = "".join(run.communicate()[1] for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert said.count("decoding 45 pictures") == 1


def test_a_cut_or_vanished_cache_is_not_answered_from(tmp_path: Path) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"
    train, _ = load(str(root), keep="disk", cache=cache)
    path = Path(train.items.storage.name)  # type: ignore[attr-defined]
    os.truncate(path, 100)
    with pytest.raises(DataError, match="is cut: delete its folder"):
        train.items[5]
    again, _ = load(str(root), keep="disk", cache=cache)
    assert torch.equal(again.items[5], load(str(root), keep="memory")[0].items[5])
    expected = again.items[5]
    shutil.rmtree(path.parent)  # what a run reads is held open
    assert torch.equal(again.items[5], expected)


@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_damaged_pictures_are_named_or_left_out_and_counted(keep: str, tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "pictures")
    for name in ("000", "007"):
        (root / "bee" / f"{name}.png").write_bytes(b"no picture")
    cache = tmp_path / "cache" if keep == "disk" else None
    with pytest.raises(DataError, match=r"bee.000\.png is not a readable image"):
        load(str(root), keep=keep, cache=cache)
    train, test = load(str(root), keep=keep, cache=cache, skip_damaged=True)
    assert len(train) + len(test) == 43
    assert train.labels.bincount().tolist() == [12, 10, 12]
    assert any("2 pictures are damaged and left out, the first is" in remark for remark in train.remarks)


def test_a_disk_too_small_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"
    monkeypatch.setattr(cache_module, "free_bytes", lambda folder: 1000)
    with pytest.raises(DataError, match=r"45 pictures of 8×8 take 9 kB in .*, where 1 kB are free"):
        load(str(root), keep="disk", cache=cache)
    assert list((cache / "pictures").iterdir()) == []


def test_auto_keeps_on_disk_what_would_fill_half_of_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"
    assert isinstance(load(str(root), cache=cache)[0].items, torch.Tensor)
    monkeypatch.setattr("distill.data.pictures.places.machine_memory", lambda: 10_000)
    assert isinstance(load(str(root), cache=cache)[0].items, StoredItems)


def test_a_run_from_disk_learns_the_same_set(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "pictures")
    short = [
        "--n", "3", "--network", "mlp", "--width", "8", "--init", "random", "--method", "dm",
        "--outer-steps", "6", "--validate-every", "3", "--outer-batch", "6", "--test-networks", "1",
        "--full-data-networks", "1", "--dc-networks", "0", "--inner-steps", "4",
    ]  # fmt: skip
    for keep in ("memory", "disk"):
        place = ["--keep", keep, "--cache", str(tmp_path / "cache")] if keep == "disk" else ["--keep", keep]
        assert image(["--dataset", str(root), *short, *place, "--out", str(tmp_path / keep)]) == 0
    sets = [torch.load(tmp_path / keep / "set.pt", weights_only=True) for keep in ("memory", "disk")]
    torch.testing.assert_close(sets[0]["items"], sets[1]["items"], rtol=1e-4, atol=1e-4)
    assert sets[0]["scores"]["accuracy"]["mean"] == pytest.approx(
        sets[1]["scores"]["accuracy"]["mean"], abs=0.2
    )


def test_a_run_remembers_how_its_pictures_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.data.images.CACHE", tmp_path / "home")
    root = write_pictures(tmp_path / "pictures")
    (root / "bee" / "000.png").write_bytes(b"no picture")
    line = [
        "--dataset", str(root), "--n", "3", "--network", "mlp", "--width", "8", "--init", "random",
        "--outer-steps", "4", "--validate-every", "2", "--test-networks", "1", "--full-data-networks", "0",
        "--dc-networks", "0", "--inner-steps", "4", "--method", "dm", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    place = ["--keep", "disk", "--cache", str(tmp_path / "cache"), "--skip-damaged"]
    assert image([*line, *place]) == 0
    capsys.readouterr()
    assert image(["--resume", str(tmp_path / "run")]) == 0
    assert "decoding" not in capsys.readouterr().err
    assert student([str(tmp_path / "run" / "set.pt"), "--seeds", "1"]) == 0
    assert "1 pictures are damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"keep": "Disk"}, 'keep must be auto, device, memory, disk, not "Disk"'),
        ({"size": -1}, "the size of images must be a whole number above 0, not -1"),
        ({"size": 0}, "the size of images must be a whole number"),
        ({"keep": "disk", "cache": "inside"}, "lies in the folder of pictures"),
    ],
)
def test_arguments_that_are_of_no_use(arguments: dict, sentence: str, tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "pictures")
    if "cache" in arguments:
        arguments = {**arguments, "cache": root / "inside"}
    with pytest.raises(DataError, match=re.escape(sentence)):
        load(root, **arguments)


@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_folders_of_which_nothing_can_be_made(keep: str, tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "pictures", each=5)
    for path in root.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 12 pictures can be decoded|none of 15 pictures"):
        load(root, size=8, keep=keep, cache=tmp_path / "cache" if keep == "disk" else None, skip_damaged=True)
    one = write_pictures(tmp_path / "one", each=5)
    shutil.rmtree(one / "ant")
    shutil.rmtree(one / "bee")
    with pytest.raises(DataError, match="has 1 class: at least two are needed"):
        load(one, keep=keep, cache=tmp_path / "cache" if keep == "disk" else None)
    assert not list((tmp_path / "cache").rglob("items.bin"))


def test_links_to_nowhere_and_names_that_are_no_unicode(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "pictures")
    (root / "ant" / "zzz.png").symlink_to(tmp_path / "nowhere")
    os.rename(root / "bee" / "003.png", os.fsencode(root / "bee") + b"/\xff.png")
    train, _ = load(root, keep="disk", cache=tmp_path / "cache", skip_damaged=True)
    assert any("1 pictures are damaged" in remark for remark in train.remarks)


def test_test_pictures_that_are_training_pictures_are_said_on_disk_too(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "all")
    shutil.copytree(root, tmp_path / "both" / "train")
    shutil.copytree(root, tmp_path / "both" / "test")
    train, _ = load(tmp_path / "both", keep="disk", cache=tmp_path / "cache")
    assert any("45 of 45 test items are training items too" in remark for remark in train.remarks)


def test_an_index_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"
    load(root, keep="disk", cache=cache)
    (index,) = cache.rglob("index.json")
    index.write_text(index.read_text().replace('"counts": [36, 9]', '"counts": [9, 36]'))
    assert len(load(root, keep="disk", cache=cache)[0]) == 36


@pytest.mark.parametrize("grey", [False, True])
def test_pixels_that_were_changed_are_not_answered(grey: bool, tmp_path: Path) -> None:
    root, cache = write_pictures(tmp_path / "pictures", grey=grey), tmp_path / "cache"
    load(root, keep="disk", cache=cache)
    (path,) = cache.rglob("items.bin")
    with path.open("r+b") as file:  # zeroes of the first channel of picture 5
        file.seek(5 * 3 * 8 * 8)
        file.write(bytes(30))
    train, _ = load(root, keep="disk", cache=cache)
    assert torch.equal(train.items[4], load(root)[0].items[4])
    with pytest.raises(DataError, match=r"items\.bin is damaged at picture 5: delete its folder"):
        train.items[4:7]


def test_a_cache_without_checksums_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"
    load(root, keep="disk", cache=cache)
    (place,) = (cache / "pictures").iterdir()
    labels, index = np.load(place / "labels.npy"), json.loads((place / "index.json").read_text())
    del index["seal"]
    index["format"] = "distill-pictures/1"
    older = {**index, "seal": cache_files.seal(index, labels)}
    (place / "index.json").write_text(json.dumps(older))
    (place / "checksums.npy").unlink()
    capsys.readouterr()
    assert len(load(root, keep="disk", cache=cache)[0]) == 36
    assert "decoding 45 pictures" in capsys.readouterr().err


def test_systems_without_positioned_reads_answer_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = write_pictures(tmp_path / "pictures"), tmp_path / "cache"
    expected = load(root, keep="disk", cache=cache)[0].items[:]
    monkeypatch.delattr(os, "preadv")
    monkeypatch.delattr(os, "posix_fadvise")
    items = load(root, keep="disk", cache=cache)[0].items
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda _: items[:], range(8)))
    assert all(torch.equal(part, expected) for part in parts)


def read_batches(data: Dataset, steps: list[int]) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
    problem = Problem(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)), SGD())
    states = StateDrawer(problem, [], "kaiming", 3, "cpu")
    drawer = TaskDrawer(states, data, draw_by_class(data, 6), build_augmentation("shift"))
    tasks = drawer.draw_steps(2)
    drawn = [task for step in steps for task in tasks(step)]
    return [(task.x, task.y, int(torch.randint(2**40, (), generator=task.generator))) for task in drawn]


@pytest.mark.parametrize("steps", [[0, 1, 2, 3], [7, 8, 3, 3, 4, 9]])
def test_batches_read_ahead_are_those_read_when_they_are_asked_for(steps: list[int], tmp_path: Path) -> None:
    disk, _ = load(write_pictures(tmp_path / "pictures"), keep="disk", cache=tmp_path / "cache")
    memory = replace(disk, items=disk.items[:])
    for ahead, plain in zip(read_batches(disk, steps), read_batches(memory, steps), strict=True):
        assert torch.equal(ahead[0], plain[0])
        assert torch.equal(ahead[1], plain[1])
        assert ahead[2] == plain[2]


def test_the_next_batch_is_read_while_this_one_is_used(tmp_path: Path) -> None:
    begun = [threading.Event() for _ in range(4)]

    def read(number: int) -> tuple[int, str]:
        begun[number].set()
        if number == 3:
            raise DataError("the file is cut")
        return number, threading.current_thread().name

    ahead = Prefetch(read)
    assert ahead(1) == (1, "MainThread")
    assert begun[2].wait(5)
    assert ahead(2)[1].startswith("prefetch")
    assert begun[3].wait(5)
    with pytest.raises(DataError, match="the file is cut"):  # where it is asked for
        ahead(3)
    assert not begun[0].is_set()


@pytest.mark.parametrize("keep", ["auto", "device", "memory"])
def test_images_lie_on_the_device_or_in_memory(
    keep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_npz(tmp_path / "data.npz")
    plain, _ = load(path, keep=keep)
    assert isinstance(plain.items, torch.Tensor)  # beside a CPU, memory is the device
    train, _ = load(path, device="meta", keep=keep)
    assert isinstance(train.items, StoredItems) == (keep == "memory")
    places = torch.tensor([3, 0, 3])
    for data in (train, train.select(places)):
        x, y = data.batch(torch.tensor([0, 2, 1, 1]))
        assert x.device.type == y.device.type == data.items.device.type == "meta"
        assert x.shape == (4, *plain.shape)
    if keep == "memory":
        assert torch.equal(train.items.to("cpu")[places], plain.items[places])
    monkeypatch.setattr(places_module, "free_on_device", lambda device: 100)
    if keep == "device":
        with pytest.raises(DataError, match="are free on meta: give --keep memory"):
            load(path, device="meta", keep=keep)
    else:
        assert isinstance(load(path, device="meta", keep=keep)[0].items, StoredItems)


def test_what_is_no_folder_has_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert image(["--keep", "disk", "--out", str(tmp_path / "run")]) == 2
    assert "are for a folder of images, or tar shards: mnist is none" in capsys.readouterr().err
    root = write_pictures(tmp_path / "pictures")
    options = ["--keep", "disk", "--cache", str(tmp_path / "cache"), "--zca"]
    assert image(["--dataset", str(root), *options, "--out", str(tmp_path / "run")]) == 2
    assert "--zca whitens all images at once" in capsys.readouterr().err
