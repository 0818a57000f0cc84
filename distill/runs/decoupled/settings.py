"""The options of `distill select`. Imports no torch."""

from dataclasses import dataclass

from distill.networks import IMAGES
from distill.registry import ITEMS, RATE, THREADS, option
from distill.student import CORESETS
from distill.student.views.settings import ViewOptions

LABELS = {"hard": "the class of each image", "teacher": "the soft labels of --teacher"}


@dataclass(frozen=True)
class SelectOptions:
    """Which images, how many, with which labels, and where the set is written."""

    dataset: str = option(metavar="DATA", positional=True)
    """The real data: mnist, cifar-10 and the other names of `distill image`, an .npz or a folder of
    images."""
    coreset: str = option("random", "CORESET", choices=CORESETS)
    """Which images."""
    n: int | None = option(None, "N", **ITEMS)
    """How many (default: ten per class)."""
    ipc: int | None = option(None, "K", **ITEMS, without="n")
    """Images per class, instead of --n."""
    teacher: str | None = option(None, "FILE")
    """A network that was trained on the real data, which chooses and labels: a file of `distill teach` or of
    `distill student --save`, or torchvision:NAME:WEIGHTS. herding, k-center and rded need one."""
    labels: str | None = option(None, "LABELS", choices=LABELS)
    """What labels the images have (default: teacher with --teacher, else hard)."""
    tau: float = option(1.0, "TAU", **RATE, needs={"teacher": (), "labels": ("teacher",)})
    """The temperature by which the teacher's logits are divided."""
    network: str = option("convnet", "NETWORK", choices=IMAGES)
    """The network that the set's recipe trains; any other can be trained on it."""
    width: int | None = option(None, "UNITS", above=0, at_most=10**4, cost=(4000, "bytes"))
    """Its width (default: the network's)."""
    seed: int = option(0, "SEED", at_least=0, at_most=2**31)
    """Of the random choices."""
    data_dir: str | None = option(None, "FOLDER")
    """Where the files of a named data set are."""
    image_size: int | None = option(None, "PIXELS", above=0)
    """Resize the images to this height and width (default: as they are; of a folder, the first image's)."""
    zca: bool = option(False)
    """Whiten the images (ZCA), as is usual for colour images; the teacher needs whitened images then."""
    out: str = option("set.pt", "FILE")
    """The .pt to write."""
    overwrite: bool = option(False)
    """Replace the file --out."""
    device: str = option("cpu", "DEVICE")
    """Where to compute: cpu, cuda or cuda:1."""
    threads: int = option(1, "COUNT", **THREADS)
    """Threads of torch on a CPU."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


@dataclass(frozen=True)
class SelectSettings(ViewOptions, SelectOptions):
    """Choose real images, or crops of them, as a set: hard labels, or the soft ones of a trained teacher."""
