"""The room of the real data: a named set, a user's files or a user's tensors become a Dataset of tensors.

It also changes images (augmentation, whitening) and summarises items (k-means). It may import errors,
randomness and registry, and none of the other rooms. Its tables: AUGMENTATIONS are random changes, the same
for a whole batch of images, IMAGE_CHANGES those of which each image draws its own, IMAGE_SETS the image sets
that torchvision reads, TEXT_SETS the text sets of the hub. A new set is one line here.
"""

import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from distill.registry import Entry

if TYPE_CHECKING:
    from distill.data.adapters import to_dataset as to_dataset
    from distill.data.images import load as load


class TextSet(NamedTuple):
    """A named set of texts: its page on the hub, its columns there and in files, its classes.

    hub is empty for the bundled set. Files are read from DIR/folder. classes are the names of the labels
    0, 1, 2 …, where the set does not name them itself.
    """

    hub: str
    folder: str
    summary: str
    hub_label: str = "label"
    label: str = "label"
    classes: tuple[str, ...] = ()
    revision: str | None = None


AUGMENTATIONS = {
    "shift": Entry("distill.data.augment.batch:shift", "by up to an eighth of the side, both ways"),
    "scale": Entry("distill.data.augment.batch:scale", "height and width, each by up to 1.2"),
    "rotate": Entry("distill.data.augment.batch:rotate", "by up to 15 degrees"),
    "flip": Entry("distill.data.augment.batch:flip", "left for right, half of the time"),
    "crop": Entry("distill.data.augment.batch:crop", "a shift by whole pixels, without interpolation"),
    "cutout": Entry("distill.data.augment.batch:cutout", "a square of a third of the side becomes the mean"),
    "color": Entry("distill.data.augment.batch:color", "brightness, saturation and contrast"),
}
IMAGE_CHANGES = {
    "affine": Entry("distill.data.augment.each:affine", "by four pixels, a fifth of the size or 45 degrees"),
    "standard": Entry(
        "distill.data.augment.each:standard", "by an eighth of the side, and left for right half of the time"
    ),
}
IMAGE_SETS = {
    "mnist": Entry("torchvision.datasets:MNIST", "handwritten digits, 28×28, in the package"),
    "fashion-mnist": Entry("torchvision.datasets:FashionMNIST", "clothes, 28×28"),
    "kmnist": Entry("torchvision.datasets:KMNIST", "handwritten Japanese characters, 28×28"),
    "cifar-10": Entry("torchvision.datasets:CIFAR10", "photographs of ten kinds of things, 32×32"),
    "cifar-100": Entry("torchvision.datasets:CIFAR100", "photographs of a hundred kinds of things, 32×32"),
    "svhn": Entry("torchvision.datasets:SVHN", "photographed house numbers, 32×32"),
    "usps": Entry("torchvision.datasets:USPS", "handwritten digits of envelopes, 16×16"),
}
POLARITY = ("negative", "positive")
SHADES = ("very negative", "negative", "neutral", "positive", "very positive")
TOPICS = ("World", "Sports", "Business", "Sci/Tech")
PARQUET = "refs/convert/parquet"  # the branch without a loading script, which datasets no longer runs
TEXT_SETS = {
    "sentences": TextSet("", "sentences", "opinions, in the package", classes=POLARITY),
    "trec": TextSet(
        "CogComp/trec", "trec", "questions of six types", hub_label="coarse_label", revision=PARQUET
    ),
    "trec-50": TextSet(
        "CogComp/trec", "trec", "questions of 50 types", "fine_label", "fine_label", (), PARQUET
    ),
    "sst2": TextSet("SetFit/sst2", "sst2", "sentences about films, good or bad", classes=POLARITY),
    "sst5": TextSet("SetFit/sst5", "sst5", "sentences about films, in five shades", classes=SHADES),
    "imdb": TextSet("stanfordnlp/imdb", "imdb", "long reviews of films", classes=POLARITY),
    "ag_news": TextSet("fancyzhx/ag_news", "ag_news", "news of four topics", classes=TOPICS),
}


HOME = Path(os.path.expanduser("~"))  # as it is where the user has no home, as in some containers
CACHE = Path(
    os.environ.get("DISTILL_CACHE")
    or (HOME / ".cache" if HOME.is_absolute() else Path(tempfile.gettempdir())) / "distill"
)
READ_OUTS = {
    "vectors": "the learned embeddings themselves",
    "sentences": "real sentences, chosen for what they teach, with learned labels and weights",
    "nearest": "the real sentence nearest to each learned embedding, with its label",
}
ENCODER_NUMBERS = ("float32", "bfloat16")  # in which a sentence encoder computes
KEEP = ("auto", "device", "memory", "disk")  # where the images of a run are
MODULES = {"load": "images", "to_dataset": "adapters"}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module 'distill.data' has no attribute {name!r}")
    return getattr(import_module(f"distill.data.{MODULES[name]}"), name)
