"""A run's events for TensorBoard, beside its log: losses, held-out accuracy, the learned items."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.data.dataset import Dataset
from distill.data.whiten import to_pixels
from distill.outer.synthetic import Synthetic
from distill.report.pictures import read_aloud


class Board:
    """Writes events.out.tfevents.* into a run folder; none where it is not on.

    Events of a killed run after `step`, where the resumed one goes on, are hidden by TensorBoard itself.
    """

    def __init__(self, folder: Path, step: int, on: bool = True) -> None:
        if not on:
            self.writer = None
            return
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, record: Mapping[str, Any], learned: Synthetic, real: Dataset) -> None:
        """An outer step's loss; at a check its held-out accuracy, and the items as pictures or words."""
        if self.writer is None:
            return
        step = record["step"]
        if record["loss"] is not None:
            self.writer.add_scalar("outer loss", record["loss"], step)
        if "validation" not in record:
            return
        self.writer.add_scalar("held-out accuracy", record["validation"], step)
        items, labels = learned.items.detach(), learned.targets().detach()
        source = {"mean": real.mean, "std": real.std, "zca": real.zca, "classes": real.classes}
        spoken = read_aloud(labels, source, real.text_metadata(items))
        if spoken:
            self.writer.add_text("items", "\n".join(spoken), step)
        elif items.ndim == 4:
            self.writer.add_images("items", to_pixels(items, source).clamp(0, 1), step)
        self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
