"""`distill predict SET --text "…"`: the classes of new texts or images, by students of a set."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.commands.cli import run_command
from distill.errors import UserError, cut_to
from distill.registry import COUNT, THREADS, option
from distill.student.settings import PROTOCOL_WORDS

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet
    from distill.student.prediction import Prediction
    from distill.student.training import Student

LETTERS = 60  # of a text in the table


@dataclass(frozen=True)
class PredictSettings:
    """Say the class of new texts or image files, and how probable it is, by networks that the set trains."""

    set: str = option(metavar="SET", positional=True)
    """The distilled set: a .pt file or an exported folder."""
    text: tuple[str, ...] = option((), "TEXT")
    """Texts, each in quotation marks."""
    csv: str | None = option(None, "FILE")
    """A csv, tsv, jsonl or parquet file of texts."""
    text_column: str | None = option(None, "NAME", needs={"csv": ()})
    """The column of your texts (default: text, or sentence)."""
    images: tuple[str, ...] = option((), "FILE")
    """Image files, for a set of images; they are resized to its size."""
    student: str | None = option(None, "FILE", without="protocol")
    """Use the weights that `distill student --save` wrote, instead of training students."""
    network: str | None = option(None, "NETWORK")
    """The network to train, or that of --student (default: the set's own)."""
    protocol: str | None = option(None, "PROTOCOL", choices=PROTOCOL_WORDS)
    """How students are trained (default: recipe)."""
    seeds: int = option(5, "COUNT", **COUNT, without="student")
    """How many students are trained; their probabilities are averaged. One from each of a set's fixed
    weights."""
    vectors: str | None = option(None, "VECTORS")
    """The word vectors that a text set was learned with (default: the file or name that it was learned
    with)."""
    encoder: str | None = option(None, "ENCODER", without="vectors")
    """The sentence encoder that a text set was learned with (default: the folder or name that it was learned
    with)."""
    out: str | None = option(None, "FILE")
    """Also write a csv: the text or file, its class, and the probability of each class."""
    device: str = option("cpu", "DEVICE")
    """Where to compute: cpu, cuda or cuda:1."""
    threads: int = option(1, "COUNT", **THREADS)
    """Threads of torch on a CPU."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


SETTINGS = PredictSettings


def predict(config: PredictSettings) -> dict[str, Any]:
    """Train or load, predict, print, write; the result as the JSON line holds it. Raises UserError."""
    from distill.runs.files.machine import check_device
    from distill.sets.formats.base import load_set
    from distill.sets.storage import check_output, write_text
    from distill.student import prediction

    check_device(config.device, config.threads)
    data = load_set(config.set, config.device)
    names = list(config.images or read_all_texts(config))
    prediction.check_kind(data, bool(config.text or config.csv), bool(config.images))
    if config.out:
        check_output(config.out, [config.set, config.csv, config.student, *config.images])
    if config.images:
        items = prediction.read_images(data, config.images, config.device)
    else:
        items = prediction.read_texts(data, names, config.encoder or config.vectors, config.device)
    students, description, scale = find_students(config, data)
    classes = data.source["classes"]
    found = prediction.list_predictions(prediction.average_probabilities(students, items, scale), classes)
    print(f"{config.set}: {description}\n" + format_predictions(names, found))
    if config.out:
        write_text(config.out, format_csv(names, found, classes, "image" if config.images else "text"))
        print(config.out)
    rows = [
        {"item": name, "class": p.name, "probability": p.probability,
         "probabilities": dict(zip(classes, p.probabilities, strict=True))}
        for name, p in zip(names, found, strict=True)
    ]  # fmt: skip
    return {"predictions": rows, "students": len(students), "path": config.set}


def read_all_texts(config: PredictSettings) -> list[str]:
    """The texts of the command line and of the file. Raises UserError."""
    texts = list(config.text)
    if config.csv is not None:
        from distill.data.files.rows import read_rows, select_column
        from distill.data.texts import TEXT_COLUMNS

        path = Path(config.csv)
        rows = list(read_rows(path))
        if not rows:
            raise UserError(f"{path} is empty: it holds no row of text")
        texts += select_column(rows, config.text_column, TEXT_COLUMNS, path, "--text-column")
    return texts


def find_students(config: PredictSettings, data: "DistilledSet") -> "tuple[list[Student], str, float]":
    """The students, what they are in words, and the scale of their logits. Raises UserError."""
    from distill.kd.network_files import load_weights
    from distill.student.prediction import softmax_scale
    from distill.student.protocols import build_start, choose_protocol, train_students
    from distill.student.training import Student, resolve_set_network

    if config.student is not None:
        network = resolve_set_network(data, config.network)
        weights = load_weights(config.student, network, dict(network.named_parameters()))
        return [Student(network, weights).eval()], f"the student {config.student}", softmax_scale(data, True)
    start = build_start(data, config.network, None, config.seeds)
    students = train_students(choose_protocol(config.protocol, data), data, start)
    word = config.protocol or "recipe"
    count = f"{len(students)} student{'s' if len(students) > 1 else ''}"
    return students, f"{start.name}, {count} by {word}", softmax_scale(data, word == "recipe")


def format_predictions(names: Sequence[str], found: "Sequence[Prediction]") -> str:
    """A line per item: its class, the probability, the text or file."""
    width = max(len(p.name) for p in found)
    return "\n".join(
        f"  {p.name:<{width}}  {100 * p.probability:5.1f} %  {cut_to(name, LETTERS)}"
        for name, p in zip(names, found, strict=True)
    )


def format_csv(names: Sequence[str], found: "Sequence[Prediction]", classes: Sequence[str], word: str) -> str:
    """The rows of a csv: the item, its class, and a column of probabilities for each class."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([word, "class", *classes])
    for name, p in zip(names, found, strict=True):
        writer.writerow([name, p.name, *(f"{v:.6f}" for v in p.probabilities)])
    return file.getvalue()


def main(arguments: Sequence[str] | None = None, prog: str = "distill predict") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, predict, arguments, prog)
