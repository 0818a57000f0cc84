"""The main job: from settings to a run folder with a distilled set in it, measured."""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from distill.data.dataset import Dataset
from distill.errors import RunError, require
from distill.outer import processes
from distill.outer.loop import ADDED_LATER, OuterState
from distill.outer.synthetic import Synthetic
from distill.runs.build import Plan, build_plan, build_set, set_depth
from distill.runs.descent import Candidate, Schedule, Snapshot, run_outer_loop, start_snapshot
from distill.runs.estimates.dry_run import estimate_run
from distill.runs.estimates.measuring import estimate_seconds
from distill.runs.estimates.memory import explain_memory
from distill.runs.experts.files import check_same_experts
from distill.runs.experts.training import add_experts, after_experts, find_experts, print_line
from distill.runs.files import checkpoint, fingerprint, folder, log, machine
from distill.runs.files.history import add_snapshot
from distill.runs.files.progress import Progress
from distill.runs.files.tensorboard import EventWriter
from distill.runs.first_set import begins_with_first_set, check_first_set, go_on_from, load_first_set
from distill.runs.measure import Measurement, Splits, load_data, measure, split_data
from distill.runs.resolve import change, identity, resolve, resume, set_ipc
from distill.runs.result import check_exportable, describe_run, finish
from distill.runs.sentences.nearest import read_out
from distill.runs.settings import Settings
from distill.runs.settings.situation import count_items, parametrisation_of
from distill.runs.starts import build_synthetic
from distill.sets.distilled import DistilledSet

Data = tuple[Dataset, Dataset]


def distil(settings: Any, command: list[str], load: Callable[[Any], Data] = load_data) -> dict[str, Any]:
    """Run the job, or go on with it; the result for --json. load reads the real data. Raises UserError."""
    if settings.data.read_out == "sentences":
        from distill.runs.sentences.job import distil_sentences

        return distil_sentences(settings, command, load)
    with ExitStack() as stack:  # holds the run folder to the end
        with processes.process_group(settings.run.device):
            settings, data = prepare(settings, load)
            if settings.data.read_out == "sentences":  # of the run to go on with
                raise RunError(f"{settings.run.resume} learns no items, and has no checkpoint: start anew")
            stack.enter_context(explain_memory(settings))
            train, test = data or load(settings)
            facts = fingerprint.describe_data(train, test)
            if settings.run.resume is None:
                settings = set_depth(settings, train.shape)
            else:
                fingerprint.check_data(Path(settings.run.resume), facts)
            splits = split_data(train, test, settings.data.held_out, settings.run.seed)
            processes.check_count(len(splits.train), settings.data.items_word)
            plan = build_plan(settings, splits.train, splits.test)
            synthetic = build_synthetic(settings, plan.problem, plan.method, splits.train)
            check_first_set(settings, plan.problem)
            experts = find_experts(settings, plan, splits.train)
            start = start_snapshot(plan, synthetic)
            check_exportable(plan, synthetic, train, describe_run(settings, command, start))
            if settings.run.dry_run:
                return estimate_run(settings, plan, synthetic, splits, experts)
            expert_seconds = None
            path = open_folder(settings, stack, {**identity(settings), fingerprint.KEY: facts})
            schedule = plan_schedule(settings, plan, synthetic, splits)
            if begins_with_first_set(settings):
                first = find_first_set(settings, plan, path / "start", splits, schedule)
                synthetic = go_on_from(settings, plan.problem, plan.method, splits.train, first)
                start = start_snapshot(plan, synthetic, first.provenance["seconds"])
            if experts:
                plan, synthetic, expert_seconds = add_experts(
                    settings, plan, synthetic, splits, experts, path / "experts", print_line
                )
                schedule = after_experts(schedule, settings, expert_seconds)
                start = start_snapshot(plan, synthetic, start.seconds)
            last = run_with_files(settings, plan, path, synthetic, splits, schedule, start)
            peak = machine.peak_mib()
        if processes.rank() > 0:
            return {}
        result = export(settings, plan, synthetic, splits, last)
        source = describe_run(settings, command, last, peak, expert_seconds)
        return finish(settings, path, *result, source)


def prepare(settings: Settings, load: Callable[[Any], Data]) -> tuple[Settings, Data | None]:
    """The settings in full, of a new run or of the one to go on with, and the data if they had to be read.

    Nothing is written yet. Raises UserError.
    """
    data: Data | None = None
    if settings.run.tensorboard:
        require("tensorboard", "tensorboard")
    machine.check_device(settings.run.device, settings.run.threads)
    if settings.run.resume is not None:
        return go_on(settings, Path(settings.run.resume)), None
    if settings.data.ipc is not None:
        data = load(resolve(settings))
        settings = set_ipc(settings, len(data[0].classes))
    asked, settings = settings, resolve(settings)
    if settings.run.dry_run:
        return settings, data
    if processes.restarts() and (Path(settings.run.out) / "config.json").is_file():
        return go_on(asked, Path(settings.run.out)), data
    folder.check_free(Path(settings.run.out), settings.run.overwrite, identity(settings))
    return settings, data


