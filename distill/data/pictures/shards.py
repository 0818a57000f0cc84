"""Tar shards of pictures, as WebDataset writes them: KEY.jpg, and KEY.cls with its class beside it.

A shard is read once for the places of its members and their labels; pictures are then read from there, and
nothing is unpacked. https://github.com/webdataset/webdataset
"""

import re
import tarfile
from collections.abc import Iterator
from glob import glob
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch

from distill.data.pictures.cache import describe_file
from distill.data.pictures.image_file import ENDINGS
from distill.data.pictures.image_folder import TEST, TRAIN, FolderListing, every_fifth, subfolders
from distill.errors import DataError

LABEL = "cls"
MOST_BYTES = 1000  # of a label
WILD = frozenset("*?[")


class TarPicture(NamedTuple):
    """A picture in a shard, by its place there."""

    shard: Path
    name: str
    offset: int
    size: int
    stamp: str  # size and times of the shard

    def __str__(self) -> str:
        return f"{self.shard}: {self.name}"

    def open(self) -> BinaryIO:
        """Its bytes."""
        with self.shard.open("rb") as file:
            file.seek(self.offset)
            return BytesIO(file.read(self.size))

    def describe(self) -> str:
        """What changes with it."""
        return f"{self.shard.name} {self.stamp} {self.name} {self.offset} {self.size}"


class Labelled(NamedTuple):
    """A picture with the word in its KEY.cls."""

    picture: TarPicture
    label: str


def is_shards(name: str) -> bool:
    """Whether a path is of tar shards: one, a pattern as DIR/*.tar, or a folder with shards in it."""
    return name.lower().endswith(".tar") or bool(Path(name).is_dir() and shards_in(Path(name)))


def shards_in(root: Path) -> list[Path]:
    """The shards of a folder, or of its folders train and test, where it has no folders of pictures."""
    folders = [folder for folder in subfolders(root) if folder.name.lower() in (*TRAIN, *TEST)]
    if any(subfolders(folder) for folder in folders or [root]):
        return []
    return sorted(path for folder in folders or [root] for path in folder.glob("*.tar"))


def list_shards(name: str) -> FolderListing:
    """The pictures of shards; those whose names say test (or val) are the test split, else every fifth.

    Raises DataError.
    """
    path = Path(name)
    shards = shards_in(path) if path.is_dir() else [Path(shard) for shard in sorted(glob(name))]
    if not shards:
        raise DataError(f"{name}: there is no such shard")
    root = path if path.is_dir() else next(p for p in path.absolute().parents if not WILD & set(str(p)))
    train_shards, test_shards, remarks = split_shards(root, shards)
    train, test = (
        [x for shard in part for x in list_pictures(shard)] for part in (train_shards, test_shards)
    )
    classes = name_classes(train)
    pairs, tests = (number_labels(part, classes) for part in (train, test))
    if not test_shards:
        is_test = every_fifth(torch.tensor([label for _, label in pairs])).tolist()
        remarks += (f"{name} has no test shards: every fifth picture is a test picture",)
        pairs, tests = (
            [pair for pair, chosen in zip(pairs, is_test, strict=True) if chosen == k] for k in (False, True)
        )
    if not tests:
        raise DataError(f"{name} holds too few pictures to test with: give it more, or a shard test.tar")
    origin = str(root.resolve() / ("" if path.is_dir() else name))
    return FolderListing([*pairs], [*tests], classes, remarks, root.resolve().name, origin, root)


def split_shards(root: Path, shards: list[Path]) -> tuple[list[Path], list[Path], tuple[str, ...]]:
    """(training shards, test shards, remarks), by the words of their names. Raises DataError."""
    words = {
        s: set(re.findall("[a-z]+", str(s.absolute().relative_to(root.absolute()).with_suffix("")).lower()))
        for s in shards
    }
    train = [shard for shard in shards if not words[shard] & set(TEST)]
    chosen = next((word for word in TEST if any(word in w for w in words.values())), "")
    test = [shard for shard in shards if chosen in words[shard]]
    if not train:
        raise DataError(f"{root}: the names of all shards say {chosen}: call one of them train")
    unused = len(shards) - len(train) - len(test)
    remark = f"{root}: {unused} shards are not used beside those of train and {chosen}"
    return train, test, (remark,) if unused else ()


