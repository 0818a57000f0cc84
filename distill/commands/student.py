"""`python -m distill.student SET.pt`: train a network on a distilled set, measure it on real test data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distill.commands.cli import run_command
from distill.commands.set_options import SetSettings, check_place, load_set_and_data
from distill.kd.losses import LOGIT_LOSSES
from distill.registry import option
from distill.student.settings import StudentOptions


@dataclass(frozen=True)
class StudentSettings(StudentOptions, SetSettings):
    """Train a new network on a distilled set, by the set's own recipe or a --protocol, and measure it."""

    kd: str = option("hinton", "LOSS", choices=LOGIT_LOSSES, noun="loss", needs={"teacher": ()})


SETTINGS = StudentSettings


def measure(config: StudentSettings) -> dict[str, Any]:
    """Train, print the table, save; the result as the JSON line holds it. Raises UserError."""
    from distill.kd.teachers import WithTeacher, load_teacher
    from distill.report.tables import format_table
    from distill.sets.storage import write_tensors
    from distill.student.comparison.baselines import report_full_data
    from distill.student.evaluation import accuracies
    from distill.student.protocols import build_start, choose_by_options, train_students
    from distill.student.scores import Report

    data, train, test = load_set_and_data(config)
    check_place(config.save, config, data)
    protocol, chosen = choose_by_options(config, data)
    start = build_start(data, config.network, config.init, config.seeds)
    teacher = load_teacher(config.teacher, data, config.teacher_network) if config.teacher else None
    with_teacher = WithTeacher(teacher, config.kd, config.tau, config.share) if teacher else None
    students = train_students(protocol, data, start)
    reports = [Report(f"{len(data)} distilled items", accuracies(students, test))]
    facts = {"init": start.init, "network": start.name, "path": config.set, "protocol": chosen}
    result: dict[str, Any] = {"accuracy": reports[0].summary(), **facts}
    if with_teacher:
        scores = accuracies(train_students(with_teacher, data, start), test)
        reports.append(Report(f"- with the teacher {config.teacher}", scores))
        result["with_teacher"] = reports[-1].summary()
    if config.full_data:
        reports.append(report_full_data(train, test, start.network, start.weights[0]))
        result["full_data"] = reports[-1].mean
    if config.save:
        write_tensors(config.save, {name: w.cpu() for name, w in students[0].state_dict().items()})
    by = f"{start.init} weights, protocol {config.optimizer or chosen['name']}"
    print(format_table(reports, f"{config.set}: {start.name}, {by}, test accuracy"))
    return result


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.student") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, measure, arguments, prog)
