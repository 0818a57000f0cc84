"""Checkpoints of flax of FRePo (Zhou et al. 2022) and RCIG (Loo et al. 2023), in msgpack: checkpoint_15000.

The repositories are yongchao97/FRePo and yolky/RCIG. A tree of dicts whose "params" hold x_proto (n, height,
width, channels) and y_proto (n, classes), signed labels that are centred at 0; RCIG measures their moving
average, "ema_average". flax writes an array as the extension 1: its shape, the name of its dtype, its bytes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.errors import SetError, require
from distill.sets.formats.base import PublicSet, SourceFile
from distill.sets.public.normalisation import FREPO_MOMENTS, Moments, fit_normalised_zca, simplify_name
from distill.sets.public.training import (
    Schedule,
    Targets,
    Training,
    choose_convnet,
    describe_augmentation,
    encode_classes,
    shuffle_epochs,
)

MAPS = (*range(0x81, 0x90), 0xDE, 0xDF)  # first bytes of a msgpack that is a dict
HEAD = 2**20  # bytes at the beginning, in which the first name stands
ARRAY, MAX_RANK = 1, 64  # flax's extension; msgpack makes a list as long as a file says it is
DTYPES = {"float32": torch.float32, "float16": torch.float16, "float64": torch.float64}
GREY = ("mnist", "fashionmnist")  # which are not whitened and not flipped
AUGMENTATION = "color-crop-cutout-flip-rotate-shift"
WARMUP, LAST_LR, BATCH = 500, 0.01, 500


def matches(file: SourceFile) -> bool:
    """Whether a file is a dict of msgpack that names x_proto."""
    try:
        with open(file.path, "rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        return False
    return head[:1] != b"" and head[0] in MAPS and b"x_proto" in head


def read_public(file: SourceFile, experiment: int = -1) -> PublicSet:
    """Images and labels of the checkpoint. Raises SetError, UserError without the package msgpack."""
    tree = read_tree(file)
    averaged = isinstance(tree.get("ema_average"), dict) and "x_proto" in tree["ema_average"]
    params = tree["ema_average"] if averaged else tree.get("params")
    images, labels = (params.get(x) if isinstance(params, dict) else None for x in ("x_proto", "y_proto"))
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor) or images.ndim != 4:
        raise SetError(f"{file.path} holds no x_proto of images and y_proto of labels among its params")
    return PublicSet(
        project="yolky/RCIG" if averaged else "yongchao97/FRePo",
        items=images.float().movedim(-1, 1).contiguous(),
        labels=labels.float(),
        training=Regression(lr=0.0001 if averaged else 0.0003),
        remarks=(
            "distill trains its ConvNet, the project's has no normalisation and twice as many filters in each"
            " further layer",
        ),
    )


def read_tree(file: SourceFile) -> dict[str, Any]:
    """The dict of a msgpack; nothing in it is executed. Raises SetError, UserError without msgpack."""
    require("msgpack", "import")
    import msgpack

    def read_array(code: int, content: bytes) -> Tensor | None:
        if code != ARRAY:
            return None
        shape, dtype, values = msgpack.unpackb(content, raw=False, max_array_len=MAX_RANK)
        if dtype not in DTYPES:
            return None
        if min(shape, default=1) < 0 or math.prod(shape) * DTYPES[dtype].itemsize != len(values):
            raise ValueError("an array is not as large as it says")
        return torch.frombuffer(bytearray(values), dtype=DTYPES[dtype]).view(shape) if values else None

    try:
        content = file.path.read_bytes()
        tree = msgpack.unpackb(content, raw=False, ext_hook=read_array, max_array_len=MAX_RANK)
    except Exception as error:  # msgpack and the hook raise a dozen kinds of errors
        raise SetError(f"{file.path} is a damaged checkpoint of flax ({type(error).__name__})") from None
    return tree if isinstance(tree, dict) else {}


@dataclass(frozen=True)
class Regression(Training):
    """eval.py of both: Adam and squared error; the rate rises for 500 steps, then falls as a cosine."""

    lr: float

    moments = FREPO_MOMENTS
    weight_init = "uniform"
    rule: ClassVar[Mapping[str, Any]] = {"rule": "adam"}

    def make_targets(self, labels: Tensor, classes: int) -> Targets:
        """The labels as they are; class numbers as one-hot, centred at 0."""
        if labels.is_floating_point():
            return Targets(labels.float(), loss="squared-error")
        return Targets(encode_classes(labels, classes) - 1 / classes, loss="squared-error")

    def make_schedule(self, n: int, dataset: str, epochs: int | None, lr: float | None) -> Schedule:
        """1,000 steps on up to 10 images, else 2,000; `epochs` replaces them by so many passes."""
        batch, rate = min(n, BATCH), self.lr if lr is None else lr
        count = epochs * math.ceil(n / batch) if epochs else 1000 if n <= 10 else 2000
        items = shuffle_epochs(n, math.ceil(count * batch / n), batch)[:count]
        warmup = min(WARMUP, len(items) // 2)
        t = torch.arange(len(items))
        falling = LAST_LR + (1 - LAST_LR) * (1 + (math.pi * (t - warmup) / (len(items) - warmup)).cos()) / 2
        lrs = rate * torch.where(t < warmup, t / max(warmup, 1), falling)
        remark = f"Adam, rate up to {rate:g}, {len(items)} steps of {batch} images; FRePo's own code measures"
        return Schedule(items, lrs, (remark + " the average of the last weights",))

    def choose_augmentation(self, dataset: str) -> tuple[str, str]:
        """That of eval.py, without the flip for grey images."""
        augmentation = AUGMENTATION.replace("flip-", "") if simplify_name(dataset) in GREY else AUGMENTATION
        return augmentation, describe_augmentation(augmentation)

    def choose_network(self, dataset: str, shape: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """The field's ConvNet."""
        return choose_convnet(shape)

    def whitens(self, dataset: str) -> bool:
        """All but MNIST and Fashion-MNIST."""
        return simplify_name(dataset) not in GREY

    def fit_whitening(self, train: Dataset, moments: Moments | None) -> dict[str, Tensor]:
        """FRePo's."""
        return fit_normalised_zca(train, moments)
