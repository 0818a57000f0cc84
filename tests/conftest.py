"""Shapes in annotations are checked at every call (sets checks itself); one thread everywhere."""

import torch
from jaxtyping import install_import_hook

import tests.typecheck

ROOMS = (
    "corpora", "data", "engines", "losses", "networks", "objectives", "outer", "problem", "report", "rules",
    "sequences", "student", "synthetic", "text", "vectors",
)  # fmt: skip
install_import_hook([f"distill.{room}" for room in ROOMS], f"{tests.typecheck.__name__}.checked")

torch.set_num_threads(1)
