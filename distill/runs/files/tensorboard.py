"""A run's events for TensorBoard, beside its log: losses, held-out accuracy, the learned items."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.data.dataset import Dataset
from distill.data.whiten import to_pixels
from distill.outer.synthetic import Synthetic
from distill.report.items import join_channels
from distill.report.pictures import MOST_IMAGES, list_sentences


class EventWriter:
    """Writes events.out.tfevents.* into a run folder; writes nothing where it is not enabled.

    TensorBoard itself hides the events of a killed run after `step`, from which the resumed run goes on.
    """

    def __init__(self, folder: Path, step: int, enabled: bool = True) -> None:
        if not enabled:
            self.writer = None
            return
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add_record(self, record: Mapping[str, Any], learned: Synthetic, real: Dataset) -> None:
        """An outer step's loss; with a held-out accuracy also that, and the items as pictures or words."""
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
        sentences = list_sentences(labels, source, real.text_metadata(items))
        if sentences:
            self.writer.add_text("items", "\n".join(sentences), step)
        elif items.ndim == 4:
            pixels = join_channels(to_pixels(items[:MOST_IMAGES], source)).clamp(0, 1)
            self.writer.add_images("items", pixels, step)
        self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
