"""Dataset: a whole real set as tensors on one device, with its facts; and where image sets come from.

MNIST is bundled. Other named sets come through torchvision (downloaded once) or from a folder;
a user's own set is an .npz file or a folder of images, one subfolder per class.
"""

import gzip
import hashlib
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.data.dataset import Dataset, check_labels, moments, scaled
from distill.errors import DataError, unknown

MNIST = Path(__file__).parent / "bundled" / "mnist"


CACHE = Path(os.environ.get("DISTILL_CACHE", Path.home() / ".cache" / "distill"))


IDX = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}  # MD5 of MNIST's four unpacked files


NPZ = ("x_train", "y_train", "x_test", "y_test")


DIGITS = tuple("0123456789")


MOST = 100_000  # classes of an .npz that names none: a label beyond is out of range


def load(
    name: str, data_dir: str | Path | None = None, device: str = "cpu", size: int | None = None
) -> tuple[Dataset, Dataset]:
    """(train, test) of a named set, an .npz file, or a folder of images.

    size resizes the images to size × size (default: as they are; of a folder, the size of the first).
    Raises DataError where files are missing or damaged, or labels are out of range.
    """
    x, y, tx, ty, classes = read(name, data_dir, size)
    check_labels(name, y, ty, len(classes))
    if size:
        x, tx = scaled(x, (size, size)), scaled(tx, (size, size))
    mean, std = moments(x)
    label = Path(name).name if is_path(name) else name
    sets = (Dataset(label, a.to(device), b.to(device), classes, mean, std) for a, b in ((x, y), (tx, ty)))
    train, test = sets
    return train, test


Raw = tuple[Tensor, Tensor, Tensor, Tensor, tuple[str, ...]]


def read(name: str, data_dir: str | Path | None, size: int | None) -> Raw:
    """Images (N, C, H, W), labels, test images, test labels, class names."""
    if is_path(name):
        return from_path(Path(name), size)
    if name not in NAMED:
        raise DataError(unknown("data set", name, NAMED) + "; or give a path to an .npz file or a folder")
    if data_dir is None:
        return from_idx(MNIST, DIGITS, IDX) if name == "mnist" else from_torchvision(name, CACHE, True)
    return from_data_dir(name, Path(data_dir))


def is_path(name: str) -> bool:
    return name.endswith(".npz") or os.sep in name or Path(name).is_dir()


def from_path(path: Path, size: int | None) -> Raw:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    return from_folder(path, size) if path.is_dir() else from_npz(path)


def from_data_dir(name: str, root: Path) -> Raw:
    """A named set from files: IDX files or an .npz in root or root/name, or torchvision's own layout."""
    plain = name.replace("-", "")
    for folder in (root / name, root / plain, root):
        if has_idx(folder) and name in ("mnist", "fashion-mnist", "kmnist"):
            return from_idx(folder, DIGITS)
        for stem in (name, plain):
            if (folder / f"{stem}.npz").is_file():
                return from_npz(folder / f"{stem}.npz")
    try:
        return from_torchvision(name, root, download=False)
    except DataError:
        idx = f"{root / name}/train-images-idx3-ubyte.gz and its three companions, or "
        raise DataError(
            f"no {name} in {root}: expected {idx if name.endswith('mnist') else ''}{root / plain}.npz with"
            f" {', '.join(NPZ)}; without --data-dir it is"
            f" {'read from the package' if name == 'mnist' else 'downloaded once'}"
        ) from None


def has_idx(folder: Path) -> bool:
    return any((folder / f"{stem}{end}").is_file() for stem in IDX for end in ("", ".gz"))


def from_idx(folder: Path, classes: tuple[str, ...], md5: dict[str, str] | None = None) -> Raw:
    """The four IDX files of MNIST and its kin, gzipped or not; md5 of the unpacked ones, if known."""
    arrays = [read_idx(folder, stem, (md5 or {}).get(stem)) for stem in IDX]
    for images, labels in (arrays[:2], arrays[2:]):
        if len(images) != len(labels):
            raise DataError(f"{folder} holds {len(images)} images but {len(labels)} labels of one split")
    x, y, tx, ty = arrays
    return x.unsqueeze(1), y.long(), tx.unsqueeze(1), ty.long(), classes


def read_idx(folder: Path, stem: str, md5: str | None) -> Tensor:
    """One IDX file: two zero bytes, the type 8, the number of dimensions, the sizes, the bytes."""
    path = next((p for p in (folder / f"{stem}.gz", folder / stem) if p.is_file()), None)
    if path is None:
        raise DataError(f"{folder} lacks {stem}.gz: put the four IDX files there, gzipped or not")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error):
        raise DataError(f"{path} is damaged: it does not unzip; fetch it again") from None
    ndim = 3 if "images" in stem else 1
    head, body = raw[: 4 + 4 * ndim], raw[4 + 4 * ndim :]
    sizes = [int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4)]
    if head[:4] != bytes([0, 0, 8, ndim]) or len(sizes) != ndim or len(body) != math.prod(sizes):
        raise DataError(f"{path} is damaged: not an IDX file of {ndim} dimensions and the size it states")
    if md5 and hashlib.md5(raw, usedforsecurity=False).hexdigest() != md5:
        raise DataError(f"{path} is damaged: its MD5 is not {md5}; install distill again")
    return torch.from_numpy(np.frombuffer(body, np.uint8).reshape(sizes).copy())


