"""Arrays of an .npz as people have them: their range, layout, labels and size."""

import gzip
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from distill.commands.adapt import main as adapt
from distill.commands.image import main as image
from distill.commands.student import main as student
from distill.data.files import limits
from distill.data.images import load
from distill.errors import DataError
from distill.kd.recipe.parts import DataPart
from distill.kd.sources import load_sources
from tests.helpers import blobs, small_set, write_npz
from tests.picture_oddities import REFUSED_ARRAYS


def write_arrays(path: Path, **changes: object) -> str:
    return str(write_npz(path / "a.npz", 30, 30, **changes))


@pytest.mark.parametrize("name", REFUSED_ARRAYS)
def test_arrays_that_would_be_misread_are_refused(tmp_path: Path, name: str) -> None:
    changes, sentence = REFUSED_ARRAYS[name]
    with pytest.raises(DataError, match=sentence):
        load(write_arrays(tmp_path, **changes))


def test_image_size_does_not_clamp_floats_of_0_to_255(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="save x / 255"):
        load(write_arrays(tmp_path, x_train=blobs(30)[0].astype(float)), size=16)


@pytest.mark.parametrize("layout", [(13, 16, 16), (2, 16, 16), (4, 16, 16)])
def test_several_channels_are_read_where_they_come_first(tmp_path: Path, layout: tuple[int, ...]) -> None:
    x = np.arange(30 * np.prod(layout)).reshape(30, *layout).astype(np.uint8)
    assert load(write_arrays(tmp_path, x_train=x, x_test=x))[0].shape == layout


@pytest.mark.parametrize(("factor", "offset", "names"), [(1, 1, "123"), (5, 0, ("0", "5", "10"))])
def test_labels_from_1_and_labels_with_gaps_keep_their_names(
    tmp_path: Path, factor: int, offset: int, names: tuple[str, ...]
) -> None:
    y = factor * (np.arange(30) % 3) + offset
    train, test = load(write_arrays(tmp_path, y_train=y, y_test=y))
    assert train.classes == test.classes == tuple(names)
    assert train.labels.tolist() == test.labels.tolist() == (np.arange(30) % 3).tolist()
    assert f"the 3 classes are called {', '.join(names)}" in train.remarks[0]


WORDS = np.array(["cat", "dog", "ant"])
LABEL_FORMS = {  # how the labels 0, 1, 2 are saved, and the names that their classes then have
    "column": (lambda y: y[:, None], "0 1 2"),  # as Keras has those of CIFAR-10
    "one-hot": (lambda y: np.eye(3, dtype=int)[y], "0 1 2"),
    "one-hot floats": (lambda y: np.eye(3)[y], "0 1 2"),
    "whole floats": (lambda y: y.astype(float), "0 1 2"),
    "words": (lambda y: WORDS[y], "cat dog ant"),
    "bytes": (lambda y: WORDS.astype("S")[y], "cat dog ant"),
}


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_labels_in_every_form_that_tensors_may_have(tmp_path: Path, form: str) -> None:
    save, names = LABEL_FORMS[form]
    y, test_y = np.arange(30) % 3, 2 - np.arange(30) % 3
    train, test = load(write_arrays(tmp_path, y_train=save(y), y_test=save(test_y)))
    for split, numbers in ((train, y), (test, test_y)):
        assert [split.classes[i] for i in split.labels.tolist()] == [names.split()[i] for i in numbers]


def test_words_are_found_among_the_named_classes_and_other_labels_count_them(tmp_path: Path) -> None:
    y = np.arange(30) % 3
    for labels in (WORDS[y], np.eye(3)[y], y):
        train, _ = load(write_arrays(tmp_path, y_train=labels, y_test=labels, classes=WORDS))
        assert train.classes == tuple(WORDS.tolist())
        assert train.labels.tolist() == y.tolist()


def test_a_word_that_is_no_class_of_the_training_images_is_refused(tmp_path: Path) -> None:
    y = WORDS[np.arange(30) % 3]
    with pytest.raises(DataError, match='a.npz: y_test has the class "eel", which .*ant, cat, dog'):
        load(write_arrays(tmp_path, y_train=y, y_test=np.where(y == "ant", "eel", y)))


def test_a_named_class_without_an_image_is_said(tmp_path: Path) -> None:
    train, _ = load(write_arrays(tmp_path, classes=np.array(["a", "b", "c", "d"])))
    assert train.remarks == tuple(f"a.npz: no {s} image of 1 of 4 classes: d" for s in ("training", "test"))


