"""What the stages of a recipe did, what its run cost, and the recipe itself."""

import shlex

from distill.report.figures import Row, format_duration
from distill.report.recipes.reported import ReportedRun, describe_loss, list_turns
from distill.report.sanitise import JsonDict, is_number, shorten, to_count, to_dict, to_number

LONGEST = 100_000  # characters of a recipe on the page
SETTINGS = ("epochs", "batch", "lr", "train")
FLAGS = ("search", "route", "keep", "prune", "qat", "mixup", "augment")


def describe_stages(reported: ReportedRun) -> JsonDict:
    """The section of stages: a row for each."""
    rows = [(f"stage {k}", describe_stage(stage)) for k, stage in enumerate(reported.stages, 1)]
    return {"rows": rows} if rows else {}


def describe_stage(stage: JsonDict) -> str:
    """'student: 0.1 · cross-entropy + 0.9 · hinton from teacher; 40 epochs, batches of 64 …'."""
    turns = [
        f"{name}: {' + '.join(map(describe_summand, losses)) or 'no loss'}"
        for name, losses in list_turns(stage).items()
    ]
    words = {"epochs": "{:,} epochs", "batch": "batches of {:,}", "train": "{:,} items", "lr": "rate {:g}"}
    numbers = [words[key].format(stage[key]) for key in SETTINGS if is_number(stage.get(key))]
    optimizer = stage.get("optimizer")
    name = to_dict(optimizer).get("name") if isinstance(optimizer, dict) else optimizer
    further = [shorten(name, 60)] if isinstance(name, str) else []
    flags = [word for word in FLAGS if stage.get(word)]
    extras = [f"{word} {shorten(stage[word], 60)}" if stage[word] is not True else word for word in flags]
    return "; ".join([*turns, ", ".join([*numbers, *further, *extras])])


def describe_summand(loss: JsonDict) -> str:
    """'0.9 · hinton from teacher'; a weight that moves is not written out, nor the default of a loss."""
    weight = to_number(loss.get("weight"))
    if any(isinstance(loss.get(key), dict) for key in ("weight", "bound")) or is_number(loss.get("until")):
        return f"{describe_loss(loss)} (its weight moves)"
    return describe_loss(loss) if weight in (None, 1.0) else f"{weight:g} · {describe_loss(loss)}"


def list_run_costs(reported: ReportedRun) -> list[Row]:
    """Time, items, and the machine of a run."""
    seconds, machine = to_number(reported.result.get("seconds")), to_dict(reported.result.get("machine"))
    items = {name: to_count(n) for name, n in to_dict(reported.result.get("items")).items()}
    counts = ", ".join(f"{n:,} {name}" for name, n in items.items() if n)
    memory = to_number(machine.pop("peak_mib", None))
    facts = ", ".join(f"{name} {shorten(value, 60)}" for name, value in machine.items() if value is not None)
    rows = [
        ("time", "" if seconds is None else format_duration(seconds)),
        ("memory", "" if memory is None else f"{memory:,.0f} MiB at most"),
        ("items", counts),
        ("machine", facts),
    ]
    return [row for row in rows if row[1]]


def describe_recipe_file(reported: ReportedRun) -> JsonDict:
    """The section of the recipe: its text with every key, and the command that runs it again."""
    if not reported.recipe_text:
        return {}
    command = f"distill teach {shlex.quote(reported.path + '/recipe.yaml')}"
    return {"text": shorten(reported.recipe_text, LONGEST), "command": command}
