"""Real images: bundled, from files, from folders; and each fault of a file, in one sentence.

No test downloads: the tests write files in torchvision's layouts.
"""

import gzip
import struct
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill import registry
from distill.data import IMAGE_SETS
from distill.data.dataset import Dataset, channel_mean_std
from distill.data.images import MNIST, load
from distill.errors import DataError
from distill.randomness import stream
from tests.helpers import blobs, write_npz


@pytest.fixture(scope="module")
def mnist() -> tuple[Dataset, Dataset]:
    return load("mnist")


def write_idx(folder: Path, train: int = 20, test: int = 10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, count in (("train", train), ("t10k", test)):
        images, labels = blobs(count)
        header = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 8, 8)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
        header = struct.pack(">BBBBI", 0, 0, 8, 1, count)
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())
    return folder


def write_folder(root: Path, count: int = 10, colour: bool = False, size: int = 8) -> Path:
    images, labels = blobs(count * 3, size=size)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / "abc"[label]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.stack([image + 9 * colour, image, image], axis=-1)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:03}.png")
    return root


def test_the_bundled_mnist_is_complete(mnist: tuple[Dataset, Dataset]) -> None:
    train, test = mnist
    assert (len(train), len(test), train.shape) == (60_000, 10_000, (1, 28, 28))
    assert train.mean[0] == pytest.approx(0.1307, abs=1e-4)
    assert train.std[0] == pytest.approx(0.3081, abs=1e-4)
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_a_batch_is_normalised_and_the_items_stay_bytes(mnist: tuple[Dataset, Dataset]) -> None:
    x, y = mnist[0].batch(slice(0, 10_000))
    assert x.dtype == torch.float32
    assert mnist[0].items.dtype == torch.uint8
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02
    assert y[:5].tolist() == [5, 0, 4, 1, 9]


def test_the_parts_of_a_split_are_disjoint_and_complete(mnist: tuple[Dataset, Dataset]) -> None:
    train, held_out = mnist[1].split(2500, stream("split"))
    assert (len(train), len(held_out)) == (7500, 2500)
    counts = torch.cat([train.labels, held_out.labels]).bincount()
    assert torch.equal(counts, mnist[1].labels.bincount())
    second = mnist[1].split(2500, stream("split"))[1]
    assert torch.equal(held_out.items, second.items)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_idx_files_are_found_by_name_or_in_the_folder_itself(tmp_path: Path, name: str) -> None:
    write_idx(tmp_path / name)
    assert len(load(name, tmp_path)[0]) == len(load(name, tmp_path / name)[0]) == 20


def test_other_sets_are_found_as_npz(tmp_path: Path) -> None:
    write_npz(tmp_path / "cifar10.npz")
    (tmp_path / "usps").mkdir()
    write_npz(tmp_path / "usps" / "usps.npz")
    assert len(load("cifar-10", tmp_path)[0]) == len(load("usps", tmp_path)[0]) == 300


def test_a_data_folder_without_the_files_says_which_and_how(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="no mnist in .* expected .*train-images-idx3-ubyte.gz .* read from the package"
    ):
        load("mnist", tmp_path)
    with pytest.raises(DataError, match=r"no cifar-10 in .*cifar10.npz with x_train, .* downloaded once"):
        load("cifar-10", tmp_path)


def test_a_set_that_cannot_be_downloaded_says_how_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands in for a machine without a network: torchvision's download fails."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.SVHN", refuse)
    monkeypatch.setattr("distill.data.images.CACHE", tmp_path)
    with pytest.raises(DataError, match="svhn could not be downloaded .* --data-dir a folder with svhn.npz"):
        load("svhn")


def test_torchvision_reads_what_it_downloaded(tmp_path: Path) -> None:
    """Stands in for torchvision's cache: USPS in its own libsvm form."""
    import bz2

    for part, count in (("", 7291), (".t", 2007)):
        row = " ".join(f"{i + 1}:{(i % 3) - 1}" for i in range(256))
        lines = "".join(f"{k % 10 + 1} {row}\n" for k in range(30))
        (tmp_path / f"usps{part}.bz2").write_bytes(bz2.compress(lines.encode()))
        assert count
    import torchvision

    md5 = torchvision.datasets.utils.calculate_md5
    split = torchvision.datasets.USPS.split_list
    file_sums = {k: [v[0], v[1], md5(tmp_path / v[1])] for k, v in split.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.datasets.USPS, "split_list", file_sums)
        train, _ = load("usps", tmp_path)
    assert (len(train), train.shape, len(train.classes)) == (30, (1, 16, 16), 10)


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_every_named_set_is_one_of_torchvision_s_and_says_its_split(name: str) -> None:
    parameters = signature(registry.load(IMAGE_SETS[name])).parameters
    assert {"root", "download"} <= set(parameters)
    assert {"split", "train"} & set(parameters)


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='no data set called "minst"; did you mean "mnist"'):
        load("minst")


