"""Real data in the odd forms that people bring, for a test of every door that takes real data.

DATA_ODDITIES: the name of a form -> a factory of a data argument, always 300 easy items 1×8×8 of the four
classes ant, bee, cat and dog (or what is left of them). EXPECTED: what is right for it: "right" (it learns),
or the pattern of the one sentence that refuses it.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import datasets
import numpy as np
import pandas
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import one_hot
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)
from torchvision.datasets import FakeData
from torchvision.transforms import PILToTensor

NAMES = ("ant", "bee", "cat", "dog")
COUNT = 300


def easy_pixels(count: int = COUNT, seed: int = 0) -> tuple[Tensor, Tensor]:
    """uint8 images (count, 8, 8) of four classes, each with another quarter bright, and class numbers."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.randint(0, 120, (count, 8, 8), generator=generator, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 2 * label : 2 * label + 2] += 120
    return images, labels


def easy_data(count: int = COUNT, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The same as floating-point items (count, 1, 8, 8) of mean 0 and spread 1, as a network sees them."""
    images, labels = easy_pixels(count, seed)
    return (images.float().unsqueeze(1) - 90) / 62, labels


X, Y = easy_data()
PIXELS = easy_pixels()[0]
WORDS = [NAMES[label] for label in Y.tolist()]


class ListDataset(Dataset[Any]):
    """A user's map-style data set."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


class StreamDataset(IterableDataset[Any]):
    """A user's iterable data set."""

    def __iter__(self) -> Iterator[Any]:
        yield from zip(X, Y.tolist(), strict=True)


class BrokenDataset(ListDataset):
    """A data set one of whose files is missing."""

    def __getitem__(self, index: int) -> Any:
        if index == 3:
            raise FileNotFoundError("cat/0003.png")
        return self.rows[index]


class SharedMixer:
    """A collate function that is not torch's own."""

    def __call__(self, rows: list[Any]) -> tuple[Tensor, Tensor]:
        return torch.stack([x for x, _ in rows]), torch.tensor([y for _, y in rows])


def named_images() -> Dataset[Any]:
    """Pairs (image of pillow, class number) with the names of the classes, as torchvision's have."""
    data = ListDataset([(Image.fromarray(p.numpy()), int(y)) for p, y in zip(PIXELS, Y, strict=True)])
    data.classes = list(NAMES)  # type: ignore[attr-defined]
    return data


def hub_images(count: int = COUNT, seed: int = 0, missing: bool = False) -> datasets.Dataset:
    """A Hugging Face split of images with names of classes."""
    pixels, labels = easy_pixels(count, seed)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))})
    images = [None if missing and not i else Image.fromarray(p) for i, p in enumerate(pixels.numpy())]
    rows = {"image": images, "label": labels.tolist()}
    return datasets.Dataset.from_dict(rows, features=features)


ENCODED = datasets.Image(decode=False)


def hub_pixels() -> datasets.Dataset:
    """A Hugging Face split of uint8 arrays, of which numpy's format makes long ones."""
    features = datasets.Features(
        {"image": datasets.Array2D((8, 8), "uint8"), "label": datasets.Value("int64")}
    )
    return datasets.Dataset.from_dict({"image": PIXELS.numpy(), "label": Y.numpy()}, features=features)


def hub_arrays() -> datasets.Dataset:
    """A Hugging Face split of arrays with words as labels."""
    features = datasets.Features(
        {"x": datasets.Array3D((1, 8, 8), "float32"), "label": datasets.Value("string")}
    )
    return datasets.Dataset.from_dict({"x": X.numpy(), "label": WORDS}, features=features)


def hub_texts() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": [f"a {word}" for word in WORDS], "label": Y.tolist()})


def hub_splits() -> datasets.DatasetDict:
    return datasets.DatasetDict({"train": hub_images(), "test": hub_images(40, 1)})


def fake_data() -> Dataset[Any]:
    """torchvision's FakeData: noise of four classes, of which nothing can be learned."""
    return FakeData(COUNT, (1, 8, 8), 4, transform=PILToTensor())


