"""What a run leaves: how its set came to be, its files, and what it prints at its start and end."""

import os
import shlex
import shutil
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from distill.data.dataset import Dataset
from distill.data.encoders.personal import describe_items
from distill.networks import SEQUENCES
from distill.outer.synthetic import Synthetic
from distill.report.page import write_page
from distill.report.pictures import list_sentences, save_curve, save_pictures
from distill.report.tables import format_table
from distill.report.verdict import judge_scores
from distill.runs.build import Plan, build_set
from distill.runs.descent import Snapshot
from distill.runs.files import log, machine
from distill.runs.files.reported import read_run
from distill.runs.measure import Measurement, Splits, measure
from distill.runs.resolve import identity
from distill.runs.sentences.nearest import read_out
from distill.runs.settings import Settings
from distill.runs.settings.defaults.values import FOREVER
from distill.runs.settings.situation import count_items, parametrisation_of
from distill.sets.distilled import DistilledSet
from distill.sets.metadata import check_plain
from distill.sets.provenance import shorten_places
from distill.sets.sentences import write_sentences


def describe_job(settings: Settings, path: Path, splits: Splits) -> str:
    """'mnist: 55,000 images for training, 5,000 to choose by, 10,000 to measure on; …'."""
    word, n = settings.data.items_word, settings.data.n
    decoded = "" if (m := count_items(n, *parametrisation_of(settings))) == n else f", decoded to {m},"
    more = f", more than the {word} that they are learned from" if n > len(splits.train) else ""
    return (
        f"{splits.train.name}: {len(splits.train):,} {word} for training, {len(splits.held_out):,} to choose"
        f" what is exported, {len(splits.test):,} to measure it; {n} {word}{decoded} are learned in {path}"
        f" by --method {settings.outer.method}{more}"
    )


def describe_run(
    settings: Settings,
    command: list[str],
    last: Snapshot,
    peak_mib: float | None = None,
    expert_seconds: float | None = None,
) -> dict[str, Any]:
    """A set's provenance; files and folders are named, not located, since sets are published.

    seconds are those of the outer loop; those of training its experts count apart.
    """
    facts = {
        **describe_command(settings, command, last.seconds, last.state.step),
        "chosen_step": last.best.step,
        "skipped": last.state.skipped,
        "rollbacks": last.state.rollbacks,
        "peak_mib": peak_mib,
    }
    experts = {} if expert_seconds is None else {"expert_seconds": expert_seconds}
    return shorten_places(facts | experts)


def describe_command(settings: Settings, command: list[str], seconds: float, steps: int) -> dict[str, Any]:
    """The part of a set's provenance that every run has: the command, all settings, time and outer steps."""
    return shorten_places({
        "command": shlex.join(command),
        "config": identity(settings),
        "seed": settings.run.seed,
        "versions": machine.versions(),
        "seconds": seconds,
        "outer_steps": steps,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    })  # fmt: skip


def check_exportable(plan: Plan, synthetic: Synthetic, train: Dataset, provenance: dict[str, Any]) -> None:
    """Raise SetError where the set at the end of a run could not be read again; before it learns."""
    data = build_set(plan, synthetic)
    text = train.text_metadata(data.items[:0])
    words = "".join(getattr(train, "vocabulary", ()))
    for name, value in (("provenance", provenance), ("text", text), ("a word of the texts", words)):
        check_plain(value, name)


def export(
    settings: Settings, plan: Plan, synthetic: Synthetic, splits: Splits, last: Snapshot
) -> tuple[DistilledSet, Measurement]:
    """The set that did best on held-out items, and what it is worth on the test items."""
    data = build_set(plan, plan.learned(synthetic, last.best.tensors, last.best.step))
    data = read_out(data, splits.train, settings.data.read_out)
    word = settings.data.items_word
    beside = f", random real {word}, and all real ones" if settings.measure.baseline_networks else ""
    print(f"measuring: this set{beside}", file=sys.stderr)
    pretrained = settings.network.weights is not None
    return data, measure(
        settings.measure, data, plan.problem, splits, word, settings.network.init, pretrained
    )


