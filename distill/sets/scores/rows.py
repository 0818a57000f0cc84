"""The scores of a set as rows: networks trained on what, how, and their accuracy on which real items."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from distill.sets.scores.words import (
    OWN_RECIPE,
    Score,
    count_baseline,
    name_items,
    name_split,
    name_training,
)

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet


class ScoreRow(NamedTuple):
    """key: "set", "all" or a baseline's word, by a standard protocol behind its word: "dc:set"."""

    key: str
    name: str
    protocol: str
    score: Score
    split: str


def list_rows(data: "DistilledSet", scores: Score) -> list[ScoreRow]:
    """A row for the set, for each baseline, and for all real items, where the scores have their mean.

    scores: those of the set, or as much of them as is to be shown.
    """
    item_type, train, own = name_items(data), data.source.get("train"), scores.get("accuracy") or {}
    split, real = name_split(own), f"real {item_type}"
    baselines = (scores.get("baselines") or {}).items()
    rows = [
        ScoreRow("set", name_set(data), str(own.get("protocol", OWN_RECIPE)), own, split),
        *(
            ScoreRow(
                word,
                count_baseline(word, item_type, data.equal_count),
                name_training(word, score),
                score,
                name_split(score, split),
            )
            for word, score in baselines
        ),
        *list_protocol_rows(data, scores),
        ScoreRow(
            "all",
            f"all {train:,} {real}" if train else f"all {real}",
            "ordinary training with Adam",
            {"mean": scores.get("full_data")},
            split,
        ),
    ]
    return [row for row in rows if isinstance(row.score.get("mean"), int | float)]


def name_set(data: "DistilledSet") -> str:
    """'this set: 10 synthetic images'."""
    return f"this set: {data.count(f'synthetic {name_items(data)}')}"


def list_protocol_rows(data: "DistilledSet", scores: Score) -> Iterator[ScoreRow]:
    """Rows of the set and of its baselines by each standard protocol that there are scores by."""
    for word, score in (scores.get("protocols") or {}).items():
        protocol = f"standard protocol {word}, network {score.get('network', data.network['name'])}"
        split = name_split(score)
        yield ScoreRow(f"{word}:set", name_set(data), protocol, score, split)
        for baseline, values in (score.get("baselines") or {}).items():
            name = count_baseline(baseline, name_items(data), data.equal_count)
            hard = f"{protocol}, hard labels"
            yield ScoreRow(f"{word}:{baseline}", name, hard, values, name_split(values, split))