def from_npz(path: Path) -> Raw:
    """An .npz with x_train, y_train, x_test, y_test; optionally classes, their names."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        TypeError,
        KeyError,
    ):
        raise DataError(f"{path} is damaged or not an .npz file of plain arrays") from None
    missing = [name for name in NPZ if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(arrays) or 'nothing'}")
    y, ty = (to_labels(arrays[k], f"{k} in {path}") for k in ("y_train", "y_test"))
    names = arrays.get("classes", np.arange(min(int(y.max()) + 1, MOST) if len(y) else 0))
    x, tx = (to_images(arrays[k], f"{k} in {path}") for k in ("x_train", "x_test"))
    for images, labels, part in ((x, y, "train"), (tx, ty, "test")):
        if len(images) != len(labels) or not len(images):
            raise DataError(f"{path} holds {len(images)} {part} images and {len(labels)} {part} labels")
    if x.shape[1:] != tx.shape[1:]:
        raise DataError(f"{path}: x_train and x_test hold images of different shapes")
    return x, y, tx, ty, tuple(map(str, names.tolist()))


def to_labels(array: NDArray[Any], where: str) -> Tensor:
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{where} must be a vector of whole numbers, not {array.dtype} {array.shape}")
    return torch.from_numpy(array.astype(np.int64))


def to_images(array: NDArray[Any], where: str) -> Tensor:
    """(N, C, H, W) from (N, H, W), (N, H, W, C) or (N, C, H, W); uint8 stays, floats become float32."""
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"{where} must hold uint8 or floating-point pixels, not {array.dtype}")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4:
        raise DataError(f"{where} must be (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}")
    if array.shape[1] not in (1, 3) and array.shape[3] in (1, 3, 4):
        array = array.transpose(0, 3, 1, 2)
    array = np.ascontiguousarray(array)
    if array.dtype == np.uint8:
        return torch.from_numpy(array)
    if not np.isfinite(array).all():
        raise DataError(f"{where} holds NaN or infinite pixels")
    return torch.from_numpy(array.astype(np.float32))


def from_folder(root: Path, size: int | None) -> Raw:
    """A folder with train/ and test/, or with the classes' subfolders themselves (every fifth is test)."""
    parts = [root / "train", root / "test"]
    if all(p.is_dir() for p in parts):
        (x, y, classes), (tx, ty, others) = (read_folder(p, size) for p in parts)
        if classes != others:
            raise DataError(f"{parts[0]} and {parts[1]} have different subfolders: one per class in both")
        if x.shape[1:] != tx.shape[1:]:
            raise DataError(f"the images of {parts[0]} and {parts[1]} differ in size: give --image-size")
        return x, y, tx, ty, classes
    x, y, classes = read_folder(root, size)
    test = torch.arange(len(y)) % 5 == 4
    return x[~test], y[~test], x[test], y[test], classes


def read_folder(root: Path, size: int | None) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """All images below root, one subfolder per class, resized and cropped to one size."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.v2 import functional as image

    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError:
        raise DataError(
            f"{root} holds no images: expected one subfolder per class with images in it"
        ) from None
    pictures: list[Tensor] = []
    for path, _ in folder.samples:
        try:
            picture = image.pil_to_tensor(folder.loader(path))
        except (OSError, SyntaxError):
            raise DataError(f"{path} is not a readable image") from None
        wanted = [size, size] if size else list(pictures[0].shape[1:]) if pictures else None
        if wanted and list(picture.shape[1:]) != wanted:
            picture = image.center_crop(image.resize(picture, [max(wanted)]), wanted)
        pictures.append(picture)
    x = torch.stack(pictures)
    if bool((x[:, :1] == x).all()):
        x = x[:, :1].contiguous()  # grey
    return x, torch.tensor(folder.targets), tuple(folder.classes)


def from_torchvision(name: str, root: Path, download: bool) -> Raw:
    """A named set as torchvision reads it from root, downloaded there first if asked."""
    from torchvision import datasets

    def arguments(split: str) -> dict[str, Any]:
        return {"split": split} if name == "svhn" else {"train": split == "train"}

    if download:
        root.mkdir(parents=True, exist_ok=True)
    try:
        parts = [
            getattr(datasets, NAMED[name])(str(root), download=download, **arguments(split))
            for split in ("train", "test")
        ]
    except Exception as error:  # the network, the host, the file system: torchvision passes them all on
        raise DataError(
            f"{name} could not be downloaded to {root} ({type(error).__name__}): fetch it by hand and give"
            f" --data-dir a folder with {name.replace('-', '')}.npz, or with torchvision's files"
        ) from None
    x, tx = (to_images(np.asarray(p.data), name) for p in parts)
    y, ty = (torch.as_tensor(np.asarray(getattr(p, "targets", getattr(p, "labels", None)))) for p in parts)
    classes = getattr(parts[0], "classes", DIGITS)
    return x, y.long(), tx, ty.long(), tuple(map(str, classes))


NAMED = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "cifar-10": "CIFAR10",
    "cifar-100": "CIFAR100",
    "svhn": "SVHN",
    "usps": "USPS",
}