def list_pictures(shard: Path) -> list[Labelled]:
    """The pictures of a shard in its order. Raises DataError that names the shard and the member."""
    pictures, labels, stamp = dict[str, TarPicture](), dict[str, str](), describe_file(shard)
    for member, content in read_members(shard):
        key, ending = split_key(member.name)
        if f".{ending}" in ENDINGS:
            if key in pictures:
                raise DataError(f"{shard}: {member.name} is a second picture of {key}: remove one")
            pictures[key] = TarPicture(shard, member.name, member.offset_data, member.size, stamp)
        elif ending == LABEL:
            label = read_label(shard, member.name, content)
            if labels.setdefault(key, label) != label:
                raise DataError(f"{shard}: {member.name} is {label} and {labels[key]}: one label per picture")
    if not pictures:
        raise DataError(f"{shard} holds no pictures KEY.jpg with their classes KEY.cls: unpack it first")
    bare = next((picture for key, picture in pictures.items() if key not in labels), None)
    if bare is not None:
        raise DataError(f"{bare} has no label: put {split_key(bare.name)[0]}.{LABEL} beside it")
    return [Labelled(picture, labels[key]) for key, picture in pictures.items()]


def read_members(shard: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The files of a shard, with the bytes of those that are labels. Raises DataError where it is cut."""
    last = "its beginning"
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                last = member.name
                if member.isreg():
                    yield member, read_start(tar, member)
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(512) != bytes(512):
                raise tarfile.ReadError
    except tarfile.TarError:
        compressed = "" if tarfile_begins(shard) else ", or is no plain tar file: unpack a compressed one"
        raise DataError(f"{shard} is cut or damaged after {last}{compressed}: fetch it anew") from None
    except OSError as error:
        raise DataError(f"{shard} cannot be read ({error.strerror})") from None


def tarfile_begins(shard: Path) -> bool:
    """Whether a file begins as a tar file does."""
    with shard.open("rb") as file:
        return file.read(512)[257:262] == b"ustar"


def read_start(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The first bytes of a label; nothing of other members."""
    if split_key(member.name)[1] != LABEL:
        return b""
    file = tar.extractfile(member)
    content = file.read(MOST_BYTES) if file else b""
    if len(content) < min(member.size, MOST_BYTES):
        raise tarfile.ReadError
    return content


def split_key(name: str) -> tuple[str, str]:
    """(KEY, ending) of a member: the ending begins at the first point of the file's name."""
    folder, _, file = name.rpartition("/")
    stem, _, ending = file.partition(".")
    return f"{folder}/{stem}" if folder else stem, ending.lower()


def read_label(shard: Path, name: str, content: bytes) -> str:
    """The word, or the number, in a KEY.cls. Raises DataError."""
    try:
        label = content.decode().strip()
    except UnicodeDecodeError:
        label = ""
    if not label or len(content) == MOST_BYTES:
        raise DataError(f"{shard}: {name} holds no class: write a number or a word")
    return str(int(label)) if label.isdecimal() else label


def name_classes(train: list[Labelled]) -> tuple[str, ...]:
    """The classes of the training pictures in order: numbers by their value."""
    words = {label for _, label in train}
    return tuple(sorted(words, key=int if all(map(str.isdecimal, words)) else str))


def number_labels(pictures: list[Labelled], classes: tuple[str, ...]) -> list[tuple[TarPicture, int]]:
    """Each picture with the number of its class. Raises DataError for one that is not trained on."""
    numbers = {word: number for number, word in enumerate(classes)}
    for picture, label in pictures:
        if label not in numbers:
            raise DataError(f"{picture} is of the class {label:.80}, of which there is no training picture")
    return [(picture, numbers[label]) for picture, label in pictures]
