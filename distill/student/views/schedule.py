"""Views: the items of a set as a numbered random change makes them, the same each time.

Notation: view v of the items changes each of them by the same words, with numbers of its own, all drawn from
the seed of the schedule and v alone. So the seed and the words are all that a file keeps of the views.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor

from distill.data.augment.dsa import DSA
from distill.data.augment.each import Augment, Images
from distill.errors import SetError, UserError
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.sets.labels.views import ViewLabels
from distill.sets.metadata import describe_shape
from distill.student.comparison.coresets import crop_images
from distill.student.protocols.augment import is_digit_set, pick

WORDS = "zoom-flip"


def zoom_each(x: Images, generator: Generator) -> Images:
    """A square part of 8 to 100 % of each image's area, as large as the image (RDED's crop)."""
    return crop_images(x, 1, generator)


CHANGES: dict[str, Augment] = {"zoom": zoom_each, **DSA}


@dataclass(frozen=True)
class ViewSchedule:
    """The changes of all views of a set. Raises UserError for a word that is no change."""

    words: str = WORDS
    seed: int = 0

    def __post_init__(self) -> None:
        self.changes()

    def changes(self) -> list[Augment]:
        """The changes in their order."""
        return [pick(CHANGES, word) for word in self.words.split("-")]

    def view(self, items: Images, number: int) -> Images:
        """The items as view `number` shows them, all at once: of parts of them it would be another one."""
        generator = stream("view", self.seed, number)
        for change in self.changes():
            items = change(items, generator)
        return items


def choose_words(words: str, data: DistilledSet) -> str:
    """The words of the changes; of "auto" zoom-flip, for digits without the flip. Raises UserError."""
    if data.items.ndim != 4:
        raise UserError(
            f"views are of images, and the set's items are {describe_shape(data.items[0])} numbers: leave"
            " --views out"
        )
    default = "zoom" if is_digit_set(data) else WORDS
    return default if words == "auto" else words


def digest_items(items: Tensor) -> str:
    """What tells items from others: the labels of views hold for these alone."""
    return hashlib.blake2b(items.detach().cpu().contiguous().numpy().tobytes(), digest_size=16).hexdigest()


def describe_views(schedule: ViewSchedule, items: Tensor) -> dict[str, Any]:
    """What the file says of its views."""
    return {"augment": schedule.words, "seed": schedule.seed, "items": digest_items(items)}


def read_schedule(data: DistilledSet) -> tuple[ViewSchedule, ViewLabels]:
    """The schedule of a set's views and their labels. Raises SetError without them, or for others."""
    if data.views is None or data.view_labels is None:
        raise SetError(
            "the set holds no labels per view, on which fkd trains: `distill relabel SET.pt --teacher FILE"
            " --views 300` stores them"
        )
    if data.views["items"] != digest_items(data.items):
        raise SetError(
            "the labels per view are those of other items: `distill relabel SET.pt --teacher FILE --views"
            " 300` makes them anew"
        )
    try:
        return ViewSchedule(data.views["augment"], data.views["seed"]), data.view_labels
    except UserError as error:
        raise SetError(f"the set's views were made with another version: {error}") from None
