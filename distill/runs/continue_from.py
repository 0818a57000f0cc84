"""Go on from a saved set: its items, its labels and, where they fit, its learning rates."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.outer.synthetic import Synthetic, inverse_softplus
from distill.sets.distilled import DistilledSet


def gone_on_from(path: str, synthetic: Synthetic, data: Dataset) -> Synthetic:
    """A saved set's items, its labels if they are learned, its rates if they fit. Raises UserError."""
    saved = DistilledSet.load(path)
    ours = kind(synthetic.items, data.classes, data.text_metadata(synthetic.items), data.zca)
    theirs = kind(saved.items, saved.source["classes"], saved.text, saved.source.get("zca"))
    if ours != theirs:
        raise UserError(f"--start {path} holds {theirs}; this run learns {ours}")
    tensors = {"items": saved.items}
    if synthetic.label_map != "hard":
        soft = synthetic.label_map == "soft"
        tensors["labels"] = saved.labels if soft else saved.labels.clamp(min=1e-4).log()
    if saved.lrs.shape == synthetic.raw_lrs.shape and (saved.lrs > 0).all():
        tensors["lrs"] = inverse_softplus(saved.lrs)
    return synthetic.replace_tensors(tensors)


def kind(
    items: Tensor, classes: Sequence[str], text: dict[str, Any] | None, zca: dict[str, Tensor] | None
) -> str:
    """What a set's items are, in words that two sets share only if one can go on from the other."""
    white = "whitened " if zca else ""
    vectors = f" of the vectors {str(text.get('checksum'))[:12]}" if text else ""
    return f"{white}items {tuple(items.shape)}{vectors} of the classes {', '.join(classes)}"
