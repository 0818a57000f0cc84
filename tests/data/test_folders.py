"""Folders of images as people have them: their splits, what else lies in them, and links."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.data.images import is_path, load
from distill.errors import DataError


def write_pictures(root: Path, classes: Sequence[str] = "abc", count: int = 4, colour: bool = False) -> Path:
    """count pictures of each class, all different."""
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = np.full((8, 8, 3), 10 * k + i, np.uint8)
            pixels[0, 0, 0] += 50 * colour
            pixels[7, 7] = sum(map(ord, root.name)) % 256  # another picture in each split
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation", "dev", "Test", "testing"])
def test_train_and_val_are_splits_not_classes(tmp_path: Path, name: str) -> None:
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / name, count=2)
    train, test = load(str(tmp_path))
    assert (len(train), len(test), train.classes) == (12, 6, ("a", "b", "c"))
    expected = () if name.lower().startswith("test") else (f"{tmp_path / name} is the test split",)
    assert train.remarks == expected


def test_of_train_val_and_test_the_test_is_the_test(tmp_path: Path) -> None:
    for name, count in (("train", 4), ("val", 3), ("test", 2)):
        write_pictures(tmp_path / name, count=count)
    train, test = load(str(tmp_path))
    assert (len(train), len(test)) == (12, 6)
    assert train.remarks == (f"{tmp_path}: not used beside train and test: val",)


def test_a_train_folder_alone_is_split(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", count=5)
    train, test = load(str(tmp_path))
    assert (len(train), len(test), train.classes) == (12, 3, ("a", "b", "c"))
    assert "has no test folder: every fifth image" in train.remarks[0]


@pytest.mark.parametrize("names", [("test", "val"), ("test",), ("train", "labels"), ("test", "cat")])
def test_folders_called_as_splits_are_not_learned_as_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_pictures(tmp_path / name)
    with pytest.raises(
        DataError, match=f"holds .*{names[0]}.*, which are not two splits: call them train and"
    ):
        load(str(tmp_path))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        write_pictures(tmp_path, "x", 10)
        (tmp_path / "x").rename(tmp_path / name)
    assert load(str(tmp_path))[0].classes == ("bus", "train")


def test_folders_of_editors_and_systems_are_no_classes(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=5)
    for folder in (".ipynb_checkpoints", "__MACOSX", "__pycache__", ".git", "a/.ipynb_checkpoints"):
        (tmp_path / folder).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / folder / "x.png")
    for file in ("a/._0.png", "a/Thumbs.db", "b/.DS_Store"):
        (tmp_path / file).write_bytes(b"no picture")
    train, test = load(str(tmp_path))
    assert (len(train), len(test), train.classes, train.remarks) == (12, 3, ("a", "b", "c"), ())


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "notes.txt").write_text("none yet")
    with pytest.raises(
        DataError, match=r"/d holds no images: put some there \(.jpg, .* or remove the folder"
    ):
        load(str(tmp_path))


def test_a_folder_around_the_folder_is_named(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "photos"
    inner.mkdir(parents=True)
    write_pictures(inner)
    with pytest.raises(DataError, match="outer holds one folder, which holds others: did you mean .*photos?"):
        load(str(tmp_path / "outer"))


def test_files_that_are_not_read_are_said(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    for file in ("a/x.avif", "a/y.avif", "b/notes.txt"):
        (tmp_path / file).write_bytes(b"")
    Image.new("L", (8, 8)).save(tmp_path / "loose.png")
    remark = load(str(tmp_path))[0].remarks[0]
    assert remark.endswith(
        "4 files are not read: 2 of .avif, 1 of .txt, 1 images beside the classes' folders"
    )


def test_gif_files_are_read(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    for name in "abc":
        Image.new("L", (8, 8), ord(name)).save(tmp_path / name / "z.gif")
    assert sum(map(len, load(str(tmp_path)))) == 15


def test_a_class_without_test_images_is_said(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "test", "ac", 2)
    train, test = load(str(tmp_path))
    assert (len(test), test.labels.tolist()) == (4, [0, 0, 2, 2])
    assert train.remarks == (f"{tmp_path.name}: no test image of 1 of 3 classes: b",)


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "test", "abz", 2)
    with pytest.raises(DataError, match="test/z is a class without training images"):
        load(str(tmp_path))


def test_a_class_of_one_image_teaches(tmp_path: Path) -> None:
    write_pictures(tmp_path, "a", 4)
    write_pictures(tmp_path, "b", 0)
    Image.new("L", (8, 8), 200).save(tmp_path / "b" / "only.png")  # the fifth of all
    write_pictures(tmp_path, "c", 6)
    train, test = load(str(tmp_path))
    assert train.labels.bincount().tolist() == [4, 1, 5]
    assert test.labels.tolist() == [2]


def test_20_classes_of_4_are_split(tmp_path: Path) -> None:
    write_pictures(tmp_path, "abcdefghijklmnopqrst")
    train, test = load(str(tmp_path))
    assert (len(train), len(test)) == (64, 16)
    assert train.labels.bincount().min() == 3
    assert any("no test image of 4 of 20 classes" in remark for remark in train.remarks)


def test_too_few_images_to_test_with_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds too few images to test with: give it more, or a folder test"):
        load(str(write_pictures(tmp_path, "ab", 2)))


def test_a_test_folder_without_classes_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path, ["test"])
    with pytest.raises(DataError, match="/test holds too few images .* a subfolder per class in it, or move"):
        load(str(tmp_path))


def test_train_grey_and_test_colour_have_one_colour_mode(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "test", colour=True)
    train, test = load(str(tmp_path))
    assert train.shape == test.shape == (3, 8, 8)


def test_a_symlink_loop_adds_nothing(tmp_path: Path) -> None:
    write_pictures(tmp_path / "f")
    os.symlink("..", tmp_path / "f" / "a" / "loop")
    assert sum(map(len, load(str(tmp_path / "f")))) == 12


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """Twelve folders that all link to one another have 12! paths."""
    names = "abcdefghijkl"
    write_pictures(tmp_path, names, 1)
    for name in names:
        for other in names.replace(name, ""):
            os.symlink(f"../{other}", tmp_path / name / other)
    assert sum(map(len, load(str(tmp_path)))) == 144


def test_folders_200_deep_are_read(tmp_path: Path) -> None:
    write_pictures(tmp_path, "ab", 5)
    deep = tmp_path / "a" / "/".join("d" * 200)
    deep.mkdir(parents=True)
    Image.new("L", (8, 8)).save(deep / "x.png")
    assert sum(map(len, load(str(tmp_path)))) == 11


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for permissions, which do not bind the administrator."""

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\): mend its permissions"):
        load(str(tmp_path))


