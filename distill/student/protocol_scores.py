"""What a set is worth by a standard protocol, beside real items of its size; and keeping that in its file."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from distill.data.dataset import Dataset
from distill.errors import SetError, UserError
from distill.randomness import stream
from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import is_public
from distill.sets.storage import check_output, read_tensors, write_tensors
from distill.student import PROTOCOLS
from distill.student.comparison.candidates import as_baseline
from distill.student.comparison.coresets import Draw, k_means, random_real, with_equal_bytes
from distill.student.evaluation import accuracy
from distill.student.loop import build_student
from distill.student.protocols import Start, TrainingProtocol, continue_protocol, name_protocol
from distill.student.protocols.base import PlannedProtocol, run_plan
from distill.student.scores import Report
from distill.student.training import Weights

BASELINES: dict[str, Callable[[DistilledSet, Dataset], Draw]] = {
    "random-real": random_real,
    "k-means": k_means,
}
NOT_STANDARD = ("recipe", "ordinary")  # they have settings of the set's or the user's own
TIMED_STEPS = 8
Advance = Callable[[Any], Iterator[Any]]  # iterates, and shows how far it is


def score_students(
    protocol: TrainingProtocol, draw: Callable[[int], DistilledSet], network: nn.Module,
    weights: Sequence[Weights], test: Dataset, advance: Advance = iter,
) -> tuple[float, ...]:  # fmt: skip
    """Test accuracies of a student per initialisation: the one of number k trains on draw(k)."""
    return tuple(
        accuracy(protocol.train(draw(k), network, start, stream("ordinary", k)), test)
        for k, start in enumerate(advance(weights))
    )


def summarise_scores(
    steps: int | None, protocol: TrainingProtocol, data: DistilledSet, start: Start, reports: list[Report],
    test: Dataset,
) -> dict[str, Any]:  # fmt: skip
    """The set's report, the first, as the result holds it: accuracy; with --steps-on also steps_on.

    That is of students of the protocol and so many steps more, whose report joins the others.
    """
    result: dict[str, Any] = {"accuracy": reports[0].summary()}
    if steps is None:
        return result
    longer = continue_protocol(protocol, data, steps)
    scores = score_students(longer, lambda k: data, start.network, start.weights, test)
    reports.append(Report(f"{steps:,} steps on", scores))
    return result | {"steps_on": {"steps": steps, **reports[-1].summary()}}


def score_baselines(
    data: DistilledSet, protocol: TrainingProtocol, network: nn.Module, weights: Sequence[Weights],
    train: Dataset, test: Dataset, advance: Advance = iter,
) -> dict[str, Report]:  # fmt: skip
    """Real items of as many bytes, with hard labels, drawn anew for each network, by the same protocol."""
    data, reports = with_equal_bytes(data), {}
    plain = as_baseline(data)
    for word, coreset in BASELINES.items():
        draw = coreset(data, train)

        def draw_set(k: int, word: str = word, draw: Draw = draw) -> DistilledSet:
            items, labels = draw(stream(word, "score", k))
            return replace(plain, items=items, labels=labels)

        scores = score_students(protocol, draw_set, network, weights, test, advance)
        reports[word] = Report(word, scores)
    return reports


def describe_scores(
    report: Report, baselines: dict[str, Report], network: str, protocol: TrainingProtocol, data: DistilledSet
) -> dict[str, Any]:
    """What the file holds under scores.protocols.WORD: the score, and the baselines with the strongest."""
    remark = protocol.plan(data).targets.remark if isinstance(protocol, PlannedProtocol) else ""
    return {
        **report.summary(), "split": "test", "weights": "held-out", "network": network,
        "targets": remark or "targets are the labels as they are",
        "baselines": {word: baseline.summary() for word, baseline in baselines.items()},
        "strongest": max(baselines, key=lambda word: baselines[word].mean),
    }  # fmt: skip


def count_students(networks: int) -> int:
    """How many students measure a set and its baselines, of so many networks each."""
    return (1 + len(BASELINES)) * networks


def estimate_students(
    data: DistilledSet,
    protocol: PlannedProtocol,
    network: nn.Module,
    weights: Weights,
    count: int,
    test: float,
) -> float:
    """About how many seconds the set and its baselines take, of so many students each.

    The first steps of one student are timed; test: the seconds that measuring a student takes.
    """
    plan = protocol.plan(data)
    short = replace(plan, factors=plan.factors[:TIMED_STEPS])
    student, start = build_student(data, network, weights).train(), time.perf_counter()
    run_plan(short, student, data.items, stream("estimate"))
    step = (time.perf_counter() - start) / len(short.factors)
    return count_students(count) * (step * len(plan.factors) + test)


# Scores that are measured later, and kept in the file


def check_saving(
    options: Any, data: DistilledSet, real: Dataset, protocol: TrainingProtocol, start: Start
) -> None:
    """Raise UserError where --save-scores is asked for and the file cannot keep scores by the protocol.

    Before anything is trained: for a protocol that is no standard one or has other settings, for fixed
    weights, for other real data than the set's, for what is no .pt file of a set.
    """
    if not options.save_scores:
        return
    path, words = options.set, [word for word in PROTOCOLS if word not in NOT_STANDARD]
    if not any(load(PROTOCOLS[word])() == protocol for word in words):
        raise UserError(
            f"--save-scores keeps scores by a standard protocol with its own settings: give --protocol"
            f" {', '.join(words[:-1])} or {words[-1]}, and leave out options that change it"
        )
    if start.init != "random":
        raise UserError("--save-scores keeps scores of new networks: give --init random")
    if real.name != data.source["name"]:
        raise UserError(
            f"--save-scores keeps scores on the set's own data, {data.source['name']}, and these are"
            f" {real.name}: leave it out"
        )
    if is_public(path):
        raise SetError(
            f"{path} is a file of another project: `distill import` it first, to keep scores in it"
        )
    check_output(path)


def measure_and_save(
    options: Any, data: DistilledSet, protocol: TrainingProtocol, start: Start, reports: list[Report],
    train: Dataset, test: Dataset,
) -> dict[str, Any]:  # fmt: skip
    """With --save-scores: keep the set's report, the first, and baselines in the file; these as a result.

    Their reports join the others. Without the option {}. Raises SetError where the file cannot be written.
    """
    if not options.save_scores:
        return {}
    baselines = score_baselines(data, protocol, start.network, start.weights, train, test)
    entry = describe_scores(reports[0], baselines, start.name, protocol, data)
    save_scores(options.set, data, name_protocol(protocol), entry)
    reports += [
        replace(r, name=f"{data.equal_count} {name} items, hard labels") for name, r in baselines.items()
    ]
    return {"baselines": entry["baselines"]}


def save_scores(path: str, data: DistilledSet, word: str, entry: dict[str, Any]) -> None:
    """Add scores by a protocol to a set's file, whole or not at all; all else in the file stays.

    Raises SetError where the file no longer holds the set that was measured, or cannot be written.
    """
    content = read_tensors(path, "cpu")
    current = DistilledSet.from_dict(content, path)
    same = all(torch.equal(getattr(current, name), getattr(data, name).cpu()) for name in ("items", "labels"))
    if not same:
        raise SetError(f"{path} has changed while it was measured: measure it again")
    protocols = {**(current.scores.get("protocols") or {}), word: entry}
    scores = {**current.scores, "protocols": protocols}
    replace(current, scores=scores)  # checked, as the reader of the file will
    write_tensors(path, {**content, "scores": scores})
    print(f"the scores by {word} are in {path}", file=sys.stderr)
