"""Shapes in annotations are checked at every call (sets checks itself); one thread everywhere."""

import torch
from jaxtyping import install_import_hook

import tests.typecheck

ROOMS = (
    "data.dataset", "data.embedding", "data.files", "data.images", "data.texts", "data.vectors", "networks",
    "inner.engines", "inner.losses", "inner.problem", "inner.rules", "inner.step", "methods",
    "outer.loop", "outer.starts", "outer.synthetic", "report.pictures", "report.tables", "student", "kd",
)  # fmt: skip
install_import_hook([f"distill.{room}" for room in ROOMS], f"{tests.typecheck.__name__}.checked")

torch.set_num_threads(1)