def go_on(settings: Settings, path: Path) -> Settings:
    """The settings of the run in a folder, which goes on: asked for, or as torchrun has started it again."""
    if settings.run.resume is None:
        given = settings.run.given - {"out", "overwrite"}
        settings = change(settings, "run", resume=str(path), overwrite=False, given=given)
        if processes.rank() == 0:
            print(f"started again by torchrun: {path} goes on from its last checkpoint", file=sys.stderr)
    return resume(settings, checkpoint.complete(folder.read_config(path)))


def open_folder(settings: Settings, stack: ExitStack, config: dict[str, Any]) -> Path:
    """The run folder, held by the first process: a new one with its config.json, or the one to go on with."""
    run, first = settings.run, processes.rank() == 0
    path = Path(run.resume or run.out)
    if run.resume is None:
        processes.broadcast(0)  # all have looked whether it is free
    if first:
        stack.enter_context(folder.lock_folder(path))
    return folder.create(path, run.overwrite, config) if first and not run.resume else path


def plan_schedule(settings: Settings, plan: Plan, synthetic: Synthetic, splits: Splits) -> Schedule:
    """When the outer loop ends: --minutes less the seconds that measuring takes, but at least a quarter."""
    steps, every, run = settings.outer.outer_steps, settings.measure.validate_every, settings.run
    if run.minutes is None:
        return Schedule(steps, every, 60 * run.distil_minutes if run.distil_minutes else None)
    seconds = 60 * run.minutes
    estimate = processes.broadcast(
        estimate_seconds(settings.measure, build_set(plan, synthetic), plan.problem, splits)
    )
    if processes.rank() == 0:
        advice = advise(estimate, seconds)
        print(f"measuring will take about {estimate:.0f} of the {seconds:.0f} s{advice}", file=sys.stderr)
    return Schedule(steps, every, max(seconds - estimate, seconds / 4))


def advise(estimate: float, seconds: float) -> str:
    """What to do where measuring takes most of --minutes."""
    if estimate < 0.75 * seconds:
        return ""
    options = "--full-data-networks, --dc-networks, --baseline-networks or --distil-minutes"
    return f": the run will take longer; {options} bound it"


def run_with_files(
    settings: Settings,
    plan: Plan,
    path: Path,
    synthetic: Synthetic,
    splits: Splits,
    schedule: Schedule,
    start: Snapshot,
) -> Snapshot:
    """The outer loop with log, checkpoints and progress; Ctrl-C leaves what --resume goes on with."""
    snapshot = load_snapshot(settings, path, start)
    steps = run_outer_loop(plan, synthetic, splits, snapshot, schedule)
    if processes.rank() > 0:
        return deque(chain([snapshot], (later for later, _ in steps)), maxlen=1)[0]
    print(describe_job(settings, path, splits), file=sys.stderr)
    records, progress = log.Log(path, snapshot.state.step), Progress(schedule, snapshot.state.step)
    events = EventWriter(path, snapshot.state.step, settings.run.tensorboard)

    def learned_by(state: OuterState) -> Synthetic:
        return plan.learned(synthetic, state.average, state.step)

    def keep_history(state: OuterState) -> None:
        learned = learned_by(state)
        add_snapshot(path, state.step, learned.items, learned.targets(), splits.train.text_metadata)

    keep_history(snapshot.state)
    try:
        for snapshot, record in steps:
            records.add(record)
            keep_history(snapshot.state)
            events.add_record(record, learned_by(snapshot.state), splits.train)
            progress.show(record, snapshot.state.rollbacks)
            if "validation" in record:
                checkpoint.save_checkpoint(path, identity(settings), asdict(snapshot))
    except KeyboardInterrupt:
        words = f"stopped at step {snapshot.state.step}; go on with --resume"
        raise RunError(f"{words} {settings.run.resume or settings.run.out}") from None
    finally:
        progress.close()
        events.close()
    return snapshot


def find_first_set(
    settings: Settings, plan: Plan, path: Path, splits: Splits, schedule: Schedule
) -> DistilledSet:
    """The set from which a run goes on, in a folder of its own: distilled now, or before the run stopped."""

    def loop(first: Settings, plan: Plan, synthetic: Synthetic, schedule: Schedule) -> Snapshot:
        if processes.rank() == 0 and not (first.run.resume and (path / "config.json").is_file()):
            folder.create(path, True, identity(first))
        start = start_snapshot(plan, synthetic)
        return run_with_files(first, plan, path, synthetic, splits, schedule, start)

    return load_first_set(path / "set.pt", settings, plan, splits.train, schedule, loop)


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


def load_snapshot(settings: Settings, path: Path, start: Snapshot) -> Snapshot:
    """Where the run stands: at its checkpoint if it is resumed and has one, else at its beginning."""
    run = settings.run
    saved = checkpoint.load_checkpoint(path, identity(settings), run.device) if run.resume else None
    if saved is None:
        return start
    if isinstance(saved.get("state"), dict):  # checkpoints of older versions lack these
        saved["state"] = {**{name: getattr(start.state, name) for name in ADDED_LATER}, **saved["state"]}
    checkpoint.check_form(path, saved, asdict(start))
    check_same_experts(path, saved["state"]["method_memory"], start.state.method_memory)
    return Snapshot(OuterState(**saved["state"]), Candidate(**saved["best"]), saved["seconds"])


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
