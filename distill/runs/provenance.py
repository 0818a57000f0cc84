"""How a set came to be, and whether it can be written at all, which a run asks before it learns."""

import shlex
from datetime import datetime, timezone
from typing import Any

from distill.data.dataset import Dataset
from distill.outer.synthetic import Synthetic
from distill.runs.build import Plan, build_set
from distill.runs.descent import Snapshot
from distill.runs.files import machine
from distill.runs.resolve import identity
from distill.runs.settings import Settings
from distill.sets.metadata import check_plain
from distill.sets.provenance import shorten_places


def describe_run(
    settings: Settings, command: list[str], last: Snapshot, peak_mib: float | None = None
) -> dict[str, Any]:
    """A set's provenance; files and folders are named, not located, since sets are published."""
    facts = {
        "command": shlex.join(command),
        "config": identity(settings),
        "seed": settings.run.seed,
        "versions": machine.versions(),
        "seconds": last.seconds,
        "outer_steps": last.state.step,
        "chosen_step": last.best.step,
        "skipped": last.state.skipped,
        "rollbacks": last.state.rollbacks,
        "peak_mib": peak_mib,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    return shorten_places(facts)


def check_exportable(plan: Plan, synthetic: Synthetic, train: Dataset, provenance: dict[str, Any]) -> None:
    """Raise SetError where the set at the end of a run could not be read again; before it learns."""
    data = build_set(plan, synthetic)
    text = train.text_metadata(data.items[:0])
    words = "".join(getattr(train, "vocabulary", ()))
    for name, value in (("provenance", provenance), ("text", text), ("a word of the texts", words)):
        check_plain(value, name)