def test_a_test_split_of_one_constant_is_said(tmp_path: Path) -> None:
    """What x / 255 gives as whole numbers."""
    train, _ = load(write_arrays(tmp_path, x_test=np.zeros((30, 8, 8), np.uint8)))
    assert train.remarks == (
        "a.npz: all pixels of all test images are equal: there is nothing to tell apart",
    )


def test_names_of_classes_may_be_bytes(tmp_path: Path) -> None:
    assert load(write_arrays(tmp_path, classes=np.array([b"a", b"x", b"b"])))[0].classes == ("a", "x", "b")


HEADERS = {
    "1e12-rows": b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 8, 8), }\n",
    "negative": b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -16), }\n",
    "no-type": b"{'descr': 'x9', 'fortran_order': False, 'shape': (16,), }\n",
    "cut": b"{'descr': '|u1'",
    "brackets": b"(" * 9000,
    "bytes": b"\xff\xfe",
    "objects": b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n",
}


def write_member(path: Path, header: bytes, zeros: int = 16) -> str:
    """An .npz whose x_train has this header, and so many zero bytes."""
    write_npz(path, x_train=None)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as archive, archive.open("x_train.npy", "w") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        for _ in range(0, zeros, 2**20):
            file.write(bytes(min(zeros, 2**20)))
    return str(path)


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_claims_what_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="damaged or not an .npz file of plain arrays"):
        load(write_member(tmp_path / "a.npz", HEADERS[name]))


def test_an_npz_that_grows_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FREE_SIZE", 2**20)
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (65536, 8, 8), }\n"
    path = write_member(tmp_path / "a.npz", head, 2**22)
    with pytest.raises(DataError, match=r"unpacks from \d+ kB to 4.2 MB, more than 100 times its size"):
        load(path)


def test_an_npz_larger_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "machine_memory", lambda: 20_000)
    with pytest.raises(DataError, match="a.npz unpacked would take .* this machine has 20 kB: save fewer"):
        load(str(write_npz(tmp_path / "a.npz")))


def test_an_idx_file_that_grows_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 2**20, 2**10, 2**10)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header))
    with pytest.raises(DataError, match="unpacks from 1 kB to 1.1 TB"):
        load("mnist", tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").unlink()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header)
    with pytest.raises(DataError, match="train-images-idx3-ubyte is damaged"):
        load("mnist", tmp_path)


def test_a_pipe_called_npz_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="a.npz is not a regular file"):
        load(str(tmp_path / "a.npz"))


def test_every_door_refuses_floats_of_0_to_255(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_arrays(tmp_path, x_train=blobs(30)[0].astype(float))
    small_set().save(tmp_path / "set.pt")
    assert image(["--dataset", path, "--out", str(tmp_path / "run")]) == 2
    assert student([str(tmp_path / "set.pt"), "--dataset", path]) == 2
    assert adapt(["--source", path, "--target", path, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("floating-point pixels must be in 0 … 1: save x / 255") == 3
    with pytest.raises(DataError, match="save x / 255"):
        load_sources(DataPart(name=path), 0, "cpu")
    assert not (tmp_path / "run").exists()


def test_every_door_refuses_an_empty_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_set().save(tmp_path / "set.pt")
    assert image(["--dataset", "", "--out", str(tmp_path / "run")]) == 2
    assert student([str(tmp_path / "set.pt"), "--dataset", ""]) == 2
    assert capsys.readouterr().err.count("--dataset is empty: give a value, or leave it out") == 2


def test_every_door_says_the_remarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = np.arange(30) % 3 + 1
    path = write_arrays(tmp_path, y_train=y, y_test=y)
    source = {"name": path, "classes": ["1", "2", "3"], "mean": [0.3], "std": [0.2]}
    small_set(source=source).save(tmp_path / "set.pt")
    assert student([str(tmp_path / "set.pt"), "--dataset", path]) == 0
    assert "the 3 classes are called 1, 2, 3" in capsys.readouterr().err


@pytest.mark.parametrize("split", ["training", "test"])
def test_idx_files_without_items_are_refused(tmp_path: Path, split: str) -> None:
    train, test = (0, 10) if split == "training" else (10, 0)
    for stem, count in (("train", train), ("t10k", test)):
        images = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 8, 8) + bytes(64 * count)
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, count) + bytes(i % 2 for i in range(count))
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(DataError, match=f"mnist has no {split} images"):
        load("mnist", tmp_path)
