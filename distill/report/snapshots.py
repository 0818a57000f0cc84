"""ReportedSet: a set, its run's log, and snapshots of its items at a few outer steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distill.report.sanitise import JsonDict, is_number, limit_tensor, shorten, to_count, to_dict, to_number
from distill.sets.scores.words import name_items

if TYPE_CHECKING:
    from torch import Tensor

    from distill.sets.distilled import DistilledSet

MOST_ITEMS, MOST_NUMBERS = 100, 10**6  # of one snapshot
MOST_SNAPSHOTS = 50  # a run of a million steps keeps 18
UNLIMITED = 10**9  # outer steps of a run that is limited by minutes


@dataclass(frozen=True)
class Snapshot:
    """The first items and labels of a set at one outer step; step is None where the file does not say it."""

    step: int | None
    items: "Tensor"
    labels: "Tensor"
    nearest: Any = None  # of sentences: the nearest word of each position
    neighbours: JsonDict | None = None  # of sentences: more near words, by each distance
    exported: bool = False
    similarity: Any = None  # of embeddings: the cosines of the nearest sentences
    attention: "Tensor | None" = None  # of sentences: the shares of their positions


@dataclass(frozen=True)
class ReportedSet:
    """A set to report, its file, and its run's log and snapshots and its comparison, where there are any."""

    name: str
    data: "DistilledSet"
    log: Sequence[JsonDict] = ()
    snapshots: Sequence[Snapshot] = ()
    path: str = "set.pt"
    comparison: JsonDict | None = None  # what distill compare wrote beside the set

    @property
    def item_type(self) -> str:
        """What the items are called."""
        return name_items(self.data)

    @property
    def is_encoded(self) -> bool:
        """Whether the items are embeddings of a sentence encoder."""
        return "encoder" in to_dict(self.data.text)

    @property
    def is_real(self) -> bool:
        """Whether the items are real sentences."""
        return "sentences" in to_dict(self.data.text)

    @property
    def classes(self) -> list[str]:
        return [shorten(name, 60) for name in self.data.source["classes"]]

    @property
    def steps_run(self) -> int | None:
        return to_count(self.data.provenance.get("outer_steps"))

    @property
    def steps_planned(self) -> int | None:
        """The outer steps of the settings; None where the file does not say, or minutes limited the run."""
        settings = flatten(to_dict(self.data.provenance.get("config")))
        steps = [to_count(v) for k, v in settings.items() if k.endswith(("outer_steps", "outer.steps"))]
        return next((n for n in steps if n is not None and n < UNLIMITED), None)

    @property
    def exported_step(self) -> int | None:
        """The outer step whose items were exported."""
        return to_count(self.data.provenance.get("chosen_step", self.steps_run))


def count_kept(items: "Tensor") -> int:
    """How many of these items a snapshot keeps and the page draws: 100, or fewer where they are large."""
    return min(len(items), MOST_ITEMS, max(1, MOST_NUMBERS // max(1, items[0].numel())))


def flatten(settings: JsonDict, prefix: str = "") -> JsonDict:
    """{"outer": {"steps": 9}} as {"outer.steps": 9}."""
    flat: JsonDict = {}
    for name, value in settings.items():
        flat |= flatten(to_dict(value), f"{prefix}{name}.") if is_group(value) else {prefix + name: value}
    return flat


def is_group(value: Any) -> bool:
    """Whether a value is a dict of plain values: settings nest once."""
    return isinstance(value, dict) and not any(isinstance(v, dict) for v in value.values())


def list_snapshots(reported: ReportedSet) -> list[Snapshot]:
    """The run's snapshots in the order of their steps, with the exported items in their place among them."""
    data, k, text = reported.data, count_kept(reported.data.items), to_dict(reported.data.text)
    last, exported_step = reported.steps_run, reported.exported_step
    items, labels = limit_tensor(data.items[:k]), limit_tensor(data.labels[:k])
    exported = Snapshot(
        exported_step, items, labels, text.get("nearest"), to_dict(text.get("neighbours")), True,
        text.get("similarity"), None if data.attention is None else limit_tensor(data.attention[:k]),
    )  # fmt: skip
    kept = reported.snapshots[:: max(1, -(-len(reported.snapshots) // MOST_SNAPSHOTS))]
    usable = [
        Snapshot(s.step, limit_tensor(s.items), limit_tensor(s.labels), s.nearest, similarity=s.similarity)
        for s in kept
        if s.items.shape == items.shape
        and s.labels.shape == labels.shape
        and (last is None or (s.step or 0) <= last)
    ]
    before = [s for s in usable if exported_step is None or (s.step or 0) < exported_step]
    return [*before, exported, *usable[len(before) :]]


def select_records(log: Sequence[JsonDict], name: str) -> list[JsonDict]:
    """The log records whose step and value of that name are numbers."""
    return [r for r in log if to_count(r.get("step")) is not None and is_number(r.get(name))]


def describe_snapshot(snapshot: Snapshot, log: Sequence[JsonDict]) -> str:
    """'exported set: outer step 1,800, outer loss 0.31, held-out accuracy 91.3 %'."""
    if snapshot.step is None:
        return "exported set"
    step = snapshot.step
    parts = [f"outer step {step:,}" if step else "before the first outer step"]
    near = [r for r in log if type(r.get("step")) is int and step - 20 < r["step"] <= step]
    checks = [r["validation"] for r in select_records(near, "validation") if r["step"] == step]
    losses = [r["loss"] for r in select_records(near, "loss")]
    if losses:
        parts.append(f"outer loss {sum(losses) / len(losses):.3g}")
    if checks:
        parts.append(f"held-out accuracy {100 * (to_number(checks[-1]) or 0):.1f} %")
    return ("exported set: " if snapshot.exported else "") + ", ".join(parts)
