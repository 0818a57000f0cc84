"""What `distill predict` works with: the texts that its options name, and the students."""

from pathlib import Path
from typing import TYPE_CHECKING

from distill.commands.predict_options import PredictSettings
from distill.errors import UserError

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet
    from distill.student.training import Student


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
    from distill.kd.network_files import load_weights, read_softmax_scale
    from distill.kd.teachers import order_classes
    from distill.student.protocols import (
        SetRecipe,
        build_start,
        choose_protocol,
        softmax_scale,
        train_students,
    )
    from distill.student.training import Student, resolve_set_network

    if config.student is not None:
        network = resolve_set_network(data, config.network)
        weights = load_weights(config.student, network, dict(network.named_parameters()))
        student = order_classes(Student(network, weights).eval(), config.student, data)
        scale = read_softmax_scale(config.student) or softmax_scale(data, SetRecipe())
        return [student], f"the student {config.student}", scale
    start = build_start(data, config.network, None, config.seeds)
    protocol = choose_protocol(config.protocol, data)
    students = train_students(protocol, data, start)
    word = config.protocol or "recipe"
    count = f"{len(students)} student{'s' if len(students) > 1 else ''}"
    return students, f"{start.name}, {count} by {word}", softmax_scale(data, protocol)
