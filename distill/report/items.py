"""What the page draws of the items: pictures or words, label bars and values, at each step that was kept."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from distill.report import charts
from distill.report.sanitise import Facts, at, count, facts, number, numeric, tame, words
from distill.sets.distilled import DistilledSet

FIRST, MOST, NUMBERS = 8, 100, 10**6  # first step after the start; items, and numbers, of one look


Look = dict[str, Any]  # step, items (k, *item) as float16, labels (k, classes), nearest (None, or words)


def few(items: Tensor) -> int:
    """How many of these items are kept, and drawn: 100, or fewer where they are large."""
    return min(len(items), MOST, max(1, NUMBERS // max(1, items[0].numel())))


VALUES, POSITIONS = 20, 50  # classes of a label, and positions of a sentence, whose values are told


@dataclass(frozen=True)
class Shown:
    """A set to show, and of its run the log's records and the looks at its items, where there are any."""

    name: str
    data: DistilledSet
    log: Sequence[Facts] = ()
    looks: Sequence[Look] = ()


@dataclass(frozen=True)
class Frame:
    """The items at one outer step; step is None where the file does not tell it."""

    step: int | None
    items: "Tensor"
    labels: "Tensor"
    nearest: Any
    neighbours: Facts | None = None
    exported: bool = False


def frames(shown: Shown) -> list[Frame]:
    """The looks of the run in the order of their steps, and among them the exported items."""
    data, k, text = shown.data, few(shown.data.items), facts(shown.data.text)
    last = count(data.provenance.get("outer_steps"))
    chosen = count(data.provenance.get("chosen_step", last))
    items, labels = tame(data.items[:k]), tame(data.labels[:k])
    export = Frame(chosen, items, labels, text.get("nearest"), facts(text.get("neighbours")), True)
    looks = [
        Frame(look["step"], tame(look["items"]), tame(look["labels"]), look.get("nearest"))
        for look in shown.looks
        if look["items"].shape == items.shape and look["labels"].shape == labels.shape
    ]
    looks = [look for look in looks if last is None or (look.step or 0) <= last]
    before = [look for look in looks if chosen is None or (look.step or 0) < chosen]
    return [*before, export, *looks[len(before) :]]


def drawn(found: Sequence[Frame], shown: Shown) -> list[Facts]:
    """Each frame as the template has it: its step, its caption, and what each item looks like."""
    data, labels = shown.data, [frame.labels.tolist() for frame in found]
    pictures = None if data.text is not None else pictures_of(found, data.source)
    low, high = (f(0.0, *(f(row) for rows in labels for row in rows)) for f in (min, max))
    looks = []
    for f, frame in enumerate(found):
        items = [label(row, low, high) for row in labels[f]]
        for i, item in enumerate(items):
            if pictures is None:
                item["words"] = sentence(frame, i)
            else:
                item["picture"] = pictures[f][i]
        looks.append({"step": frame.step, "caption": caption(frame, shown.log), "items": items})
    return looks


def label(row: list[float], low: float, high: float) -> Facts:
    """A label's bars, its largest class, by what it is sorted, and its values."""
    up, down = charts.bars(row, low, high)
    top = max(range(len(row)), key=row.__getitem__)
    told = sorted(sorted(range(len(row)), key=lambda k: -abs(row[k]))[:VALUES])
    return {
        "up": up, "down": down, "top": top, "largest": round(row[top], 4), "spread": round(spread(row), 3),
        "values": [[k, f"{row[k]:.4g}"] for k in told],
    }  # fmt: skip


def spread(row: Sequence[float]) -> float:
    """Of how many classes a label speaks: exp of the entropy of its values' sizes, 1 for a single class."""
    total = sum(map(abs, row)) or 1.0
    shares = [abs(v) / total for v in row if v]
    return math.exp(-sum(p * math.log(p) for p in shares if p))


def caption(frame: Frame, log: Sequence[Facts]) -> str:
    """'exported: outer step 1,800, held-out 91.3 %, loss 0.31'."""
    if frame.step is None:
        return "as exported"
    said = [f"outer step {frame.step:,}" if frame.step else "the start"]
    checked = [r["validation"] for r in records(log, "validation") if r["step"] == frame.step]
    recent = [r["loss"] for r in records(log, "loss") if frame.step - 20 < r["step"] <= frame.step]
    if recent:
        said.append(f"outer loss {sum(recent) / len(recent):.3g}")
    if checked:
        said.append(f"held-out accuracy {100 * checked[-1]:.1f} %")
    return ("exported: " if frame.exported else "") + ", ".join(said)


def records(log: Sequence[Facts], name: str) -> list[Facts]:
    """The records whose step and value of that name are numbers."""
    return [r for r in log if count(r.get("step")) is not None and number(r.get(name)) is not None]


# Pictures


def pictures_of(found: Sequence[Frame], source: Facts) -> list[list[str]]:
    """Per frame, each item as the data URI of a PNG."""
    import torch

    k = len(found[0].items)
    images = side_by_side(pixels(torch.cat([frame.items for frame in found]), source))
    uris = [uri(image) for image in images]
    return [uris[i : i + k] for i in range(0, len(uris), k)]


def pixels(items: "Tensor", source: Facts) -> "Tensor":
    """(n, channels, height, width): images unscaled and unwhitened, other items as rows of numbers."""
    from distill.data.whiten import to_pixels

    if items.ndim != 4:
        return items.reshape(len(items), 1, -1, items.shape[-1])
    if not all(isinstance(v, list) and all(map(numeric, v)) for v in map(source.get, ("mean", "std"))):
        return items
    try:
        found = to_pixels(items, source)
    except RuntimeError:  # another number of channels, or a matrix that has no inverse
        return items
    return found if found.shape == items.shape and bool(found.isfinite().all()) else items


def side_by_side(images: "Tensor") -> "Tensor":
    """Three channels are colours; any other number of them stands side by side in grey."""
    return images if images.shape[1] == 3 else images.movedim(1, 2).flatten(2, 3).unsqueeze(1)


def uri(image: "Tensor") -> str:
    """(1 or 3, height, width), stretched from its lowest to its highest value, as a PNG."""
    from PIL import Image

    low, high = image.min(), image.max()
    shades = ((image - low) / (high - low).clamp(min=1e-6) * 255).round().byte()
    memory = io.BytesIO()
    Image.fromarray(shades.movedim(0, -1).squeeze(-1).numpy()).save(memory, "PNG")
    return "data:image/png;base64," + base64.b64encode(memory.getvalue()).decode()


# Words


def sentence(frame: Frame, i: int) -> list[Facts]:
    """Per position the nearest word, the length of the learned vector and its share of the longest, and the
    five nearest words by cosine and by Euclidean distance."""
    lengths = frame.items.flatten(2).norm(dim=2) if frame.items.ndim > 2 else frame.items.abs()
    longest, said = float(lengths.max()) or 1.0, words(at(frame.nearest, i))
    near = [at(facts(frame.neighbours).get(name), i) for name in ("cosine", "euclidean")]
    return [
        {
            "word": said[p] if p < len(said) else "?",
            "share": round(length / longest, 3),
            "length": f"{length:.3g}",
            "near": [" ".join(words(at(rows, p))) for rows in near] if p < POSITIONS else [],
        }
        for p, length in enumerate(lengths[i].tolist())
    ]
