"""The main job: from a config to a run folder with a distilled set in it, measured."""

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from distill.data.dataset import Dataset
from distill.errors import RunError, require
from distill.methods.base import Named
from distill.outer import processes
from distill.outer.loop import OuterState, descend, initial_state
from distill.outer.synthetic import Synthetic
from distill.report.items import Shown
from distill.report.page import write as write_page
from distill.report.pictures import curve, read_aloud, shown
from distill.report.tables import table
from distill.runs import machine
from distill.runs.build import Plan, export, objective_for, outer_for, plan_for, started
from distill.runs.files import checkpoint, folder, log
from distill.runs.files.history import keep
from distill.runs.files.history import read as read_history
from distill.runs.files.tensorboard import Board
from distill.runs.measure import measured
from distill.runs.progress import Progress, Record
from distill.runs.settings import Config, identity, resolved, resumed
from distill.runs.splits import Splits, real_data
from distill.sets.distilled import DistilledSet
from distill.student.evaluate import accuracy
from distill.student.training import replay

GIVE_UP = 20  # rollbacks, each of which has halved the outer rate


@dataclass(frozen=True)
class Best:
    """The learned tensors that did best on held-out real items so far."""

    score: float
    step: int
    tensors: Named


@dataclass(frozen=True)
class Snapshot:
    """A run between two outer steps: what a checkpoint holds."""

    state: OuterState
    best: Best
    seconds: float


def distil(config: Config, command: list[str]) -> dict[str, Any]:
    """Run the job, or go on with it; the result as the JSON line tells it. Raises UserError."""
    with ExitStack() as held:  # the run folder, to the end
        return distilled(config, command, held)


def distilled(config: Config, command: list[str], held: ExitStack) -> dict[str, Any]:
    with processes.process_group(config.device):
        config = settings(config)
        splits = real_data(config)
        plan = plan_for(config, splits.train, splits.test)
        synthetic = started(config, plan.problem, splits.train)
        folder = opened(config, held)
        last = looped(plan, folder, synthetic, splits)
        peak = machine.peak_mib()
    if processes.rank() > 0:
        return {}
    data = export(plan, synthetic.replace_tensors(last.best.tensors))
    data = replace(data, text=splits.train.text_metadata(data.items))
    print(f"measuring: this set, random real {config.ITEMS}, and all real ones", file=sys.stderr)
    reports, scores = measured(config, data, plan.problem, splits)
    data = replace(data, scores=scores, provenance=provenance(config, command, last, peak))
    title = f"{data.source['name']}: {config.n} {config.ITEMS}, {config.init} {config.network}, test accuracy"
    path = finished(folder, data)
    print(table(reports, title))
    for line in read_aloud(data.labels, data.source, data.text):
        print(line)
    print(f"{path} ({path.stat().st_size / 1e3:.0f} kB, {last.seconds:.0f} s of distilling)")
    return {**scores, "seconds": last.seconds, "outer_steps": last.state.step, "path": str(path)}


def settings(config: Config) -> Config:
    """The settings in full, of a new run or of the one to go on with; nothing is written yet."""
    if config.tensorboard:
        require("tensorboard", "tensorboard")
    if config.resume is None:
        config = resolved(config)
        folder.check_free(Path(config.out), config.overwrite)
    else:
        config = resumed(config, folder.read_config(Path(config.resume)))
    machine.check_device(config.device, config.threads)
    return config


def opened(config: Config, held: ExitStack) -> Path:
    """The run folder, held by the first process: a new one with its config.json, or the one to go on with."""
    path, first = Path(config.resume or config.out), processes.rank() == 0
    if config.resume is None:
        processes.broadcast(0)  # all have looked whether it is free
    if first:
        held.enter_context(folder.alone(path))
    return folder.create(path, config.overwrite, identity(config)) if first and not config.resume else path


