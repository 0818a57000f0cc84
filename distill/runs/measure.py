"""The real data of a run in three parts, and what a set is worth: the one reading of the test split."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import nn
from tqdm import tqdm

from distill.data.dataset import Dataset
from distill.data.files.doubts import describe_majority
from distill.errors import DataError, UserError
from distill.inner.problem import Problem
from distill.randomness import stream
from distill.runs.settings import ImageData, MeasureSettings, Settings, TextData
from distill.sets.distilled import DistilledSet
from distill.student.comparison.baselines import (
    full_data_accuracy,
    score_baseline,
)
from distill.student.comparison.coresets import Draw, k_means, medoids, random_real, with_equal_bytes
from distill.student.evaluation import accuracy
from distill.student.protocol_scores import (
    Advance,
    count_students,
    describe_scores,
    score_baselines,
    score_students,
)
from distill.student.protocols.standard import DC
from distill.student.scores import Report
from distill.student.training import Student, initial_weights, replay

BASELINES = {"random-real": "random real", "k-means": "k-means centres of"}
OF_SENTENCES = {"random-real": "random real", "medoids": "k-means medoids of"}  # which centres are not


BUILDERS: dict[str, Callable[[DistilledSet, Dataset], Draw]] = {
    "random-real": random_real, "k-means": k_means, "medoids": medoids,
}  # fmt: skip


class Splits(NamedTuple):
    """The real data: what trains the set, what chooses what is exported, what is read once at the end."""

    train: Dataset
    held_out: Dataset
    test: Dataset


def load_data(settings: Settings) -> tuple[Dataset, Dataset]:
    """(train, test) of the settings; remarks on them go to stderr. Raises DataError."""
    data = settings.data
    if isinstance(data, TextData):
        splits = load_texts(data, settings.run.device)
    else:
        assert isinstance(data, ImageData)
        splits = load_images(data, settings.run.device)
    train, test = splits
    for remark in (*train.coverage_notes(), *test.coverage_notes(), *describe_majority(test)):
        print(remark, file=sys.stderr)
    return splits


def load_images(data: ImageData, device: str) -> tuple[Dataset, Dataset]:
    """The images, whitened where --zca says so. Raises DataError for grey ones."""
    from distill.data.images import load
    from distill.data.whiten import fit_zca, whiten

    place = (data.keep, data.cache, data.skip_damaged)
    train, test = load(data.dataset, data.data_dir, device, data.image_size, *place)
    if not data.zca:
        return train, test
    if train.shape[0] == 1:
        raise DataError("--zca whitens colours, and these images are grey: leave it out")
    moments = fit_zca(train)
    return whiten(train, moments), whiten(test, moments)


def load_texts(data: TextData, device: str) -> tuple[Dataset, Dataset]:
    """The texts as sequences of word vectors, or each as one embedding of an encoder."""
    from distill.data import embedding, texts

    files = (data.train, data.test, data.text_column, data.label_column)
    corpus = texts.load_corpus(data.dataset, data.data_dir, *files)
    if data.encoder is not None:
        from distill.data.encoders.dataset import encode_corpus

        how = (data.max_length, data.encoder_numbers)
        return encode_corpus(corpus, data.encoder, *how, device=device, cache=data.cache)
    return embedding.embed_corpus(
        corpus, data.vectors, data.tokenizer, data.unknown, data.max_length, data.synthetic_length,
        data.word_dropout, device,
    )  # fmt: skip


def split_data(train: Dataset, test: Dataset, held_out: int, seed: int) -> Splits:
    """The splits, a part of the training items held out. Raises DataError where there are too few."""
    return Splits(*train.hold_out(held_out, stream("split", seed)), test)


@dataclass(frozen=True)
class Measurement:
    """The reports in the order of their table, and the scores as the file carries them."""

    reports: list[Report]
    scores: dict[str, Any]


def measure(
    settings: MeasureSettings,
    data: DistilledSet,
    problem: Problem,
    splits: Splits,
    word: str,
    init: str,
    pretrained: bool,
) -> Measurement:
    """Test scores of the set, of as many other items and of all real data; word names the items.

    init: whether the networks are known ("fixed") or were never seen ("random").

    pretrained: the networks were trained before, and their accuracy then is reported too.
    """
    weights = initial_weights(data, problem.network, data.network["init"], settings.test_networks)
    draws, fulls = count_draws(settings), min(len(weights), settings.full_data_networks)
    parts = len(weights) + len(BASELINES) * bool(draws) + count_students(settings.dc_networks) + fulls
    small = with_equal_bytes(data)
    with progress(parts) as advance:
        scores = [accuracy(replay(data, problem, w), splits.test) for w in advance(weights)]
        reports = [Report(f"these {data.count(f'distilled {word}')}", tuple(scores))]
        baselines: dict[str, Any] = {}
        if pretrained:
            before = tuple(accuracy(Student(problem.network, w), splits.test) for w in weights)
            reports.append(Report("the same networks before", before))
            baselines["before"] = reports[-1].summary()
        names = list_baselines(data) if draws else {}
        for name in advance(names):
            build = BUILDERS[name]
            values, lr_text = score_baseline(
                name, build(small, splits.train), small, problem, splits.held_out, splits.test, weights, draws
            )
            reports.append(Report(f"{len(small)} {names[name]} {word} ({lr_text})", tuple(values)))
            baselines[name] = {**reports[-1].summary(), "rates": lr_text}
        by_dc, protocols = measure_by_dc(settings, data, problem.network, splits, word, advance)
        full = [
            full_data_accuracy(splits.train, splits.held_out, splits.test, problem.network, w)
            for w in advance(weights[:fulls])
        ]
    everything = [Report(f"all {len(splits.train)} real {word}", tuple(full))] if full else []
    weights_text = "fixed" if init == "fixed" else "held-out"
    measured: dict[str, Any] = {
        "accuracy": {**reports[0].summary(), "split": "test", "weights": weights_text},
        "full_data": everything[0].mean if everything else None,
        "baselines": baselines,
    }
    return Measurement([*reports, *by_dc, *everything], measured | protocols)


def list_baselines(data: DistilledSet) -> dict[str, str]:
    """The baselines of a set, and what their items are called: beside real sentences stand sentences."""
    return OF_SENTENCES if data.text is not None and "sentences" in data.text else BASELINES


def count_draws(settings: MeasureSettings) -> int:
    """How often each baseline is drawn."""
    return min(settings.baseline_networks, settings.test_networks)


def measure_by_dc(
    settings: MeasureSettings, data: DistilledSet, network: nn.Module, splits: Splits, word: str,
    advance: Advance,
) -> tuple[list[Report], dict[str, Any]]:  # fmt: skip
    """Reports of the set and of baselines by the standard protocol dc, and {"protocols": …} for the file.

    Of new networks; nothing of both with --dc-networks 0, or where dc cannot train on the set, which is said.
    """
    if not settings.dc_networks:
        return [], {}
    protocol, weights = DC(), initial_weights(data, network, "random", settings.dc_networks)
    try:
        scores = score_students(protocol, lambda _: data, network, weights, splits.test, advance)
        baselines = score_baselines(data, protocol, network, weights, splits.train, splits.test, advance)
    except UserError as error:
        print(f"not measured by dc: {error}", file=sys.stderr)
        return [], {}
    result = Report(f"these {data.count(f'distilled {word}')}, by dc", scores)
    entry = describe_scores(result, baselines, data.network["name"], protocol, data)
    rows = [
        replace(report, name=f"{data.equal_count} {BASELINES[name]} {word}, by dc (hard labels)")
        for name, report in baselines.items()
    ]
    return [result, *rows], {"protocols": {"dc": entry}}


@contextmanager
def progress(total: int, every: float = 10.0) -> Iterator[Any]:
    """advance(items): iterate, with one bar for all parts; without a terminal, a line every ten seconds."""
    quiet, last = not sys.stderr.isatty(), time.perf_counter()
    with tqdm(total=total, desc="measuring", unit="part", disable=quiet, leave=False) as bar:
        count = 0

        def advance(items: Any) -> Iterator[Any]:
            nonlocal count, last
            for item in items:
                yield item
                bar.update()
                count += 1
                if quiet and time.perf_counter() - last > every:
                    last = time.perf_counter()
                    print(f"measured {count} of {total} networks and baselines", file=sys.stderr)

        yield advance
