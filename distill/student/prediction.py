"""Classes and probabilities of new texts and image files, by students of a set."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.embedding import embed_like_set
from distill.data.encoders.dataset import encode_new_texts
from distill.data.pictures.decoding import decode_pictures
from distill.data.texts import Corpus, TextSplit
from distill.errors import DataError, cut_to
from distill.sets.distilled import DistilledSet
from distill.sets.real_data import match_real_data
from distill.student.training import Student

GREY = (0.299, 0.587, 0.114)  # of red, green and blue in the brightness of a picture (ITU-R BT.601)
LETTERS = 60  # of a text in the table
ROWS = 256  # items that a student sees at a time


class Prediction(NamedTuple):
    """The class of one item, its probability, and those of all classes in the set's order."""

    name: str
    probability: float
    probabilities: tuple[float, ...]


def read_texts(data: DistilledSet, texts: Sequence[str], place: str | None, device: str) -> Dataset:
    """New texts as the items that a student of the set takes; place: of its vectors or encoder, if moved.

    Raises DataError where none of their words has a vector, or the encoder has changed.
    """
    assert data.text is not None
    labels, classes = [0] * len(texts), tuple(data.source["classes"])
    if "encoder" in data.text:
        items, notes = encode_new_texts(list(texts), data.text, place, device)
        print_notes(notes)
        zeros = torch.zeros(len(texts), dtype=torch.long, device=device)
        return match_real_data(data, Dataset("these texts", items, zeros, classes, (0.0,), (1.0,)))[0]
    split = TextSplit(list(texts), labels)
    _, new = embed_like_set(data.text, Corpus("these texts", split, split, classes), place, device)
    print_notes(new.coverage_notes())
    return match_real_data(data, new)[0]


def print_notes(notes: Sequence[str]) -> None:
    """What is not read of new texts, on stderr; without the options of a run, which predict lacks."""
    for note in notes:
        print(note.replace(" (--max-length reads more)", ""), file=sys.stderr)


def read_images(data: DistilledSet, paths: Sequence[str], device: str) -> Dataset:
    """Image files as the items that a student of the set takes: resized, grey or coloured, normalised.

    Raises DataError for a file that is no picture.
    """
    channels, *shape = data.items.shape[1:]
    images = [x for x, _ in decode_pictures([(Path(path), 0) for path in paths], (shape[0], shape[1]), None)]
    pixels = torch.stack([x / 255 if x.dtype == torch.uint8 else x for x in images])
    if channels == 1:
        colours = int((pixels != pixels[:, :1]).flatten(1).any(dim=1).sum())
        if colours:
            print(f"{colours:,} of {len(paths):,} pictures have colours: read as grey ones", file=sys.stderr)
        pixels = (pixels * torch.tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)
    zeros, classes = torch.zeros(len(paths), dtype=torch.long), tuple(data.source["classes"])
    moments = ((0.0,) * channels, (1.0,) * channels)
    images_read = Dataset("these images", pixels.to(device), zeros.to(device), classes, *moments)
    return match_real_data(data, images_read)[0]


def check_kind(data: DistilledSet, texts: bool, images: bool) -> None:
    """Raise DataError where texts are asked of a set of images, images of one of texts, or nothing at all."""
    is_text, is_image = data.text is not None, data.items.ndim == 4
    if not is_text and not is_image:
        raise DataError(
            f"the items of {data.source['name']} are neither texts nor images: predict in Python, by"
            " distill.student.train(data).predict(x)"
        )
    word, asked, other = (
        ("texts", texts, images) if is_text else ("images", images, texts)
    )  # what it takes, and what was given
    if other or not asked:
        option = '--text "…" or --csv FILE' if is_text else "--images FILE …"
        raise DataError(f"the set {data.source['name']} is of {word}: give {option}")


def average_probabilities(
    students: Sequence[Student], items: Dataset, scale: float = 1.0
) -> Float[Tensor, "n classes"]:
    """The mean over students of softmax(scale · logits), on the CPU."""
    total = []
    for first in range(0, len(items), ROWS):
        x = items.batch(slice(first, first + ROWS))[0]
        shares = torch.stack([(scale * student.logits(x)).softmax(dim=1) for student in students])
        total.append(shares.mean(dim=0).cpu())
    return torch.cat(total)


def list_predictions(probabilities: Float[Tensor, "n classes"], classes: Sequence[str]) -> list[Prediction]:
    """Per item its most probable class."""
    return [
        Prediction(classes[int(row.argmax())], float(row.max()), tuple(row.tolist())) for row in probabilities
    ]


def format_predictions(names: Sequence[str], found: Sequence[Prediction]) -> str:
    """A line per item: its class, the probability, the text or file."""
    width = max(len(p.name) for p in found)
    return "\n".join(
        f"  {p.name:<{width}}  {100 * p.probability:5.1f} %  {cut_to(name, LETTERS)}"
        for name, p in zip(names, found, strict=True)
    )


def format_csv(names: Sequence[str], found: Sequence[Prediction], classes: Sequence[str], word: str) -> str:
    """The rows of a csv: the item, its class, and a column of probabilities for each class."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([word, "class", *classes])
    for name, p in zip(names, found, strict=True):
        writer.writerow([name, p.name, *(f"{v:.6f}" for v in p.probabilities)])
    return file.getvalue()
