"""What the card of a set says of its scores and of real items, in the words of the page."""

from typing import NamedTuple

from distill.data.whiten import is_prepared
from distill.sets.distilled import DistilledSet, format_score
from distill.sets.scores.rows import list_rows
from distill.sets.scores.words import Score, name_baseline, name_items


class ScoreTable(NamedTuple):
    """Rows of four cells under a heading for the third, and lines of the scores beside their baselines."""

    heading: str
    rows: list[tuple[str, str, str, str]]
    lines: list[str]
    weights: str  # "fixed" or "random"


def build_scores(data: DistilledSet) -> ScoreTable | None:
    """The table of a set's scores; None where nothing was measured."""
    rows, accuracy = list_rows(data, data.scores), data.scores.get("accuracy") or {}
    if not rows:
        return None
    splits = {row.split for row in rows}
    cells = [
        (
            row.name,
            row.protocol + (f", on {row.split} items" if len(splits) > 1 else ""),
            format_score(dict(row.score)),
            str(row.score.get("n", "")),
        )
        for row in rows
    ]
    heading = f"{splits.pop()} accuracy" if len(splits) == 1 else "accuracy"
    weights = accuracy.get("weights") or data.network.get("init")
    return ScoreTable(heading, cells, list_lines(data), "fixed" if weights == "fixed" else "random")


def list_lines(data: DistilledSet) -> list[str]:
    """The score by the set's own recipe, then by each standard protocol, with its strongest baseline."""
    accuracy, protocols = data.scores.get("accuracy"), data.scores.get("protocols") or {}
    own = {**accuracy, "baselines": data.scores.get("baselines")} if accuracy else {}
    lines = [f"By the set's own recipe: {describe(data, own)}." if own else "Not measured by its own recipe."]
    for word, score in protocols.items():
        network = score.get("network", data.network["name"])
        lines.append(f"By the standard protocol {word}, new networks {network}: {describe(data, score)}.")
    return lines if protocols else [*lines, "Not measured by a standard protocol."]


def describe(data: DistilledSet, score: Score) -> str:
    """'50.00 ± 12.50 %; the strongest baseline, k-means centres, 35.00 ± 2.00 %'."""
    baselines = (score.get("baselines") or {}).items()
    if not baselines:
        return format_score(dict(score))
    word, strongest = max(baselines, key=lambda pair: float(pair[1]["mean"]))
    name = name_baseline(word, name_items(data))
    return f"{format_score(dict(score))}; the strongest baseline, {name}, {format_score(strongest)}"


def describe_units(data: DistilledSet) -> str:
    """How real items become what the network sees, in a sentence; "" where the set does not say it."""
    source = data.source
    mean, std, zca = source.get("mean"), source.get("std"), source.get("zca")
    if data.text is not None:
        if "encoder" not in data.text:
            return "Real items are the word vectors of real texts."
        return f"Real items are embeddings of real texts, divided by {std[0]:.4g}." if std else ""
    if not (mean and std):
        return ""
    if is_prepared(source):
        return "Real items are numbers as they were passed to `distill`, which did not normalise them."
    ending = ", then whitened (the mean and the matrix are in `set.safetensors`)" if zca else ""
    return f"Normalisation of real items: (pixels / 255 - mean) / std with mean {mean}, std {std}{ending}."
