"""`distill predict SET --text "…"`: the classes of new texts or images, by students of a set."""

from collections.abc import Sequence
from typing import Any

from distill.commands.cli import run_command
from distill.commands.predict_inputs import find_students, read_all_texts
from distill.commands.predict_options import PredictSettings

SETTINGS = PredictSettings


def predict(config: PredictSettings) -> dict[str, Any]:
    """Train or load, predict, print, write; the result as the JSON line holds it. Raises UserError."""
    from distill.runs.files.machine import check_device
    from distill.sets.formats.base import load_set
    from distill.sets.real_data import print_own_floats
    from distill.sets.storage import check_output, write_text
    from distill.student import prediction

    check_device(config.device, config.threads)
    data = load_set(config.set, config.device)
    names = list(config.images or read_all_texts(config))
    prediction.check_kind(data, bool(config.text or config.csv), bool(config.images))
    if config.out:
        check_output(config.out, [config.set, config.csv, config.student, *config.images])
    if config.images:
        print_own_floats(data, config.set, "predict in Python by distill.student.train(data).predict(x)")
        items = prediction.read_images(data, config.images, config.device)
    else:
        items = prediction.read_texts(data, names, config.encoder or config.vectors, config.device)
    students, description, scale = find_students(config, data)
    classes = data.source["classes"]
    found = prediction.list_predictions(prediction.average_probabilities(students, items, scale), classes)
    print(f"{config.set}: {description}\n" + prediction.format_predictions(names, found))
    if config.out:
        write_text(
            config.out, prediction.format_csv(names, found, classes, "image" if config.images else "text")
        )
        print(config.out)
    rows = [
        {"item": name, "class": p.name, "probability": p.probability,
         "probabilities": dict(zip(classes, p.probabilities, strict=True))}
        for name, p in zip(names, found, strict=True)
    ]  # fmt: skip
    return {"predictions": rows, "students": len(students), "path": config.set}


def main(arguments: Sequence[str] | None = None, prog: str = "distill predict") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, predict, arguments, prog)
