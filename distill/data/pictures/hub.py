"""Pictures of the `datasets` library (Hugging Face): decoded one by one from its own files."""

from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from distill.data.adapters import OWN, pick_splits
from distill.data.own.libraries import ITEM_COLUMNS, LABEL_COLUMNS, choose_column, is_hub_dict
from distill.data.pictures.image_folder import FolderListing, every_fifth
from distill.errors import DataError

SAVED = ("dataset_dict.json", "state.json")  # of a folder written by save_to_disk()


class HubPicture(NamedTuple):
    """A picture in a row of a split."""

    split: Any  # whose images are not decoded
    column: str
    row: int
    word: str
    fingerprint: str

    def __str__(self) -> str:
        return f"row {self.row} of {self.word}"

    def open(self) -> BinaryIO:
        """Its bytes."""
        image = self.split[self.row][self.column]
        return BytesIO(image["bytes"]) if image["bytes"] is not None else Path(image["path"]).open("rb")

    def describe(self) -> str:
        """What changes with it: the fingerprint of the split."""
        return f"{self.fingerprint} {self.row}"


def is_saved(path: Path) -> bool:
    """Whether a folder was written by the library's save_to_disk()."""
    return any((path / name).is_file() for name in SAVED)


def list_hub(data: Any) -> FolderListing:
    """The pictures of a DatasetDict, of a Dataset (every fifth is test), or of a folder of one.

    Raises DataError.
    """
    root = data if isinstance(data, Path) else Path(OWN)
    data = read_saved(data) if isinstance(data, Path) else data
    train, test = pick_splits(data)
    pairs, classes = list_split(train, "train")
    tests, names = list_split(test, "test") if test is not None else ([], classes)
    if names != classes:
        raise DataError("the splits of the dataset differ in their classes: give those of one dataset")
    remarks = () if tests else ("the dataset has no test split: every fifth row is a test item",)
    if not tests:
        is_test = every_fifth(torch.tensor([label for _, label in pairs])).tolist()
        pairs, tests = (
            [pair for pair, chosen in zip(pairs, is_test, strict=True) if chosen == k] for k in (False, True)
        )
    prints = " ".join(split._fingerprint for split in (train, test) if split is not None)
    return FolderListing([*pairs], [*tests], classes, remarks, root.name, f"{root} {prints}", root)


def read_saved(folder: Path) -> Any:
    """A dataset from its folder. Raises DataError."""
    import datasets

    try:
        return datasets.load_from_disk(str(folder))
    except Exception as error:  # pyarrow and the library pass on whatever they raise
        cause = f"{type(error).__name__}: {error}"
        raise DataError(f"{folder} cannot be read as a saved dataset ({cause:.80}): save it anew") from None


def list_split(split: Any, word: str) -> tuple[list[tuple[HubPicture, int]], tuple[str, ...]]:
    """The pictures of a split with the numbers of their classes, and the classes. Raises DataError."""
    features = getattr(split, "features", None) or {}
    item = choose_column(features, ITEM_COLUMNS, "Image")
    label = choose_column(features, LABEL_COLUMNS, "ClassLabel")
    names = getattr(features.get(label), "names", None)
    is_plain = hasattr(split, "__len__") and (getattr(split, "format", None) or {}).get("type") != "custom"
    if (
        item is None
        or type(features[item]).__name__ != "Image"
        or names is None
        or is_hub_dict(split)
        or not is_plain
    ):
        raise DataError(
            f"the {word} split needs a column of the type Image and one of ClassLabel, and neither a"
            " transform nor streaming: use cast_column() and map(), or give it to distill.distill() as it is"
        )
    import datasets

    numbers = split.with_format(None)[label]
    missing = next((row for row, number in enumerate(numbers) if number is None or number < 0), None)
    if missing is not None:
        raise DataError(f'row {missing} of {word} has no "{label}": drop such rows')
    raw = split.with_format(None).select_columns([item]).cast_column(item, datasets.Image(decode=False))
    pictures = [HubPicture(raw, item, row, word, str(split._fingerprint)) for row in range(len(raw))]
    return list(zip(pictures, map(int, numbers), strict=True)), tuple(names)
