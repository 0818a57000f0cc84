"""The real data of a run in three parts: what teaches, what chooses, what measures."""

import sys
from typing import NamedTuple

from distill.data.dataset import Dataset
from distill.errors import DataError
from distill.randomness import stream
from distill.runs.settings import Config


class Splits(NamedTuple):
    """The real data: what teaches, what chooses, and what is read once at the end."""

    train: Dataset
    held_out: Dataset
    test: Dataset


def real_data(config: Config) -> Splits:
    train, test = config.real()
    for split in (train, test):
        for remark in split.coverage_notes():
            print(remark, file=sys.stderr)
    return parted(config, train, test)


def parted(config: Config, train: Dataset, test: Dataset) -> Splits:
    """The splits, a part of the training items held out. Raises DataError where there are too few."""
    if len(train) < 10:
        raise DataError(
            f"{train.name} has {len(train)} training items: at least 10 are needed, one in ten chooses"
        )
    held_out = min(config.held_out, len(train) // 10)
    return Splits(*train.split(held_out, stream("split", config.seed)), test)
