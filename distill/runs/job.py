"""The main job: from settings to a run folder with a distilled set in it, measured."""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from distill.data.dataset import Dataset
from distill.errors import RunError, require
from distill.outer import processes
from distill.outer.loop import ADDED_LATER, OuterState
from distill.outer.synthetic import Synthetic
from distill.runs.build import Plan, build_plan, set_depth
from distill.runs.descent import Candidate, Schedule, Snapshot, run_outer_loop, start_snapshot
from distill.runs.estimates.dry_run import check_alone, estimate_run
from distill.runs.estimates.memory import explain_memory
from distill.runs.estimates.schedule import plan_schedule
from distill.runs.experts.files import Expert, check_same_experts
from distill.runs.experts.training import add_experts, after_experts, find_experts, print_line
from distill.runs.files import checkpoint, fingerprint, folder, log, machine
from distill.runs.files.history import add_snapshot
from distill.runs.files.progress import Progress
from distill.runs.files.tensorboard import EventWriter
from distill.runs.first_set import begins_with_first_set, check_first_set, go_on_from, load_first_set
from distill.runs.interrupt import delay_interrupt
from distill.runs.measure import Splits, load_data, split_data
from distill.runs.resolve import S, change, identity, resolve, resume, set_ipc
from distill.runs.result import check_exportable, describe_job, describe_run, export, finish
from distill.runs.settings import Settings
from distill.runs.starts.synthetic import build_synthetic
from distill.sets.distilled import DistilledSet

Data = tuple[Dataset, Dataset]


class Job(NamedTuple):
    """A distillation that can begin: its settings in full, objects, and facts of the data.

    experts are those of trajectory matching, None in the places of those to be trained.
    """

    settings: Settings
    plan: Plan
    synthetic: Synthetic
    splits: Splits
    experts: list[Expert | None]
    facts: dict[str, Any]


class Beginning(NamedTuple):
    """What the outer loop begins with."""

    plan: Plan
    synthetic: Synthetic
    start: Snapshot
    schedule: Schedule
    expert_seconds: float | None = None


def distil(settings: Any, command: list[str], load: Callable[[Any], Data] = load_data) -> dict[str, Any]:
    """Run the job, or go on with it; the result for --json. load reads the real data. Raises UserError."""
    if settings.data.read_out == "sentences":
        from distill.runs.sentences.job import distil_sentences

        return distil_sentences(settings, command, load)
    check_alone(settings.run.dry_run)
    settings = restore_device(settings)
    with ExitStack() as stack:  # holds the run folder to the end
        with processes.process_group(settings.run.device):
            settings, data = prepare(settings, load)
            stack.enter_context(explain_memory(settings))
            job = build_job(settings, data or load(settings), command)
            settings, splits = job.settings, job.splits
            if settings.run.dry_run:
                return estimate_run(settings, job.plan, job.synthetic, splits, job.experts)
            path = open_folder(settings, stack, {**identity(settings), fingerprint.KEY: job.facts})
            plan, synthetic, start, schedule, expert_seconds = begin(job, path)
            last = run_with_files(settings, plan, path, synthetic, splits, schedule, start)
            peak = machine.peak_memory(settings.run.device)
        if processes.rank() > 0:
            return {}
        result = export(settings, plan, synthetic, splits, last)
        source = describe_run(settings, command, last, peak, expert_seconds)
        return finish(settings, path, *result, source)


def build_job(settings: Any, data: Data, command: list[str]) -> Job:
    """The job of prepared settings on these data. Nothing is written yet. Raises UserError."""
    train, test = data
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
    return Job(settings, plan, synthetic, splits, experts, facts)


