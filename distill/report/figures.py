"""What a set cost, how it was made and how to use it: the rows and commands of the page."""

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from distill.data.whiten import is_prepared
from distill.report.charts import draw_lrs
from distill.report.sanitise import (
    JsonDict,
    is_number,
    limit_tensor,
    shorten,
    to_count,
    to_dict,
    to_number,
)
from distill.report.snapshots import ReportedSet, flatten
from distill.sets.labels.top import TopLabels

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet
    from distill.sets.labels.views import ViewLabels

Row = tuple[str, str]
LEARNED, WHITENING = "items, labels, learning rates and schedule", ("mean", "matrix")
MOST_SETTINGS = 100


def format_size(bytes_: float) -> str:
    """'37 kB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if bytes_ < 1000 or unit == "GB":
            break
        bytes_ /= 1000
    return f"{bytes_:.0f} {unit}" if bytes_ >= 10 or unit == "bytes" else f"{bytes_:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """'30 min 26 s'."""
    rounded = round(seconds)
    hours, minutes = divmod(rounded // 60, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rounded % 60} s" if minutes else f"{seconds:.3g} s"


# Cost


def list_costs(reported: ReportedSet) -> list[Row]:
    """Time, outer steps, memory, and the size of the set beside that of the real data."""
    provenance = reported.data.provenance
    seconds, memory = to_number(provenance.get("seconds")), to_number(provenance.get("peak_mib"))
    rows = [
        ("time of distilling", "" if seconds is None else format_duration(seconds)),
        ("outer steps", describe_steps(reported)),
        ("memory", "" if memory is None else f"{memory:,.0f} MiB at most"),
        ("size of the set", describe_size(reported.data)),
        ("size of the real data", describe_real_size(reported)),
    ]
    return [row for row in rows if row[1]]


def describe_steps(reported: ReportedSet) -> str:
    """'2,003 of 8,000; the set is that of step 1,800; 3 skipped'."""
    if reported.steps_run is None:
        return ""
    provenance, planned = reported.data.provenance, reported.steps_planned
    parts = [f"{reported.steps_run:,}" + ("" if planned is None else f" of {planned:,} planned")]
    if (exported := to_count(provenance.get("chosen_step"))) is not None:
        parts.append(f"the set is that of step {exported:,}")
    for key, text in (("skipped", "skipped"), ("rollbacks", "times rolled back")):
        if count := to_count(provenance.get(key)):
            parts.append(f"{count:,} {text}")
    return "; ".join(parts)


def describe_size(data: "DistilledSet") -> str:
    """The bytes of what was learned, and of what the file carries with it."""
    learned, *further = [
        f"{format_size(bytes_)} of {name}" for name, bytes_ in measure_parts(data).items() if bytes_
    ]
    return learned + (f", and {' and '.join(further)}" if further else "")


def measure_parts(data: "DistilledSet") -> dict[str, int]:
    """The bytes of a set's tensors: what was learned, the initial weights that go with it, the whitening."""
    states = data.init_state if isinstance(data.init_state, list) else [data.init_state or {}]
    learned = [data.labels, data.lrs, data.schedule, *([] if data.attention is None else [data.attention])]
    return {
        LEARNED: data.item_bytes + sum(t.nbytes for t in learned),
        "initial weights": sum(w.nbytes for state in states for w in state.values()),
        "whitening": sum(data.source["zca"][name].nbytes for name in WHITENING if data.source.get("zca")),
        **measure_views(data.view_labels),
    }


def measure_views(labels: "ViewLabels | None") -> dict[str, int]:
    """{'labels of 300 views, the 5 largest of 100 values': their bytes}; {} where there are none."""
    if labels is None:
        return {}
    kept = f", {labels.words}" if isinstance(labels, TopLabels) else ""
    return {f"labels of {len(labels):,} views{kept}": labels.nbytes}


def describe_views(labels: "ViewLabels") -> str:
    """'labels of 300 views, the 5 largest of 100 values: 4.5 MB instead of 36 MB'."""
    (name,) = measure_views(labels)
    whole = f" instead of {format_size(4 * math.prod(labels.shape))}"
    return f"{name}: {format_size(labels.nbytes)}" + (whole if isinstance(labels, TopLabels) else "")


def describe_real_size(reported: ReportedSet) -> str:
    """The bytes of the real training data, how they are counted, and how many times the set's they are."""
    data, parts = reported.data, measure_parts(reported.data)
    train = to_count(data.source.get("train"))
    if not train:
        return ""
    if data.text is None:
        each = 4 if is_prepared(data.source) else 1  # a user's own floats, or pixels
        numbers, words = data.items[0].numel(), "4 bytes each" if each == 4 else "one byte each"
        bytes_ = each * train * numbers
        text = f"{train:,} {reported.item_type} of {numbers:,} numbers, {words}"
    else:
        if reported.is_encoded:
            return describe_texts(reported, train)
        longest = to_count(data.text.get("max_length")) or 0
        bytes_ = 4 * train * longest
        text = f"{train:,} texts of {longest:,} word numbers, 4 bytes each, without the word vectors"
    times = f"{bytes_ / parts[LEARNED]:,.0f} times the learned part of the set"
    if sum(parts.values()) > parts[LEARNED]:
        times += f", {bytes_ / sum(parts.values()):,.1f} times the whole set"
    return f"{format_size(bytes_)} ({text}): {times}"


