"""The items as the page draws them at each snapshot: pictures or words, and their labels as bars."""

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from distill.data.encoders.personal import KINDS, describe_counts
from distill.errors import DataError
from distill.report.charts import BARS, draw_bars, group_values
from distill.report.sanitise import JsonDict, get_at, is_number, to_count, to_dict, to_words
from distill.report.snapshots import ReportedSet, Snapshot, describe_snapshot, list_snapshots

if TYPE_CHECKING:
    from torch import Tensor

VALUES, POSITIONS = 20, 50  # classes of a label, and positions of a sentence, whose values are listed


def draw_items(reported: ReportedSet) -> JsonDict:
    """The section of items: every snapshot as drawn, the exported one's place, and the script's data."""
    snapshots, classes = list_snapshots(reported), reported.classes
    drawings, current = draw_snapshots(snapshots, reported), [s.exported for s in snapshots].index(True)
    short_names = len(classes) <= 10 and all(len(name) <= 2 for name in classes)
    return {
        "snapshots": drawings, "current": current, "drawn": len(snapshots[0].items), "n": len(reported.data),
        "classes": classes, "columns": len(group_values([0.0] * len(classes))),
        "group": -(-len(classes) // BARS), "ticks": short_names,
        "sideways": reported.item_type == "sentences" and len(classes) <= 10,
        "encoded": reported.is_encoded,
        "real": reported.is_real,
        "personal": describe_personal(reported),
        "script": {**script_data(drawings, current, classes), "heads": word_heads(reported)},
    }  # fmt: skip


def describe_personal(reported: ReportedSet) -> str:
    """What the real sentences in a set's file keep of personal data; "" where it was not counted."""
    stored = to_dict(to_dict(reported.data.text).get("personal"))
    counts = {kind: [to_count(get_at(stored.get(kind), k)) for k in (0, 1)] for kind in KINDS}
    return "" if any(None in pair for pair in counts.values()) else describe_counts(counts)


def script_data(snapshots: list[JsonDict], current: int, classes: list[str]) -> JsonDict:
    """What the script has to know: every snapshot, and the pictures only where there are several."""
    if len(snapshots) == 1:
        items = [{k: v for k, v in item.items() if k != "picture"} for item in snapshots[0]["items"]]
        snapshots = [{**snapshots[0], "items": items}]
    class_numbers = {
        k for s in snapshots for item in s["items"] for k in (item["top"], *(k for k, _ in item["values"]))
    }
    return {
        "names": {k: classes[k] for k in sorted(class_numbers)}, "classes": len(classes), "current": current,
        "snapshots": snapshots,
    }  # fmt: skip


def word_heads(reported: ReportedSet) -> list[str]:
    """What the first two columns of the table about a sentence hold."""
    return (
        ["nearest sentence", "cosine similarity"]
        if reported.is_encoded
        else ["nearest word", "vector length"]
    )


def draw_snapshots(snapshots: Sequence[Snapshot], reported: ReportedSet) -> list[JsonDict]:
    """Each snapshot as the template has it: its step, its caption, and its items."""
    data, labels = reported.data, [s.labels.tolist() for s in snapshots]
    pictures = None if data.text is not None else draw_pictures(snapshots, data.source)
    low, high = (f(0.0, *(f(row) for rows in labels for row in rows)) for f in (min, max))
    drawings = []
    for s, snapshot in enumerate(snapshots):
        items = [draw_label(row, low, high) for row in labels[s]]
        for i, item in enumerate(items):
            if pictures is None:
                item["words"] = (list_near if reported.is_encoded else list_words)(snapshot, i)
            else:
                item["picture"] = pictures[s][i]
        caption = describe_snapshot(snapshot, reported.log)
        drawings.append({"step": snapshot.step, "caption": caption, "items": items})
    return drawings


def draw_label(row: list[float], low: float, high: float) -> JsonDict:
    """A label's bars, its largest class, the numbers by which it is sorted, and its values."""
    up, down = draw_bars(row, low, high)
    top = max(range(len(row)), key=row.__getitem__)
    listed = sorted(sorted(range(len(row)), key=lambda k: -abs(row[k]))[:VALUES])
    return {
        "up": up, "down": down, "top": top, "largest": round(row[top], 4),
        "spread": round(measure_spread(row), 3), "values": [[k, f"{row[k]:.4g}"] for k in listed],
    }  # fmt: skip


def measure_spread(row: Sequence[float]) -> float:
    """Over how many classes a label is spread: exp(entropy of |values|), 1 for a single class."""
    total = sum(map(abs, row)) or 1.0
    shares = [abs(v) / total for v in row if v]
    return math.exp(-sum(p * math.log(p) for p in shares if p))


# Pictures


def draw_pictures(snapshots: Sequence[Snapshot], source: JsonDict) -> list[list[str]]:
    """Per snapshot, each item as the data URI of a PNG."""
    import torch

    k = len(snapshots[0].items)
    images = join_channels(to_pixels(torch.cat([s.items for s in snapshots]), source))
    uris = [encode_png(image) for image in images]
    return [uris[i : i + k] for i in range(0, len(uris), k)]


def to_pixels(items: "Tensor", source: JsonDict) -> "Tensor":
    """(n, channels, height, width): images unscaled and unwhitened, other items as rows of numbers."""
    from distill.data.whiten import to_pixels

    if items.ndim != 4:
        return items.reshape(len(items), 1, -1, items.shape[-1])
    if not all(isinstance(v, list) and all(map(is_number, v)) for v in map(source.get, ("mean", "std"))):
        return items
    try:
        images = to_pixels(items, source)
    except (RuntimeError, DataError):  # another number of channels, or a matrix that has no inverse
        return items
    return images if images.shape == items.shape and bool(images.isfinite().all()) else items


def join_channels(images: "Tensor") -> "Tensor":
    """Three channels are colours; any other number of them stands side by side in grey."""
    return images if images.shape[1] == 3 else images.movedim(1, 2).flatten(2, 3).unsqueeze(1)


def encode_png(image: "Tensor") -> str:
    """(1 or 3, height, width), stretched from its lowest to its highest value, as a PNG's data URI."""
    from PIL import Image

    low, high = image.min(), image.max()
    shades = ((image - low) / (high - low).clamp(min=1e-6) * 255).round().byte()
    memory = io.BytesIO()
    Image.fromarray(shades.movedim(0, -1).squeeze(-1).numpy()).save(memory, "PNG")
    return "data:image/png;base64," + base64.b64encode(memory.getvalue()).decode()


# Words


def list_words(snapshot: Snapshot, i: int) -> list[JsonDict]:
    """Per position the nearest word, the length of the learned vector and its share of the longest, the five
    nearest words by cosine and by Euclidean distance, and its attention, if there are attention labels."""
    items, neighbours = snapshot.items, to_dict(snapshot.neighbours)
    lengths = items.flatten(2).norm(dim=2) if items.ndim > 2 else items.abs()
    longest, nearest = float(lengths.max()) or 1.0, to_words(get_at(snapshot.nearest, i))
    lists = [get_at(neighbours.get(name), i) for name in ("cosine", "euclidean")]
    return [
        {
            "word": nearest[p] if p < len(nearest) else "?",
            "share": round(length / longest, 3),
            "length": f"{length:.3g}",
            "neighbours": [" ".join(to_words(get_at(rows, p))) for rows in lists] if p < POSITIONS else [],
            **draw_attention(snapshot, i, p),
        }
        for p, length in enumerate(lengths[i].tolist())
    ]


def list_near(snapshot: Snapshot, i: int) -> list[JsonDict]:
    """The real sentences nearest to an embedding, each with its cosine similarity."""
    cosines = get_at(snapshot.similarity, i)
    values = [v if is_number(v) else 0.0 for v in (cosines if isinstance(cosines, list) else [])]
    pairs = zip(to_words(get_at(snapshot.nearest, i)), values, strict=False)
    near: list[JsonDict] = [
        {"word": word, "share": round(max(v, 0.0), 3), "length": f"{v:.3f}", "neighbours": []}
        for word, v in pairs
    ]
    return near or [{"word": "?", "share": 0.0, "length": "?", "neighbours": []}]


def draw_attention(snapshot: Snapshot, i: int, p: int) -> JsonDict:
    """The attention label of a position in words, and its strength as a share of its sentence's largest."""
    if snapshot.attention is None:
        return {}
    row = snapshot.attention[i]
    value, largest = float(row[p]), float(row.max()) or 1.0
    return {"attention": f"{100 * value:.3g} %", "heat": round(value / largest, 3)}
