"""The job of `distill text --read-out sentences`: choose real sentences, label them, measure, write."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from distill.data.dataset import Dataset
from distill.data.encoders.dataset import EncodedDataset
from distill.errors import UserError
from distill.networks.build import build_network
from distill.outer.synthetic import cyclic_schedule
from distill.randomness import stream
from distill.registry import flag
from distill.runs.build import network_arguments
from distill.runs.files import fingerprint, folder
from distill.runs.job import prepare
from distill.runs.measure import Splits, measure, split_data
from distill.runs.resolve import change, identity
from distill.runs.result import describe_command, finish
from distill.runs.sentences.labels import OUTER_STEPS
from distill.runs.sentences.nearest import add_personal
from distill.runs.sentences.select import Sentences, select_sentences
from distill.runs.settings import Settings, TextData
from distill.sets.distilled import DistilledSet
from distill.sets.provenance import describe_source
from distill.student.comparison.baselines import LRS
from distill.student.evaluation import accuracy
from distill.student.training import build_problem, initial_weights, replay

STEPS, MOST = 300, 100  # of the set's recipe, with momentum; and the items of a step at most
OPTIONS = {  # beside those of the data, what has an effect
    "network", "width", "depth", "test_networks", "baseline_networks", "dc_networks", "full_data_networks",
    "seed", "device", "threads", "out", "overwrite", "json",
}  # fmt: skip
WITHOUT = {"labels", "synthetic_length", "word_dropout", "vectors", "attention_labels"}  # options of the data


def distil_sentences(
    settings: Any, command: list[str], load: Callable[[Any], tuple[Dataset, Dataset]]
) -> dict[str, Any]:
    """Prepare and run the job; the result for --json. load reads the real data. Raises UserError."""
    settings, data = prepare(prepare_settings(settings), load)
    return choose_sentences(settings, command, *(data or load(settings)))


def prepare_settings(settings: Settings) -> Settings:
    """The settings of a set for new networks. Raises UserError for an option without effect."""
    data = {f.name for f in fields(TextData)} - WITHOUT
    for name in sorted(settings.run.given - OPTIONS - data):
        raise UserError(
            f"{flag(name)} has no effect with --read-out sentences, which chooses real ones: leave it out"
        )
    settings = change(settings, "outer", outer_steps=OUTER_STEPS)
    return change(settings, "network", init="random")


def choose_sentences(settings: Settings, command: list[str], train: Dataset, test: Dataset) -> dict[str, Any]:
    """Run the job of resolved settings; the result for --json. Raises UserError."""
    splits = split_data(train, test, settings.data.held_out, settings.run.seed)
    assert isinstance(splits.train, EncodedDataset)
    assert isinstance(splits.held_out, EncodedDataset)
    start, generator = time.perf_counter(), stream("sentences", settings.run.seed)
    sentences = select_sentences(splits.train, splits.held_out, settings.data.n, generator)
    data = build_sentence_set(settings, sentences, splits)
    seconds = time.perf_counter() - start
    path = Path(settings.run.out)
    with ExitStack() as stack:
        stack.enter_context(folder.lock_folder(path))
        facts = fingerprint.describe_data(train, test)
        folder.create(path, settings.run.overwrite, {**identity(settings), fingerprint.KEY: facts})
        problem = build_problem(data)
        measurement = measure(
            settings.measure, data, problem, splits, settings.data.items_word, "random", pretrained=False
        )
        source = describe_command(settings, command, seconds, OUTER_STEPS)
        return finish(settings, path, data, measurement, {**source, "label_choice": sentences.chosen})


def build_sentence_set(settings: Settings, sentences: Sentences, splits: Splits) -> DistilledSet:
    """The sentences as a set: items are their embeddings, labels their shares times their weights."""
    train, n = splits.train, len(sentences.places)
    assert isinstance(train, EncodedDataset)
    places = sentences.places.to(train.items.device)
    network, arguments = settings.network, network_arguments(settings.network)
    build_network(network.network, train.shape, len(train.classes), **arguments)
    batch = max(b for b in range(1, MOST + 1) if n % b == 0)
    data = DistilledSet(
        train.batch(places)[0],
        (sentences.labels.shares * sentences.labels.weights[:, None]).to(train.items.device),
        cyclic_schedule(n, batch, STEPS).to(train.items.device),
        torch.full((STEPS,), LRS[0], device=train.items.device),
        {"rule": "sgd", "momentum": 0.9, "loss": "soft-cross-entropy", "augment": ""},
        {"name": network.network, "arguments": arguments, "init": "random", "scheme": network.weight_init},
        describe_source(settings.data.origin, train, splits.test),
        text=add_personal(train.sentence_metadata(places), train),
    )
    return choose_rate(data, splits.held_out)


def choose_rate(data: DistilledSet, held_out: Dataset) -> DistilledSet:
    """The set with the constant rate of its recipe that does best on held-out texts."""
    problem = build_problem(data)
    weights = initial_weights(data, problem.network, "random", 1)[0]
    candidates = [replace(data, lrs=torch.full_like(data.lrs, lr)) for lr in LRS]
    return max(candidates, key=lambda one: accuracy(replay(one, problem, weights), held_out))