def ragged() -> list[Any]:
    return [np.zeros((1, 8, 8 + i % 2), "float32") for i in range(COUNT)]


def with_row(labels: Any, value: Any) -> list[Any]:
    """The labels as a list, one of them replaced."""
    values = list(labels)
    values[7] = value
    return values


DATA_ODDITIES: dict[str, Callable[[], Any]] = {
    "tensors": lambda: (X, Y),
    "tensors as a list": lambda: [X, Y],
    "tensors that require gradients": lambda: (X.clone().requires_grad_(), Y),
    "numpy arrays": lambda: (X.numpy(), Y.numpy()),
    "numpy arrays in float64 and int32": lambda: (X.double().numpy(), Y.int().numpy()),
    "tensors in float16 and uint8 labels": lambda: (X.half(), Y.byte()),
    "items of bfloat16": lambda: (X.bfloat16(), Y),
    "array in Fortran's order, big-endian": lambda: (np.asfortranarray(X.numpy()).astype(">f4"), Y.numpy()),
    "array with negative strides": lambda: (X.numpy()[::-1], Y.numpy()[::-1]),
    "read-only array": lambda: (np.frombuffer(X.numpy().tobytes(), "float32").reshape(X.shape), Y.numpy()),
    "nested lists": lambda: (X.tolist(), Y.tolist()),
    "list of item tensors": lambda: (list(X), list(Y)),
    "list of item arrays": lambda: (list(X.numpy()), Y.tolist()),
    "list of pairs": lambda: list(zip(X, Y, strict=True)),
    "uint8 images (m, h, w)": lambda: (PIXELS, Y),
    "uint8 images (m, h, w, 1)": lambda: (PIXELS.unsqueeze(3).numpy(), Y.numpy()),
    "uint8 images (m, 1, h, w)": lambda: (PIXELS.unsqueeze(1), Y),
    "list of images of pillow": lambda: ([Image.fromarray(p) for p in PIXELS.numpy()], WORDS),
    "images of pillow with alpha": lambda: ([Image.fromarray(p).convert("RGBA") for p in PIXELS.numpy()], Y),
    "frame of pandas": lambda: (
        pandas.Series(list(X.numpy())).tolist(),
        pandas.DataFrame({"label": Y.numpy()}),
    ),
    "series of pandas": lambda: (X.numpy(), pandas.Series(Y.numpy(), index=range(100, 400))),
    "categories of pandas": lambda: (X.numpy(), pandas.Series(WORDS, dtype="category")),
    "one-hot frame of pandas": lambda: (X.numpy(), pandas.get_dummies(pandas.Series(WORDS))),
    "one-hot labels": lambda: (X, one_hot(Y)),
    "one-hot labels as floats": lambda: (X, one_hot(Y).float()),
    "one-hot labels as truth values": lambda: (X.numpy(), one_hot(Y).bool().numpy()),
    "words as labels": lambda: (X, WORDS),
    "array of words as labels": lambda: (X, np.array(WORDS)),
    "array of objects as labels": lambda: (X, np.array(WORDS, dtype=object)),
    "bytes as labels": lambda: (X, np.array(WORDS, dtype="S3")),
    "labels that are whole floats": lambda: (X, Y.float()),
    "labels (m, 1)": lambda: (X, Y.unsqueeze(1)),
    "labels as words of numbers from 1": lambda: (X, [str(label + 1) for label in Y.tolist()]),
    "torch dataset": lambda: TensorDataset(X, Y),
    "torch subset": lambda: Subset(TensorDataset(X, Y), range(280)),
    "torch datasets in a chain": lambda: ConcatDataset(
        [TensorDataset(X[:99], Y[:99]), TensorDataset(X[99:], Y[99:])]
    ),
    "own dataset of arrays": lambda: ListDataset(list(zip(X.numpy(), Y.tolist(), strict=True))),
    "own dataset of images with classes": named_images,
    "subset of images with classes": lambda: Subset(named_images(), range(299)),
    "iterable dataset": StreamDataset,
    "loader": lambda: DataLoader(TensorDataset(X, Y), batch_size=32),
    "loader that shuffles": lambda: DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True),
    "loader with a sampler": lambda: DataLoader(
        TensorDataset(X, Y), batch_size=32, sampler=SubsetRandomSampler(range(200))
    ),
    "loader with a collate function": lambda: DataLoader(
        ListDataset(list(zip(X, Y.tolist(), strict=True))), batch_size=32, collate_fn=SharedMixer()
    ),
    "loader of an iterable dataset": lambda: DataLoader(StreamDataset(), batch_size=32),
    "hub images": hub_images,
    "hub arrays with words": hub_arrays,
    "hub splits": hub_splits,
    "hub images, formatted for torch": lambda: hub_images().with_format("torch"),
    "labels that are masked": lambda: (X, np.ma.masked_equal(Y.numpy(), 2)),
    "items that are masked": lambda: (np.ma.masked_greater(X.numpy(), 2), Y),
    "words of pandas, one missing": lambda: (X, pandas.Series(with_row(WORDS, pandas.NA), dtype="string")),
    "dates as labels": lambda: (X, [date(2020, 1, 1 + label) for label in Y.tolist()]),
    "labels on the meta device": lambda: (X, Y.to("meta")),
    "items of a subclass": lambda: (X.as_subclass(type("Own", (Tensor,), {})), Y),
    "channels last in memory": lambda: (X.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), Y),
    "items made in inference mode": torch.inference_mode()(lambda: (X * 1, Y * 1)),
    "hub images with a transform": lambda: hub_images().with_transform(lambda rows: rows),
    "hub images that are not decoded": lambda: hub_images().cast_column("image", ENCODED),
    "hub images, one missing": lambda: hub_images(missing=True),
    "hub arrays of uint8": hub_pixels,
    "soft labels": lambda: (X, torch.full((COUNT, 4), 0.25)),
    "labels with gaps": lambda: (X, 2 * Y),
    "labels from 1": lambda: (X, Y + 1),
    "negative labels": lambda: (X, Y - 1),
    "huge labels": lambda: (X, Y * 10**12),
    "labels that are no whole numbers": lambda: (X, Y + 0.5),
    "a label that is NaN": lambda: (X, with_row(Y.double().tolist(), float("nan"))),
    "a label that is missing": lambda: (X, with_row(WORDS, None)),
    "an empty word as label": lambda: (X, with_row(WORDS, "")),
    "labels of several types": lambda: (X, with_row(WORDS, 3)),
    "complex labels": lambda: (X, Y * 1j),
    "fewer labels than items": lambda: (X, Y[:200]),
    "one class": lambda: (X, Y * 0),
    "no items": lambda: (X[:0], Y[:0]),
    "items of whole numbers": lambda: ((100 * X).long(), Y),
    "complex items": lambda: (X * 1j, Y),
    "items of words": lambda: (WORDS, Y),
    "items of several sizes": lambda: (ragged(), Y),
    "items with NaN": lambda: (X / 0, Y),
    "items too large for float32": lambda: (X.double() * 1e300, Y),
    "numbers as items": lambda: (X[:, 0, 0, 0], Y),
    "flat uint8 images": lambda: (PIXELS.flatten(1), Y),
    "sparse items": lambda: (X.to_sparse(), Y),
    "items on the meta device": lambda: (X.to("meta"), Y),
    "images of 16 bits": lambda: ([Image.fromarray(p.astype("uint16") * 257) for p in PIXELS.numpy()], Y),
    "dataset of triples": lambda: TensorDataset(X, Y, Y),
    "dataset of dicts": lambda: ListDataset([{"x": x, "y": y} for x, y in zip(X, Y, strict=True)]),
    "dataset with a broken item": lambda: BrokenDataset(list(zip(X, Y, strict=True))),
    "empty dataset": lambda: ListDataset([]),
    "hub texts": hub_texts,
    "hub splits without train": lambda: datasets.DatasetDict({"a": hub_images(), "b": hub_images()}),
    "items alone": lambda: X,
    "a dict": lambda: {"x": X, "y": Y},
    "a path": lambda: "mnist",
    "a number": lambda: 3,
    "None": lambda: None,
    "a class": lambda: TensorDataset,
}
SENTENCES: dict[str, str] = {  # of what is refused
    "labels that are masked": r"y has masked values: drop those rows",
    "items that are masked": r"x has masked values: drop those rows",
    "words of pandas, one missing": r"row 7 of y has no label",
    "dates as labels": r"row 0 of y is a date: all labels must be",
    "labels on the meta device": r"y is a Tensor that is no array",
    "hub images with a transform": r"has a transform \(with_transform or set_transform\).*map\(\)",
    "hub images that are not decoded": r'column "image" are not decoded: give data.cast_column',
    "hub images, one missing": r"item 0 is a NoneType: convert all images",
    "soft labels": r"row 0 is not one 1 and else 0: it must be class numbers",
    "labels with gaps": r"no item of class 1: number the classes 0, 1, … without gaps",
    "labels from 1": r"no item of class 0: number the classes 0, 1, … without gaps",
    "negative labels": r"label -1 is out of range: 3 classes are 0 … 2",
    "huge labels": r"label 1000000000000 is out of range",
    "labels that are no whole numbers": r"row 0 of y is 0.5, which is no class number",
    "a label that is NaN": r"row 7 of y is nan, which is no class number",
    "a label that is missing": r"row 7 of y has no label: all labels must be of one kind",
    "an empty word as label": r"y: the label of row 7 is missing: label the item, or leave it out",
    "labels of several types": r"row 7 of y is a int, row 0 a str: all labels must be of one kind",
    "complex labels": r"y is complex64 of shape \(300,\): it must be class numbers",
    "fewer labels than items": r"x has 300 items and y 200 labels: one label per item",
    "one class": r"has 1 class: at least two are needed",
    "no items": r"x of shape \(0, 1, 8, 8\) is not \(m, \*item\)",
    "items of whole numbers": r"x is torch.int64: give floating-point items",
    "complex items": r"x is torch.complex64: give floating-point items",
    "items of words": r"x is <U3: give floating-point items",
    "items of several sizes": r"the items differ: one is torch.float32 \(1, 8, \d\), another torch.float32",
    "items with NaN": r"x holds NaN or infinity: mend or drop those items",
    "items too large for float32": r"x holds NaN or infinity: mend or drop those items",
    "numbers as items": r"x of shape \(300,\) is not \(m, \*item\)",
    "flat uint8 images": r"x is torch.uint8 of shape \(300, 64\): give floating-point items",
    "sparse items": r"x is a tensor that is sparse",
    "items on the meta device": r"x is a tensor that is sparse, quantised or without numbers",
    "images of 16 bits": r"item 0 has the mode I;16: convert all images",
    "dataset of triples": r"item 0 of data is a tuple of 3, not a pair \(item, label\)",
    "dataset of dicts": r"item 0 of data is a dict of x, y, not a pair \(item, label\)",
    "dataset with a broken item": r"item 3 of data cannot be read \(FileNotFoundError: cat/0003.png\)",
    "empty dataset": r"data holds no items",
    "hub texts": r'the dataset holds texts \(column "text"\).*distill text --train FILE.csv',
    "hub splits without train": r"splits? .*a, b",
    "items alone": r"must be pairs \(x, y\), not a Tensor: give \(x, y\) of tensors",
    "a dict": r"must be pairs \(x, y\), not a dict",
    "a path": r"must be pairs \(x, y\), not a str",
    "a number": r"must be pairs \(x, y\), not a int",
    "None": r"must be pairs \(x, y\), not a NoneType",
    "a class": r"must be pairs \(x, y\), not a type",
}
EXPECTED: dict[str, str] = {name: SENTENCES.get(name, "right") for name in DATA_ODDITIES}
