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
    from distill.kd.network_files import save_student
    from distill.kd.teachers import build_with_teacher, report_teacher
    from distill.report.tables import print_beside_file
    from distill.student.comparison.baselines import report_full_data
    from distill.student.evaluation import report_students
    from distill.student.protocol_scores import check_saving, measure_and_save, summarise_scores
    from distill.student.protocols import build_start, choose_by_options, train_students

    data, train, test = load_set_and_data(config)
    check_place(config.save, config, data)
    protocol, chosen = choose_by_options(config, data)
    start = build_start(data, config.network, config.init, config.seeds)
    check_saving(config, data, test, protocol, start)
    with_teacher = build_with_teacher(config, data, train) if config.teacher else None
    students = train_students(protocol, data, start)
    reports = [report_students(data.count("distilled items"), students, test)]
    facts = {"init": start.init, "network": start.name, "path": config.set, "protocol": chosen}
    result = summarise_scores(config.steps_on, protocol, data, start, reports, test) | facts
    if with_teacher:
        reports.append(report_teacher(with_teacher, config.teacher, data, start, test))
        result["with_teacher"] = reports[-1].summary()
    result |= measure_and_save(config, data, protocol, start, reports, train, test)
    if config.full_data:
        reports.append(report_full_data(train, test, start.network, start.weights[0]))
        result["full_data"] = reports[-1].mean
    if config.save:
        save_student(config.save, students[0], data, start.name, protocol)
    by = f"{start.init} weights, protocol {config.optimizer or chosen['name']}"
    print_beside_file(reports, f"{config.set}: {start.name}, {by}, test accuracy", data.scores)
    return result


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.student") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, measure, arguments, prog)
