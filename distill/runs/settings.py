"""The settings of a run in parts: data, network, inner training, outer loop, method, measuring, the run.

Each part is a small frozen dataclass. --n is the one dial: what is None here gets a default that suits n, the
initialisation and the kind of data (defaults.py). Nothing here imports torch, so that --help answers at once.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from distill.inner import RULES
from distill.inner.engines import ENGINES
from distill.methods import METHODS
from distill.networks import IMAGES, NETWORKS, SEQUENCES, WEIGHT_INITS
from distill.outer import LABEL_MAPS, STARTS
from distill.registry import AUTO, COUNT, ITEMS, RATE, STEPS, THREADS, Auto, option

PlugInOptions = dict[str, float | bool | str | None]  # what a method or an engine brings with it
INITS = ("fixed", "random")


@dataclass(frozen=True)
class DataSettings:
    """What to distil"""

    n: Auto[int] = option(AUTO, "N", **ITEMS, first=True)
    """How many synthetic items. Every other setting has a default that suits this number (default: 5 images
    or 2 texts; 10 images to adapt and to poison)."""
    ipc: int | None = option(None, "K", **ITEMS, first=True)
    """Items per class, instead of --n."""
    dataset: str = option("", "DATA", first=True)
    """The real data."""
    data_dir: str | None = option(None, "FOLDER", first=True, identity=False)
    """Where the files of a named data set are."""
    labels: str = option("soft", "LABELS", choices=LABEL_MAPS, first=True)
    """soft (learned numbers of any sign), softmax (learned, sum to one) or hard (one fixed class per
    item)."""
    held_out: int = option(5000, "ITEMS", above=0)
    """Training items that are held out to choose which state of the set is exported; at most a tenth."""

    items_word: ClassVar[str] = "items"

    @property
    def origin(self) -> str:
        """The name or path by which the real data are found again."""
        return self.dataset


@dataclass(frozen=True)
class ImageData(DataSettings):
    """What to distil"""

    dataset: str = option("mnist", "DATA", first=True)
    """mnist, fashion-mnist, kmnist, cifar-10, cifar-100, svhn, usps, an .npz file or a folder of images."""
    data_dir: str | None = option(None, "FOLDER", first=True, identity=False)
    """Where the files of a named data set are (default: bundled, or downloaded once)."""
    image_size: int | None = option(None, "PIXELS", above=0)
    """Resize the images to this height and width (default: as they are; of a folder, the first image's)."""
    zca: bool = option(False)
    """Whiten the images (ZCA), as is usual for colour images; the file holds the matrix."""

    items_word: ClassVar[str] = "images"


@dataclass(frozen=True)
class TextData(DataSettings):
    """What to distil"""

    dataset: str = option("sentences", "DATA", first=True, without="train")
    """sentences (bundled), trec, trec-50, sst2, sst5, imdb or ag_news."""
    data_dir: str | None = option(None, "FOLDER", first=True, identity=False, without="train")
    """The folder that holds DATASET/train.csv and test.csv (default: bundled, or fetched from its hub)."""
    train: str | None = option(None, "FILE")
    """Your own training texts: a csv, tsv, jsonl or parquet file, gzipped or not; with --test."""
    test: str | None = option(None, "FILE")
    """Your own test texts."""
    text_column: str | None = option(None, "NAME", needs={"train": ()})
    """The column of your texts (default: text, or sentence)."""
    label_column: str | None = option(None, "NAME", needs={"train": ()})
    """The column of your labels, which are words or numbers (default: label)."""
    vectors: Auto[str] = option(AUTO, "VECTORS")
    """Word vectors: a GloVe text file, an .npz file, or a name such as glove.6B.100d, which is downloaded."""
    tokenizer: str = option("basic_english", "TOKENIZER")
    """basic_english, split (at spaces), or another of torchtext's whose package is installed."""
    unknown: str = option("zeros", "VECTORS")
    """What a word without a vector gets: zeros (networks leave it out), or drawn (a random vector of its
    own)."""
    max_length: int | None = option(None, "WORDS", above=0)
    """How many words of a real text are read (default: as many as the longest text has, at most 200)."""
    synthetic_length: Auto[int] = option(AUTO, "WORDS", above=0, at_most=10**5, cost=(8000, "bytes"))
    """How many word vectors a learned text has."""
    word_dropout: float = option(0.25, "SHARE", at_least=0, below=1)
    """Share of the words of a real text that each outer step leaves out, in [0, 1)."""
    held_out: int = option(500, "TEXTS", above=0)
    """Training texts that are held out to choose which state of the set is exported; at most a tenth."""

    items_word: ClassVar[str] = "sentences"

    @property
    def origin(self) -> str:
        return self.train or self.dataset


@dataclass(frozen=True)
class NetworkSettings:
    """The network that is trained"""

    network: Auto[str] = option("lenet", "NETWORK", choices=NETWORKS, first=True)
    """The network that is trained."""
    init: str = option("fixed", "INIT", choices=INITS, first=True)
    """fixed (the set is for one known initialisation) or random (it is for networks with new random
    weights)."""
    depth: int | None = option(None, "LAYERS", above=0, at_most=1000, cost=(4000, "bytes"))
    """Depth of a network that has one (default: convnet 3, mlp 2, transformer 1)."""
    width: int | None = option(None, "UNITS", above=0, at_most=10**5, cost=(4000, "bytes"))
    """Width of a network that has one (default: convnet 128, mlp 128, resnet 16, textcnn and ngram 100, the
    other text networks 64)."""
    weight_init: Auto[str] = option(AUTO, "SCHEME", choices=WEIGHT_INITS, noun="initialisation scheme")
    """How initial weights are drawn: xavier, kaiming (both normal), uniform (as torch's layers, but
    biases zero) or own (as each layer draws its own)."""
    fixed_networks: int = option(1, "COUNT", **COUNT, needs={"init": ("fixed",)})
    """With --init fixed: for how many known initialisations the set is learned."""
    weights: str | None = option(None, "FILE")
    """Trained networks to start from, instead of random weights: a file of weights, or a folder of such
    files. With --init fixed, the set is learned for the first --fixed-networks of them. With --init random,
    --test-networks of them measure, --validation-networks choose, and from the others the set is learned."""


@dataclass(frozen=True)
class ImageNetwork(NetworkSettings):
    """The network that is trained"""

    network: str = option("lenet", "NETWORK", choices=IMAGES, first=True)


@dataclass(frozen=True)
class TextNetwork(NetworkSettings):
    """The network that is trained"""

    network: str = option("textcnn", "NETWORK", choices=SEQUENCES, first=True)


@dataclass(frozen=True)
class InnerSettings:
    """Inner training: how a network is trained on the synthetic items"""

    inner_steps: Auto[int] = option(AUTO, "T", above=0, at_most=10**5, cost=(40_000, "bytes"))
    """T, the number of training steps on the synthetic items."""
    batch: Auto[int] = option(AUTO, "ITEMS", above=0)
    """Synthetic items per inner step; it must divide n."""
    rule: Auto[str] = option(AUTO, "RULE", choices=RULES)
    """How a network is trained on the items: sgd, momentum (SGD with momentum 0.9) or adam."""
    lr: Auto[float] = option(AUTO, "LR", **RATE)
    """The inner learning rate at the start; --method unroll learns it from there."""
    lr_per: Auto[str] = option(AUTO, "UNIT", choices=("step", "tensor"), noun="unit")
    """A learned learning rate for each step, or for each step and parameter tensor."""
    engine: Auto[str] = option(AUTO, "ENGINE", choices=ENGINES)
    """How the outer gradient is computed (--engine ENGINE --help shows an engine's own options)."""
    engine_options: PlugInOptions = field(default_factory=dict)
    compile: bool = option(False)
    """Compile the inner step of an image network by torch.compile (on a CPU this needs a C++ compiler). It
    takes a minute at the start. With lenet and many steps it saves up to a tenth of the time, else
    nothing."""


@dataclass(frozen=True)
class TextInner(InnerSettings):
    """Inner training: how a network is trained on the synthetic items"""

    compile: bool = False  # no option: it is for image networks


@dataclass(frozen=True)
class OuterSettings:
    """Outer loop: how the synthetic items are improved"""

    method: str = option("unroll", "METHOD", choices=METHODS, first=True)
    """What an outer step minimises (--method METHOD --help shows a method's own options)."""
    method_options: PlugInOptions = field(default_factory=dict)
    start: Auto[str] = option(AUTO, "START", choices=STARTS, file=".pt")
    """What the items are at the start: real items, noise, the means of their classes (k-means centres, if a
    class has several items), or a saved SET.pt of the same n, with its labels, and with its learning rates if
    the number of steps is the same."""
    outer_steps: Auto[int] = option(AUTO, "STEPS", **STEPS)
    """How often the synthetic items are updated."""
    outer_batch: Auto[int] = option(AUTO, "ITEMS", **ITEMS)
    """Real items per outer step."""
    networks_per_step: int = option(1, "COUNT", **COUNT)
    """How many networks an outer step uses, each with its own real items; their gradients are averaged."""
    outer_lr: Auto[float] = option(AUTO, "LR", **RATE)
    """The learning rate of the outer Adam for the items."""
    label_lr_scale: Auto[float] = option(AUTO, "FACTOR", **RATE, needs={"labels": ("soft", "softmax")})
    """The outer learning rate for the labels, as a multiple of --outer-lr."""
    lr_lr_scale: Auto[float] = option(AUTO, "FACTOR", **RATE)
    """The outer learning rate for the inner learning rates, as a multiple of --outer-lr."""
    ema_decay: Auto[float] = option(AUTO, "DECAY", at_least=0, at_most=1)
    """Decay of the exponential moving average (EMA) of what is learned."""
    warmup: int = option(200, "STEPS", above=0)
    """Over how many outer steps the outer learning rates rise from zero; at most a tenth of the run."""
    augment: str = option("", "CHANGES")
    """Random changes of synthetic and real images, joined by hyphens, such as shift-scale-rotate (also: crop,
    cutout, color, flip)."""


@dataclass(frozen=True)
class TextOuter(OuterSettings):
    """Outer loop: how the synthetic items are improved"""

    augment: str = ""  # no option: it is for images


@dataclass(frozen=True)
class MeasureSettings:
    """Measuring: how a set is chosen and scored"""

    validate_every: int = option(200, "STEPS", above=0)
    """After how many outer steps the set is scored on held-out items, and a checkpoint is written."""
    validation_networks: Auto[int] = option(AUTO, "COUNT", **COUNT, needs={"init": ("random",)})
    """With --init random: how many networks choose what is exported; the set is not learned from them."""
    test_networks: int = option(20, "COUNT", **COUNT)
    """With --init random: how many new networks measure the set at the end. Baselines are drawn as often, but
    at most 20 times."""
    full_data_networks: int = option(3, "COUNT", **COUNT)
    """With --init random: how many networks are trained on all real data, for comparison. It can take longer
    than the rest."""


@dataclass(frozen=True)
class RunSettings:
    """The run: where, how long, on what"""

    minutes: float | None = option(None, "MINUTES", above=0, at_most=1e9, first=True)
    """The time for the run, measuring included; at least a quarter of it distils, even if measuring then
    takes longer. Such runs are not bit-identical (default: no limit: --outer-steps ends the run)."""
    distil_minutes: float | None = option(None, "MINUTES", above=0, at_most=1e9)
    """The time for the outer loop alone, in the place of --minutes: measuring comes on top, so that methods
    can be compared at equal time (default: no limit)."""
    seed: int = option(0, "SEED")
    """The seed of all random numbers."""
    device: str = option("cpu", "DEVICE")
    """Where to compute: cpu, cuda or cuda:1."""
    threads: int = option(1, "COUNT", **THREADS, identity=False)
    """Threads of torch on a CPU; one is fastest for small networks and few items."""
    out: Auto[str] = option(AUTO, "FOLDER", without="resume", first=True, identity=False)
    """The run folder (default: runs/DATASET-nN-INIT-LABELS-sSEED)."""
    resume: str | None = option(None, "FOLDER", identity=False)
    """Continue the run in this folder, with its own settings."""
    overwrite: bool = option(False, without="resume", identity=False)
    """Replace the run that is in the folder --out."""
    json: bool = option(False, identity=False)
    """Also print the result, as one line of JSON at the end."""
    tensorboard: bool = option(False, identity=False)
    """Also write events for TensorBoard into the run folder. With --resume, pass it again."""
    given: frozenset[str] = field(default=frozenset(), metadata={"identity": False})  # options of the command


@dataclass(frozen=True)
class Settings:
    """All parts of a run's settings; ImageSettings and TextSettings say where the items come from."""

    data: DataSettings = field(default_factory=DataSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    inner: InnerSettings = field(default_factory=InnerSettings)
    outer: OuterSettings = field(default_factory=OuterSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    run: RunSettings = field(default_factory=RunSettings)

    n_default: ClassVar[int] = 5
    as_fixed: ClassVar[bool] = False  # the defaults of a known initialisation, whatever --init says
    is_judged: ClassVar[bool] = True  # the scores say how good the set is
    flags: ClassVar[dict[str, str]] = {}  # options that this job calls otherwise: {field: flag}

    def overrides(self) -> dict[str, Any]:
        """Defaults of a job in the place of the general ones."""
        return {}


@dataclass(frozen=True)
class ImageSettings(Settings):
    """Distil a set of real images into a few synthetic ones, and measure what they are worth."""

    data: DataSettings = field(default_factory=ImageData)
    network: NetworkSettings = field(default_factory=ImageNetwork)


@dataclass(frozen=True)
class TextSettings(Settings):
    """Distil a set of real texts into a few learned sequences of word vectors, and measure them."""

    data: DataSettings = field(default_factory=TextData)
    network: NetworkSettings = field(default_factory=TextNetwork)
    inner: InnerSettings = field(default_factory=TextInner)
    outer: OuterSettings = field(default_factory=lambda: TextOuter(warmup=20))
    measure: MeasureSettings = field(default_factory=lambda: MeasureSettings(test_networks=100))

    n_default: ClassVar[int] = 2