@pytest.mark.parametrize("layout", [(8, 8), (8, 8, 3), (3, 8, 8), (1, 8, 8)])
def test_npz_layouts_become_channels_first(tmp_path: Path, layout: tuple[int, ...]) -> None:
    x = np.zeros((9, *layout), np.uint8)
    y = np.arange(9) % 3
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    train, _ = load(str(tmp_path / "a.npz"))
    assert train.shape == (3 if 3 in layout else 1, 8, 8)
    assert train.std == (1.0,) * train.shape[0]


def test_float_pixels_are_taken_as_they_are(tmp_path: Path) -> None:
    x, y = blobs(300)
    train, _ = load(str(write_npz(tmp_path / "a.npz", x_train=(x / 255).astype(np.float16))))
    byte_data, _ = load(str(write_npz(tmp_path / "b.npz")))
    assert train.mean == pytest.approx(byte_data.mean, abs=1e-4)
    torch.testing.assert_close(train.batch(slice(5))[0], byte_data.batch(slice(5))[0], atol=1e-2, rtol=0)


def test_classes_of_an_npz_may_be_named(tmp_path: Path) -> None:
    train, _ = load(str(write_npz(tmp_path / "a.npz", classes=np.array(["left", "middle", "right"]))))
    assert train.classes == ("left", "middle", "right")


BROKEN = {
    "lacks y_test; it holds x_train": {"y_test": None},
    "test label 7 is out of range: 3 classes are 0 … 2": {"y_test": np.full(60, 7)},
    "train label -1 is out of range: 3 classes are 0 … 2$": {"y_train": np.arange(300) % 3 - 1},
    "2 classes are 0 … 1: of labels -1 and 1 give": {
        "y_train": np.arange(300) % 2 * 2 - 1,
        "y_test": np.arange(60) % 2 * 2 - 1,
    },
    "y_train in .*: row 1 of y is 0.0066.*, which is no class number": {"y_train": np.linspace(0, 2, 300)},
    "holds 299 train images and 300 train labels": {"x_train": blobs(299)[0]},
    "images of different shapes": {"x_test": blobs(60, size=9)[0]},
    "must hold uint8 or floating-point pixels": {"x_train": blobs(300)[0].astype(np.int64)},
    "NaN or infinite": {"x_train": np.full((300, 8, 8), np.nan)},
    "has 1 class": {"y_train": np.zeros(300, int), "y_test": np.zeros(60, int)},
    "damaged or not an .npz .*: y_train holds Python objects; save words by y_train.astype": {
        "y_train": np.array(["a", "b", "c"] * 100, dtype=object)
    },
    "damaged or not an .npz": {"y_train": np.array([{}] * 300, dtype=object)},
    "labels of one split are words, of the other numbers": {"y_train": np.array(["a", "b", "c"] * 100)},
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_a_broken_npz_is_refused(tmp_path: Path, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        load(str(write_npz(tmp_path / "a.npz", **BROKEN[sentence])))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_npz_is_refused(tmp_path: Path, share: float) -> None:
    path = write_npz(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match="damaged or not an .npz"):
        load(str(path))


def test_damaged_idx_files_are_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "train-images-idx3-ubyte.gz"
    content = path.read_bytes()
    for damaged in (
        content[:100],
        b"",
        b"hello",
        gzip.compress(b"hello"),
        gzip.compress(gzip.decompress(content)[:-1]),
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz is damaged"):
            load("mnist", tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="lacks train-images-idx3-ubyte.gz"):
        load("mnist", tmp_path)


def test_the_bundled_files_are_checked_by_md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path)
    monkeypatch.setattr("distill.data.images.MNIST", tmp_path)
    with pytest.raises(DataError, match="its MD5 is not 6bbc9ace"):
        load("mnist")
    assert (MNIST / "README.md").is_file()


def test_a_folder_of_images_is_split_or_read_as_split(tmp_path: Path) -> None:
    train, test = load(str(write_folder(tmp_path / "whole")))
    assert (len(train), len(test), train.shape, train.classes) == (24, 6, (1, 8, 8), ("a", "b", "c"))
    for part in ("train", "test"):
        write_folder(tmp_path / "split" / part, colour=True)
    train, test = load(str(tmp_path / "split"))
    assert (len(train), len(test), train.shape) == (30, 30, (3, 8, 8))


def test_images_of_a_folder_are_brought_to_one_size(tmp_path: Path) -> None:
    write_folder(tmp_path / "f", size=8)
    Image.new("L", (12, 20)).save(tmp_path / "f" / "c" / "zz.png")
    assert load(str(tmp_path / "f"))[0].shape == (1, 8, 8)
    assert load(str(tmp_path / "f"), size=6)[0].shape == (1, 6, 6)


def test_a_folder_that_is_no_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        load(str(tmp_path))
    with pytest.raises(DataError, match="no such file or folder"):
        load(str(tmp_path / "none.npz"))
    write_folder(tmp_path / "f")
    (tmp_path / "f" / "a" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad.png is not a readable image"):
        load(str(tmp_path / "f"))


def test_mean_and_spread_of_many_images_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randint(0, 256, (2300, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x[:, 2] = 7
    expected = channel_mean_std(x)
    monkeypatch.setattr("distill.data.dataset.MANY", 100)
    for values, sums in zip(expected, channel_mean_std(x), strict=True):
        assert sums == pytest.approx(values, rel=1e-5)