def describe_texts(reported: ReportedSet, train: int) -> str:
    """The real embeddings of a set of an encoder, in numbers; the texts are of any length."""
    dim = reported.data.items[0].numel()
    return f"{format_size(4 * train * dim)} ({train:,} embeddings of {dim:,} numbers, 4 bytes each)"


# Recipe


def describe_recipe(reported: ReportedSet) -> JsonDict:
    """The section of the recipe: its rows, and the learning rate of each inner step."""
    return {"rows": list_recipe(reported), "rates": describe_lrs(reported.data)}


def list_recipe(reported: ReportedSet) -> list[Row]:
    """How a network is trained on the set by the set's own recipe."""
    data = reported.data
    inner, weight_init = data.inner, data.network.get("scheme")
    numbers = [f"{k.replace('_', ' ')} {v:g}" for k, v in to_dict(inner).items() if to_number(v)]
    initial = "fixed: they are in the file" if data.init_state else "random: new ones for each network"
    batch, steps = data.schedule.shape[1], len(data.schedule)
    each = f"all {len(data):,}" if batch == len(data) else f"{batch:,} of the {len(data):,}"
    return [
        ("network", describe_network(data)),
        ("initial weights", initial + (f" ({shorten(weight_init)})" if weight_init else "")),
        ("optimiser", ", ".join([shorten(inner["rule"]), *numbers])),
        ("loss", shorten(inner["loss"])),
        ("steps", f"{steps:,} training steps, each on {each} {reported.item_type}"),
        ("augmentation", shorten(inner.get("augment") or "none")),
        *([("for any network", describe_recommended(data))] if data.protocol else []),
    ]


def describe_recommended(data: "DistilledSet") -> str:
    """'protocol adam, steps 200': the training that the set recommends."""
    settings = [f"{key} {value}" for key, value in to_dict(data.protocol).items() if key != "name"]
    return shorten(", ".join([f"protocol {to_dict(data.protocol).get('name')}", *settings]))


def describe_network(data: "DistilledSet") -> str:
    """'convnet (width 64, depth 3)'."""
    arguments = ", ".join(f"{k} {shorten(v)}" for k, v in to_dict(data.network.get("arguments")).items())
    return shorten(data.network["name"]) + (f" ({arguments})" if arguments else "")


def describe_lrs(data: "DistilledSet") -> JsonDict:
    """The learning rate of each training step as a drawing and in words."""
    rows = limit_tensor(data.lrs).reshape(len(data.lrs), -1).tolist()
    means, tensors = [sum(row) / len(row) for row in rows], len(rows[0])
    drawing = draw_lrs(rows)
    return drawing | {
        "strokes": drawing["strokes"] if tensors > 1 else "", "tensors": tensors, "steps": len(rows),
        "words": f"{means[0]:.3g} at the first of {len(rows):,} steps, {means[-1]:.3g} at the last",
        "list": [f"{v:.3g}" for v in means],
    }  # fmt: skip


# Use


def describe_usage(reported: ReportedSet) -> JsonDict:
    """The section that says how to use the set: a command, and Python."""
    path, folder = reported.path, Path(reported.path).is_dir()
    load = f"distill.from_folder({path!r})" if folder else f"distill.DistilledSet.load({path!r})"
    python = [
        "import distill.student",
        "",
        f"data = {load}",
        "student = distill.student.train(data)  # a network, trained by the set's own recipe",
        "",
        f"# x: {describe_input(reported)}",
        "classes = student(x).argmax(dim=1)",
    ]
    command = f"distill student {shlex.quote(path)}"
    return {"command": command, "python": "\n".join(python), "several": not reported.data.init_state}


def describe_input(reported: ReportedSet) -> str:
    """What a trained student takes: 'images (batch, 1, 28, 28), (pixels / 255 - 0.1307) / 0.3081'."""
    data, shape = reported.data, ", ".join(map(str, reported.data.items.shape[1:]))
    if reported.is_encoded:
        name = shorten(to_dict(data.text)["encoder"])
        return f"embeddings of real sentences (batch, {shape}) by {name}, divided by data.source['std'][0]"
    if data.text is not None:
        return f"word vectors of real sentences (batch, words, {data.items.shape[-1]})"
    if data.source.get("zca"):
        return f"real {reported.item_type} (batch, {shape}), whitened as data.source says"
    numbers = [v[0] for v in map(data.source.get, ("mean", "std")) if isinstance(v, list) and len(v) == 1]
    if len(numbers) < 2 or not all(map(is_number, numbers)):
        return f"real {reported.item_type} (batch, {shape}), normalised as data.source says"
    if numbers == [0.0, 1.0]:
        return f"real {reported.item_type} (batch, {shape}), as they were passed to distill"
    return f"real {reported.item_type} (batch, {shape}), (pixels / 255 - {numbers[0]:.4g}) / {numbers[1]:.4g}"


# Origin


def describe_origin(reported: ReportedSet) -> JsonDict:
    """The section of the origin: the command, the rows that say when and where, all settings."""
    provenance = reported.data.provenance
    versions = ", ".join(f"{k} {shorten(v)}" for k, v in to_dict(provenance.get("versions")).items())
    rows = [("seed", provenance.get("seed")), ("versions", versions), ("date", provenance.get("created"))]
    command, settings = provenance.get("command"), flatten(to_dict(provenance.get("config")))
    return {
        "command": shorten(command, 5000) if isinstance(command, str) else "",
        "rows": [(name, shorten(v)) for name, v in rows if isinstance(v, (str, int)) and v != ""],
        "settings": [(k, shorten(v)) for k, v in settings.items() if v is not None][:MOST_SETTINGS],
    }
