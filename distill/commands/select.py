"""`distill select DATA --coreset rded --teacher FILE --out SET.pt`: real images as a set."""

from collections.abc import Sequence
from typing import Any

from distill.commands.cli import run_command
from distill.runs.decoupled.settings import SelectSettings

SETTINGS = SelectSettings


def select(config: SelectSettings) -> dict[str, Any]:
    """Choose, label, write; the result for the JSON line. Raises UserError."""
    from distill.report.figures import describe_views
    from distill.runs.decoupled.select import select_set
    from distill.runs.result import program_name
    from distill.sets.storage import check_output

    check_output(config.out, [config.dataset, config.teacher, config.data_dir], config.overwrite)
    data = select_set(config)
    data.save(config.out)
    labels = "hard" if (data.labels.amax(dim=1) == 1).all() else "soft"
    views = 0 if data.view_labels is None else len(data.view_labels)
    print(f"{config.out}: {len(data)} images by {config.coreset}, {labels} labels")
    if data.view_labels is not None:
        print(describe_views(data.view_labels))
    protocol = "fkd" if views else "dc"
    print(f"train on it: {program_name()} student {config.out} --protocol {protocol}")
    return {"path": config.out, "n": len(data), "coreset": config.coreset, "labels": labels, "views": views}


def main(arguments: Sequence[str] | None = None, prog: str = "distill select") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, select, arguments, prog)
