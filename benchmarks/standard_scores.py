"""Scores of benchmarks.standard in the files of the sets, beside those by their own recipes."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.standard_sets import data_word
from distill.sets.distilled import DistilledSet
from distill.student.protocol_scores import describe_scores, save_scores
from distill.student.scores import Report

Rows = Sequence[dict[str, Any]]
FILE_WORDS = {"means": "k-means", "random": "random-real"}  # of baselines, as files call them


def save_rows(paths: Sequence[Path], protocols: Mapping[str, Any], rows: Rows) -> None:
    """Put the scores of one network by protocols into the files, where a baseline was measured too.

    protocols are by their words with settings, as the rows have them; a file has one score by a word. rows
    are of that network alone.
    """
    for path, (text, protocol) in itertools.product(paths, protocols.items()):
        data, own = DistilledSet.load(path), [row for row in rows if row["protocol"] == text]
        word = text.partition(":")[0]
        place = f"{len(data)} of {data_word(data)}"
        baselines = {FILE_WORDS[name]: find_report(own, f"{name}, {place}") for name in FILE_WORDS}
        measured = {name: report for name, report in baselines.items() if report}
        score = find_report(own, path.stem)
        if score and measured:
            entry = describe_scores(score, measured, own[-1]["network"], protocol, data)
            save_scores(str(path), data, word, entry)


def find_report(rows: Rows, items: str) -> Report | None:
    """The last scores of these items, None where they were not measured."""
    scores = [row["scores"] for row in rows if row["items"] == items]
    return Report(items, tuple(scores[-1])) if scores else None
