"""What a score is of, in words: the items that were trained on, the training, the split. Imports no torch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet

Score = Mapping[str, Any]
OWN_RECIPE = "the set's own recipe"
LONGEST = 60  # letters of a baseline that is not in the table
BASELINES = {
    "random-real": "random real {}",
    "k-means": "k-means centres",
    "medoids": "real {} nearest to k-means centres",
    "herding": "real {} chosen by herding",
    "k-center": "real {} chosen by k-center",
    "class-means": "class means",
    "before": "the same networks before training on the set",
}


def name_items(data: "DistilledSet") -> str:
    """What the items are called: 'sentences', 'images' or 'items'."""
    if data.text is not None:
        return "sentences"
    return "images" if data.items.ndim == 4 else "items"


def name_baseline(word: str, item_type: str) -> str:
    """'k-means' as 'k-means centres'; a word that is not in the table stands for itself."""
    if word in BASELINES:
        return BASELINES[word].format(item_type)
    return word if len(word) <= LONGEST else word[: LONGEST - 1] + "…"


def count_baseline(word: str, item_type: str, count: int) -> str:
    """'10 k-means centres', or the same networks without the set."""
    name = name_baseline(word, item_type)
    return name if word == "before" else f"{count:,} {name}"


def name_training(word: str, score: Score) -> str:
    """How the students of a baseline were trained, with the learning rate that suited best."""
    if word == "before":
        return "no training"
    protocol, lr_text = score.get("protocol", OWN_RECIPE), score.get("rates")
    constant = isinstance(lr_text, str) and lr_text != "the set's rates"
    return f"{protocol}, learning {lr_text}" if constant else str(protocol)


def name_split(score: Score, default: str = "test") -> str:
    """'test' or 'held-out': the real items that an accuracy was measured on."""
    return "held-out" if score.get("split", default) == "held-out" else "test"
