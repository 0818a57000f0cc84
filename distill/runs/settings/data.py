"""What to distil: the number of items, and the real images or texts."""

from dataclasses import dataclass
from typing import ClassVar

from distill.data import ENCODER_NUMBERS, KEEP, READ_OUTS
from distill.outer import LABEL_MAPS
from distill.registry import AUTO, ITEMS, RATE, Auto, option


@dataclass(frozen=True)
class DataSettings:
    """What to distil"""

    n: Auto[int] = option(AUTO, "N", **ITEMS, first=True)
    """How many synthetic items; with --parametrisation multi-formation, how many are stored. Every other
    setting has a default that suits this number (default: 5 images or 2 texts; 10 images to adapt and to
    poison)."""
    ipc: int | None = option(None, "K", **ITEMS, first=True)
    """Items per class, instead of --n."""
    dataset: str = option("", "DATA", first=True)
    """The real data."""
    data_dir: str | None = option(None, "FOLDER", first=True, identity=False)
    """Where the files of a named data set are."""
    labels: Auto[str] = option(AUTO, "LABELS", choices=LABEL_MAPS, first=True)
    """soft (learned numbers of any sign), softmax (learned, sum to one) or hard (one fixed class per
    item)."""
    held_out: int = option(5000, "ITEMS", above=0)
    """Training items that are held out to choose which state of the set is exported; at most a tenth."""

    attention_labels: float | None = None  # an option of texts alone
    keep: str = "auto"  # these three are options of images alone
    cache: str | None = None
    skip_damaged: bool = False
    encoder: str | None = None  # these three are options of texts alone
    encoder_numbers: str = "float32"
    read_out: str = "vectors"

    items_word: ClassVar[str] = "items"

    @property
    def origin(self) -> str:
        """The name or path by which the real data are found again."""
        return self.dataset


@dataclass(frozen=True)
class ImageData(DataSettings):
    """What to distil"""

    dataset: str = option("mnist", "DATA", first=True)
    """mnist, fashion-mnist, kmnist, cifar-10, cifar-100, svhn, usps, an .npz, a folder of images, or tar
    shards."""
    data_dir: str | None = option(None, "FOLDER", first=True, identity=False)
    """Where the files of a named data set are (default: bundled, or downloaded once)."""
    image_size: int | None = option(None, "PIXELS", above=0)
    """Resize the images to this height and width (default: as they are; of a folder, the first image's)."""
    keep: str = option("auto", "PLACE", choices=KEEP)
    """Where the images are while the run computes: on its device, in memory, or, those of a folder, on disk,
    where they are decoded once into a cache and read batch by batch; auto takes the first of these of which
    they fill no more than half."""
    cache: str | None = option(None, "FOLDER")
    """Where the decoded images of a folder are kept (default: ~/.cache/distill, or $DISTILL_CACHE)."""
    skip_damaged: bool = option(False)
    """Leave out pictures of a folder that cannot be decoded, and say how many they are."""
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
    encoder: str | None = option(None, "ENCODER", first=True)
    """A sentence encoder in the place of word vectors: a folder, or a name of the Hugging Face hub. Each text
    becomes one frozen embedding, computed once and kept in --cache; what is learned are n embeddings."""
    encoder_numbers: str = option("float32", "NUMBERS", choices=ENCODER_NUMBERS, needs={"encoder": ()})
    """In which numbers the encoder computes: bfloat16 takes a third of the time where the processor has it,
    and changes embeddings by about one part in 10,000."""
    read_out: str = option(
        "vectors", "ITEMS", choices=READ_OUTS, noun="read-out", needs={"encoder": ()}, first=True
    )
    """What the items of the set are. Of sentences a csv is written, too, which trains any network."""
    cache: str | None = option(None, "FOLDER", needs={"encoder": ()})
    """Where the embeddings are kept (default: ~/.cache/distill, or $DISTILL_CACHE)."""
    vectors: Auto[str] = option(AUTO, "VECTORS", without="encoder")
    """Word vectors: a GloVe text file, an .npz file, or a name such as glove.6B.100d, which is downloaded."""
    tokenizer: str = option("basic_english", "TOKENIZER", without="encoder")
    """basic_english, split (at spaces), or another of torchtext's whose package is installed."""
    unknown: str = option("zeros", "VECTORS", without="encoder")
    """What a word without a vector gets: zeros in its place, or drawn (a random vector of its own)."""
    attention_labels: float | None = option(None, "WEIGHT", **RATE)
    """Also learn attention labels: where the first token of each item looks in the last layer of a pretrained
    transformer; WEIGHT is their weight in the inner loss (default: none are learned)."""
    max_length: int | None = option(None, "WORDS", above=0)
    """How many words of a real text are read, or with --encoder how many tokens (default: as many as the
    longest text has, at most 200, or as the encoder reads)."""
    synthetic_length: Auto[int] = option(
        AUTO, "WORDS", above=0, at_most=10**5, cost=(8000, "bytes"), without="encoder"
    )
    """How many word vectors a learned text has."""
    word_dropout: float = option(0.25, "SHARE", at_least=0, below=1, without="encoder")
    """Share of the words of a real text that each outer step leaves out, in [0, 1)."""
    held_out: int = option(500, "TEXTS", above=0)
    """Training texts that are held out to choose which state of the set is exported; at most a tenth."""

    items_word: ClassVar[str] = "sentences"

    @property
    def origin(self) -> str:
        return self.train or self.dataset
