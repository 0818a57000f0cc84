"""Sets and run folders for the tests of the report, and the words and pictures of a page."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from distill.report.snapshots import ReportedSet
from distill.runs.files.history import add_snapshot
from distill.runs.files.reported import load_reported_set
from distill.sets.distilled import DistilledSet
from distill.sets.storage import write_text
from tests.helpers import small_set, waves

HOSTILE = "</script><img src=x onerror=alert(1)>"
ZOO = Path(__file__).parents[2] / "zoo"
SCORES = {
    "accuracy": {"mean": 0.9, "std": 0.0, "n": 1, "split": "test", "weights": "fixed"},
    "full_data": 0.98,
    "baselines": {"random-real": {"mean": 0.3, "std": 0.05, "n": 20, "rates": "rate 0.1"}},
}
PROVENANCE = {
    "command": "python -m distill.mnist --n 3", "config": {"n": 3, "network": "mlp"}, "seed": 0,
    "versions": {"torch": "2.4"}, "seconds": 75.0, "outer_steps": 40, "chosen_step": 40, "peak_mib": 300.5,
    "skipped": 0, "rollbacks": 0, "created": "2026-11-22",
}  # fmt: skip
SOURCE = {
    "name": "blobs",
    "classes": ["a", "b", "c"],
    "mean": [0.3],
    "std": [0.2],
    "train": 1000,
    "test": 100,
}
TEXT = {
    "tokenizer": "split", "vectors": "v", "checksum": "0", "unknown": "zeros", "dim": 8, "length": 4,
    "max_length": 20, "files": [],
}  # fmt: skip


def text_set(n: int = 2, length: int = 4, **changes: Any) -> DistilledSet:
    """A set of sentences in two-part words, with five neighbours each."""
    nearest = [[f"w{i}-{p}" for p in range(length)] for i in range(n)]
    neighbours = [[[word, "two", "three", "four", "five"] for word in item] for item in nearest]
    text = {**TEXT, "nearest": nearest, "neighbours": {"cosine": neighbours, "euclidean": neighbours}}
    content = {"items": waves(n, length, 8).float(), "text": text, "scores": SCORES, "provenance": PROVENANCE}
    return small_set(n, **(content | {"source": SOURCE} | changes))


def image_set(**changes: Any) -> DistilledSet:
    return small_set(**({"scores": SCORES, "provenance": PROVENANCE, "source": SOURCE} | changes))


def write_run(folder: Path, data: DistilledSet, steps: int = 40) -> Path:
    """A run folder as the main job leaves it: log, history and set."""
    folder.mkdir(parents=True)
    lines = [{"step": s, "loss": 2 / s, "seconds": s} for s in range(1, steps + 1)]
    lines = [
        line | ({"validation": min(0.95, 0.5 + line["step"] / 100)} if line["step"] % 10 == 0 else {})
        for line in lines
    ]
    write_text(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    text = data.text
    for step in range(steps):
        items = data.items + waves(*data.items.shape, phase=step).float() / (1 + step)
        add_snapshot(folder, step, items, data.labels * (step + 1) / steps, lambda _: text)
    data.save(folder / "set.pt")
    return folder


def load_run(folder: Path) -> ReportedSet:
    return load_reported_set(str(folder), folder.name)


def decode_png(uri: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def visible_text(page: str) -> str:
    """The page's words: no tags, one space between two."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def make_report(data: DistilledSet, **changes: Any) -> ReportedSet:
    return ReportedSet(**({"name": "x", "data": data} | changes))