def looped(plan: Plan, folder: Path, synthetic: Synthetic, splits: Splits) -> Snapshot:
    """Descend to the end with log, checkpoints and progress; Ctrl-C leaves what --resume goes on with."""
    config, now = plan.config, restored(plan.config, folder, synthetic)
    if processes.rank() > 0:
        for reached, _ in outer_steps(plan, synthetic, splits, now):
            now = reached
        return now
    print(
        f"{splits.train.name}: {len(splits.train):,} {config.ITEMS} teach, {len(splits.held_out):,} choose"
        f" what is kept, {len(splits.test):,} measure it; {config.n} are learned in {folder}",
        file=sys.stderr,
    )
    log_file, progress = log.Log(folder, now.state.step), Progress(config, now.state.step)
    board = Board(folder, now.state.step, config.tensorboard)

    def look(state: OuterState) -> None:
        learned = synthetic.replace_tensors(state.average)
        keep(folder, state.step, learned.items, learned.targets(), splits.train.text_metadata)

    look(now.state)
    try:
        for reached, record in outer_steps(plan, synthetic, splits, now):
            now = reached
            log_file.add(record)
            look(now.state)
            board.add(record, synthetic.replace_tensors(now.state.average), splits.train)
            progress.show(record, now.state.rollbacks)
            if "validation" in record:
                checkpoint.save_checkpoint(folder, identity(config), asdict(now))
    except KeyboardInterrupt:
        raise RunError(f"stopped at step {now.state.step}; go on with --resume {folder}") from None
    finally:
        progress.close()
        board.close()
    return now


def restored(config: Config, folder: Path, synthetic: Synthetic) -> Snapshot:
    """Where the run stands: at its checkpoint if it is resumed and has one, else at its beginning."""
    saved = checkpoint.load_checkpoint(folder, identity(config), config.device) if config.resume else None
    fresh = beginning(config, synthetic)
    if saved is None:
        return fresh
    checkpoint.check_form(folder, saved, asdict(fresh))
    return Snapshot(OuterState(**saved["state"]), Best(**saved["best"]), saved["seconds"])


def beginning(config: Config, synthetic: Synthetic) -> Snapshot:
    """A run before its first outer step."""
    return Snapshot(initial_state(synthetic, outer_for(config)), Best(-1.0, 0, synthetic.tensors()), 0.0)


def outer_steps(
    plan: Plan, synthetic: Synthetic, splits: Splits, now: Snapshot
) -> Iterator[tuple[Snapshot, Record]]:
    """Outer steps from a snapshot to the end of the run, with a held-out score every check_every."""
    config, score = plan.config, scorer(plan, synthetic, splits.held_out)
    began = time.perf_counter() - now.seconds

    def share(step: int) -> float:
        timed = (time.perf_counter() - began) / (60 * config.minutes) if config.minutes else 0.0
        return processes.broadcast(max(timed, step / config.outer_steps))

    objective = objective_for(plan, splits.train)
    states = descend(synthetic, objective, outer_for(config), now.state, share)
    if share(now.state.step) >= 1:
        return
    for state in states:
        record: Record = {"step": state.step, "loss": state.loss if math.isfinite(state.loss) else None}
        if state.rollbacks >= GIVE_UP:
            raise RunError(f"the outer loop diverged {GIVE_UP} times: lower --lr or --outer-lr")
        best, over = now.best, share(state.step) >= 1
        if over or state.step % config.check_every == 0:
            found = max((score(state.tensors, state.step), score(state.average, state.step)), key=by_score)
            best = max((found, best), key=by_score)
            record |= {"validation": found.score, "skipped": state.skipped, "rollbacks": state.rollbacks}
        now = Snapshot(state, best, time.perf_counter() - began)
        yield now, record | {"seconds": round(now.seconds, 3)}
        if over:
            return


def by_score(best: Best) -> float:
    return best.score


def scorer(plan: Plan, synthetic: Synthetic, held_out: Dataset) -> Callable[[Named, int], Best]:
    """score(tensors, step): the mean accuracy on held-out real items of the students they teach."""
    weights = plan.initial.choose

    def score(tensors: Named, step: int) -> Best:
        data = export(plan, synthetic.replace_tensors(tensors))
        students = [replay(data, plan.problem, w) for w in weights]
        return Best(sum(accuracy(s, held_out) for s in students) / len(students), step, tensors)

    return score


def provenance(config: Config, command: list[str], last: Snapshot, peak_mib: float | None) -> dict[str, Any]:
    """How the set came to be."""
    return {
        "command": shlex.join(command),
        "config": identity(config),
        "seed": config.seed,
        "versions": machine.versions(),
        "seconds": last.seconds,
        "outer_steps": last.state.step,
        "chosen_step": last.best.step,
        "skipped": last.state.skipped,
        "rollbacks": last.state.rollbacks,
        "peak_mib": peak_mib,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def finished(folder: Path, data: DistilledSet) -> Path:
    """Write the pictures, the page and then the set, so that where it stands the run is whole."""
    records = log.read_log(folder)
    curve(folder / "curve.png", records)
    shown(folder, data.items, data.labels, data.source, data.text)
    write_page(folder / "report.html", [Shown(folder.resolve().name, data, records, read_history(folder))])
    data.save(folder / "set.pt")
    return folder / "set.pt"
