"""A set of sentences as a csv that a person reads: text, label, shares of the classes, weight."""

import csv
import io
from pathlib import Path

from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.storage import write_text


def write_sentences(path: Path, data: DistilledSet) -> None:
    """Write a row per sentence: text; label, the class of the largest share; p(CLASS) for each class; weight.

    The shares of a row sum to one; the weight is the factor of its loss, 1 on average. `distill text --train`
    reads the columns text and label. Raises SetError for a set without sentences.
    """
    sentences, classes = (data.text or {}).get("sentences"), data.source["classes"]
    if sentences is None:
        raise SetError("the set holds no sentences: distil it with --read-out sentences")
    weights = data.labels.sum(dim=1)
    shares = data.labels / weights[:, None]
    memory = io.StringIO()
    writer = csv.writer(memory, lineterminator="\n")
    writer.writerow(["text", "label", *(f"p({name})" for name in classes), "weight"])
    for sentence, row, weight in zip(sentences, shares.tolist(), weights.tolist(), strict=True):
        top = classes[max(range(len(row)), key=row.__getitem__)]
        writer.writerow([sentence, top, *(f"{share:.4f}" for share in row), f"{weight / weights.mean():.4f}"])
    write_text(path, memory.getvalue())