def test_a_class_may_be_a_link_to_a_folder_elsewhere(tmp_path: Path) -> None:
    write_pictures(tmp_path / "f")
    (tmp_path / "f" / "a").rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", tmp_path / "f" / "a")
    assert sum(map(len, load(str(tmp_path / "f")))) == 12


def test_images_of_two_classes_that_are_the_same_are_said(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=5)
    for i in range(5):
        (tmp_path / "c" / f"{i}.png").write_bytes((tmp_path / "b" / f"{i}.png").read_bytes())
    assert 'the classes "b" and "c" have the same images' in load(str(tmp_path))[0].remarks[0]


def test_images_that_are_all_one_constant_are_said(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new("L", (8, 8), 7).save(tmp_path / name / f"{i}.png")
    assert "all pixels of all images are equal" in load(str(tmp_path))[0].remarks[0]


def test_a_folder_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    try:
        os.rename(tmp_path / "a", os.fsencode(str(tmp_path)) + b"/a\xff")
    except OSError:
        pytest.skip("this file system takes text only")
    with pytest.raises(DataError, match=r"the class name 'a\\udcff' is not valid text: rename it"):
        load(str(tmp_path))


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_pictures(tmp_path))
    with pytest.raises(DataError, match="the name of the data set is empty: give mnist, .* or a path"):
        load("")


def test_a_named_set_is_not_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    assert (is_path("mnist"), is_path("./mnist")) == (False, True)


def test_data_dir_beside_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data-dir is for a named data set: leave it out"):
        load(str(write_pictures(tmp_path)), "/nonexistent")
