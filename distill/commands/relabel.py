"""`distill relabel SET.pt --teacher FILE`: the set with a teacher's soft labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import run_command
from distill.commands.set_options import SetSettings, check_place, load_set_and_data
from distill.errors import UserError
from distill.registry import COUNT, RATE, option
from distill.student.views.settings import ViewOptions


@dataclass(frozen=True)
class RelabelSettings(ViewOptions, SetSettings):
    """Write a new set whose labels are a teacher's softened outputs for the items, and measure it."""

    teacher: str | None = option(None, "FILE")
    """The teacher: a file of weights from `distill teach` or from `distill student --save`."""
    teacher_network: str | None = option(None, "NETWORK")
    """The teacher's network, if its file does not name it (default: the set's own)."""
    tau: float = option(1.0, "TAU", **RATE)
    """The temperature by which the teacher's logits are divided."""
    seeds: int = option(20, "COUNT", **COUNT)
    """With random weights: how many networks measure the set."""
    out: str | None = option(None, "FILE")
    """Where the new set is written (default: SET-relabelled.pt, in the folder of the set)."""


SETTINGS = RelabelSettings


def relabel(config: RelabelSettings) -> dict[str, Any]:
    """Label, measure, write; the result as the JSON line holds it. Raises UserError."""
    from distill.kd.teachers import relabel_and_score
    from distill.report.figures import describe_views
    from distill.report.tables import format_table
    from distill.sets.storage import with_final_name

    if config.teacher is None:
        raise UserError("--teacher FILE.pt is missing: whose labels shall the set have?")
    old = with_final_name(config.set)
    path = Path(config.out or old.with_name(f"{old.stem}-relabelled.pt"))
    data, *real = load_set_and_data(config)
    check_place(path, config, data)
    teacher = (config.teacher, config.teacher_network, config.tau)
    relabelled, reports = relabel_and_score(data, (real[0], real[1]), *teacher, config.seeds, config)
    relabelled.save(path)
    print(format_table(reports, f"{config.set}: test accuracy"))
    if relabelled.view_labels is not None:
        print(f"\n{describe_views(relabelled.view_labels)}")
    print(f"\n{path}")
    set_labels, teacher_labels = (report.summary() for report in reports)
    return {"set_labels": set_labels, "teacher_labels": teacher_labels, "path": str(path)}


def main(arguments: Sequence[str] | None = None, prog: str = "distill relabel") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, relabel, arguments, prog)