def finish(
    settings: Settings, path: Path, data: DistilledSet, measurement: Measurement, source: dict[str, Any]
) -> dict[str, Any]:
    """Write the files, print what the set is worth and what to do next; the result for --json."""
    data = replace(data, scores=measurement.scores, provenance=source)
    set_path = write_files(path, data)
    network, word = settings.network, settings.data.items_word
    title = f"{data.source['name']}: {data.count(word)}, {network.init} {network.network}, test accuracy"
    print(format_table(measurement.reports, title))
    for line in list_sentences(data.labels, data.source, data.text):
        print(line)
    size, seconds = set_path.stat().st_size / 1e3, source["seconds"]
    experts = {name: source[name] for name in ("expert_seconds",) if name in source}
    more = f", {experts['expert_seconds']:.0f} s of training experts" if experts else ""
    print(f"{set_path} ({size:.0f} kB, {seconds:.0f} s of distilling{more})")
    if settings.is_judged:
        print_verdict(settings, data, source["outer_steps"])
    warn_of_start(settings.outer.start, source)
    warn_of_signed_labels(data)
    warn_of_personal(data)
    print(f"look at it: {path / 'report.html'}\ntrain on it: {program_name()} student {set_path}")
    steps = source["outer_steps"]
    return {**measurement.scores, "seconds": seconds, **experts, "outer_steps": steps, "path": str(set_path)}


def program_name() -> str:
    """How a shell starts this program: by its name, where that is on the path."""
    return "distill" if shutil.which("distill") else f"{os.path.relpath(sys.executable)} -m distill"


def print_verdict(settings: Settings, data: DistilledSet, steps_run: int) -> None:
    """How the set compares with its strongest baseline; on stderr as a warning where it is no better."""
    planned = None if settings.outer.outer_steps == FOREVER else settings.outer.outer_steps
    tests = data.source.get("test")
    verdict = judge_scores(
        data.scores,
        data.labels.shape[1],
        steps_run,
        planned,
        tests,
        settings.data.items_word,
        data.source.get("majority"),
    )
    if not data.scores.get("baselines"):
        print(verdict.sentence)  # as it was asked for
        return
    sentence = verdict.sentence + data.compare_bytes(settings.data.items_word)
    if verdict.level == "better":
        print(sentence)
    else:
        print(f"warning: {sentence}", file=sys.stderr)


def warn_of_start(start: str | None, source: dict[str, Any]) -> None:
    """A line on stderr where nothing that was learned was better than the start on held-out items."""
    if source.get("chosen_step") == 0:
        print(
            f"warning: the file holds the start of the run (--start {start}): on held-out items nothing"
            f" learned in {source['outer_steps']} outer steps was better; give more time, or another method",
            file=sys.stderr,
        )


def warn_of_signed_labels(data: DistilledSet) -> None:
    """A line on stderr where a set for unknown networks is good for its own steps alone."""
    unbounded = data.inner["loss"] == "soft-cross-entropy" and bool((data.labels < 0).any())
    advice = "give --method frepo" if data.network.get("name") in SEQUENCES else "leave --labels out"
    if unbounded and data.network["init"] == "random":
        print(
            f"warning: the labels are signed, so the set is a sequence of {len(data.schedule)} steps: a"
            f" network that trains on it for longer gets worse; {advice} for a set that lasts",
            file=sys.stderr,
        )


def warn_of_personal(data: DistilledSet) -> None:
    """A line on stderr where the real sentences in a set's file hold a mail address or a number."""
    text = data.text or {}
    sentence = describe_items(text["personal"], len(data), "sentences" in text) if "personal" in text else ""
    if sentence:
        print(f"warning: {sentence}", file=sys.stderr)


def write_files(path: Path, data: DistilledSet) -> Path:
    """Write the pictures, the page and then the set, so that where it stands the run is whole."""
    if data.text is not None and "sentences" in data.text:
        write_sentences(path / "sentences.csv", data)
    save_curve(path / "curve.png", log.read_log(path))
    save_pictures(path, data.items, data.labels, data.source, data.text)
    write_page(path / "report.html", [read_run(path, data, path.resolve().name)])
    data.save(path / "set.pt")
    return path / "set.pt"