def begin(job: Job, path: Path) -> Beginning:
    """What comes before the outer loop: another method's set to go on from, and experts."""
    settings, plan, synthetic, splits, experts, _ = job
    start, seconds = start_snapshot(plan, synthetic), None
    schedule = plan_schedule(settings, plan, synthetic, splits)
    if begins_with_first_set(settings):
        first = find_first_set(settings, plan, path / "start", splits, schedule)
        synthetic = go_on_from(settings, plan.problem, plan.method, splits.train, first)
        start = start_snapshot(plan, synthetic, first.provenance["seconds"])
    if experts:
        plan, synthetic, seconds = add_experts(
            settings, plan, synthetic, splits, experts, path / "experts", print_line
        )
        schedule = after_experts(schedule, settings, seconds)
        start = start_snapshot(plan, synthetic, start.seconds)
    return Beginning(plan, synthetic, start, schedule, seconds)


def prepare(settings: Settings, load: Callable[[Any], Data]) -> tuple[Settings, Data | None]:
    """The settings in full, of a new run or of the one to go on with, and the data if they had to be read.

    Nothing is written yet. Raises UserError.
    """
    data: Data | None = None
    if settings.run.tensorboard:
        require("tensorboard", "tensorboard")
    machine.check_device(settings.run.device, settings.run.threads, settings.run.resume is not None)
    if settings.run.resume is not None:
        resumed = go_on(settings, Path(settings.run.resume))
        if resumed.data.read_out == "sentences":
            raise RunError(f"{settings.run.resume} learns no items, and has no checkpoint: start anew")
        return resumed, None
    if settings.data.ipc is not None:
        data = load(resolve(settings))
        settings = set_ipc(settings, len(data[0].classes))
    asked, settings = settings, resolve(settings)
    if settings.run.dry_run:
        return settings, data
    if folder.is_restart(Path(settings.run.out)):
        return go_on(asked, Path(settings.run.out)), data
    folder.check_free(Path(settings.run.out), settings.run.overwrite, identity(settings))
    return settings, data


def restore_device(settings: Settings) -> Settings:
    """The settings; a run to go on with has its own device, unless the command names one. Raises RunError."""
    run = settings.run
    if run.resume is None or "device" in run.given:
        return settings
    device = folder.read_config(Path(run.resume)).get("device")
    return change(settings, "run", device=device) if isinstance(device, str) else settings


def go_on(settings: S, path: Path) -> S:
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


def run_with_files(
    settings: Settings, plan: Plan, path: Path, synthetic: Synthetic, splits: Splits,
    schedule: Schedule, start: Snapshot,
) -> Snapshot:  # fmt: skip
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
        with delay_interrupt(processes.world_size() == 1) as interrupt:  # several are stopped by torchrun
            for snapshot, record in steps:
                records.add(record)
                keep_history(snapshot.state)
                events.add_record(record, learned_by(snapshot.state), splits.train)
                progress.show(record, snapshot.state.rollbacks)
                stopping = interrupt.requested  # once: Ctrl-C may come between two looks
                if stopping or "validation" in record:
                    checkpoint.save_checkpoint(path, identity(settings), asdict(snapshot))
                if stopping:
                    raise KeyboardInterrupt
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


def load_snapshot(settings: Settings, path: Path, start: Snapshot) -> Snapshot:
    """Where the run stands: at its checkpoint if it is resumed and has one, else at its beginning."""
    run = settings.run
    saved = checkpoint.load_checkpoint(path, identity(settings), run.device) if run.resume else None
    if saved is None:
        return start
    if isinstance(saved.get("state"), dict):  # checkpoints of older versions lack these
        saved["state"] = {**{name: getattr(start.state, name) for name in ADDED_LATER}, **saved["state"]}
    if isinstance(saved.get("best"), dict):
        saved["best"] = {"highest": saved["best"].get("score"), **saved["best"]}
    checkpoint.check_form(path, saved, asdict(start))
    check_same_experts(path, saved["state"]["method_memory"], start.state.method_memory)
    return Snapshot(OuterState(**saved["state"]), Candidate(**saved["best"]), saved["seconds"])
