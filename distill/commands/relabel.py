"""`distill relabel SET.pt --teacher FILE`: the set with a teacher's soft labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.commands.cli import answer, parse
from distill.commands.set_options import SetConfig, opened
from distill.errors import UserError
from distill.student.relabel import measured, relabelled, teacher


@dataclass(frozen=True)
class RelabelConfig(SetConfig):
    """Write a new set whose labels are a teacher's softened answers to the items, and measure it."""

    teacher: str | None = None
    """The teacher: a file of `distill teach`, or a state dict."""
    teacher_network: str | None = None
    """The teacher's architecture, where its file does not tell it (default: the set's own)."""
    tau: float = 1.0
    """The temperature that softens its answers."""
    seeds: int = 20
    """With random weights: how many networks measure the set."""
    out: str | None = None
    """Where the new set is written (default: SET-relabelled.pt beside the set)."""


def relabel(config: RelabelConfig) -> dict[str, Any]:
    """Label, measure, write; the result as the JSON line tells it. Raises UserError."""
    from distill.report.tables import format_table
    from distill.student.scores import Report

    if config.teacher is None:
        raise UserError("--teacher FILE.pt is missing: whose labels shall the set have?")
    for name in ("tau", "seeds"):
        if not getattr(config, name) > 0:
            raise UserError(f"--{name} must be above 0, not {getattr(config, name):g}")
    old = Path(config.set)
    path = Path(config.out or old.with_name(f"{old.stem}-relabelled.pt"))
    if not path.parent.is_dir() or path.resolve() == old.resolve():
        raise UserError(f"{path} cannot be the new set: give --out another file, in a folder that is there")
    data, _, test = opened(config)
    new = relabelled(data, teacher(config.teacher, data, config.teacher_network), config.tau)
    reports = [
        Report(name, measured(which, test, config.seeds))
        for name, which in (("its own labels", data), ("the teacher's labels", new))
    ]
    known = "held-out" if data.init_state is None else "fixed"
    facts = {**reports[1].facts(), "split": "test", "weights": known}
    command = f"relabel --teacher {Path(config.teacher).name} --tau {config.tau:g}"
    new = replace(
        new,
        scores={**data.scores, "accuracy": facts},
        provenance={**data.provenance, "relabelled": command},
    )
    new.save(path)
    print(format_table(reports, f"{config.set}: test accuracy") + f"\n\n{path}")
    return {"own": reports[0].facts(), "teacher": reports[1].facts(), "path": str(path)}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.student.relabel") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(RelabelConfig, arguments, prog)
    return answer(lambda: relabel(config), config.json)
