""".h5 of RaT-BPTT (Feng et al. 2024, fengyzpku/RaT-BPTT): save/cifar10/IPC_10.h5.

"data" (n, channels · height · width), the images in the order of their classes, as many of each; "label"
(n, classes) where labels were learned (--train_y); "epoch" and "grad" are of the run and not read.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.whiten import fit_zca
from distill.errors import SetError, require
from distill.sets.formats.base import PublicSet, SourceFile
from distill.sets.public.normalisation import VICO_MOMENTS, Moments, simplify_name
from distill.sets.public.training import (
    SYMBOLS,
    Schedule,
    Targets,
    Training,
    choose_convnet,
    describe_augmentation,
    encode_classes,
    shuffle_epochs,
)

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_BYTES = 2**30  # of an array, unpacked
STEPS, BATCH, LR = 1000, 1000, 0.001


def matches(file: SourceFile) -> bool:
    """Whether a file is one of HDF5."""
    return file.starts_with(SIGNATURE)


def read_public(file: SourceFile, experiment: int = -1) -> PublicSet:
    """Images and, if they were learned, labels. Raises SetError, UserError without the package h5py."""
    images, labels = read_array(file, "data"), read_array(file, "label")
    if images is None:
        raise SetError(f'{file.path} holds no array "data" of images')
    return PublicSet(
        project="fengyzpku/RaT-BPTT",
        items=images,
        labels=labels,
        training=AdamSteps(),
        remarks=(
            "give --zca where it was made with --zca, as published ones were: the project's whitening also"
            " brings each image to mean 0 and length 1, which distill does not do",
        ),
    )


def read_array(file: SourceFile, name: str) -> Tensor | None:
    """An array of floats of an .h5 (n, …), None where it is not there. Raises SetError."""
    require("h5py", "import")
    import h5py

    try:
        with h5py.File(file.path, "r") as content:
            if content.get(name, getlink=True) is None:
                return None
            if not isinstance(content.get(name, getlink=True), h5py.HardLink):
                raise ValueError("its data are in another file")
            array = content[name]
            if (
                not isinstance(array, h5py.Dataset)
                or array.dtype.kind != "f"
                or array.external
                or array.is_virtual
            ):
                raise ValueError(f"{name} is no array of floats of its own")
            if math.prod(array.shape) * array.dtype.itemsize > MAX_BYTES:
                raise ValueError(f"{name} claims more than 1 GiB")
            return torch.from_numpy(array[()]).float()
    except Exception as error:  # h5py passes on whatever its C library says
        raise SetError(f"{file.path} is a damaged .h5, or none of RaT-BPTT ({error!s:.80})") from None


@dataclass(frozen=True)
class AdamSteps(Training):
    """Its test: Adam and cross-entropy on all images; it looks at 300, 600, 1,000 and 3,000 steps."""

    moments = VICO_MOMENTS
    weight_init = "uniform"
    rule: ClassVar[Mapping[str, Any]] = {"rule": "adam"}

    def make_targets(self, labels: Tensor, classes: int) -> Targets:
        """One-hot for class numbers; learned labels as they are, which the project keeps above 0."""
        return Targets(labels.float() if labels.is_floating_point() else encode_classes(labels, classes))

    def make_schedule(self, n: int, dataset: str, epochs: int | None, lr: float | None) -> Schedule:
        """1,000 steps, or `epochs` passes."""
        batch, rate = min(n, BATCH), LR if lr is None else lr
        items = shuffle_epochs(n, epochs or math.ceil(STEPS * batch / n), batch)
        return Schedule(items, torch.full((len(items),), rate), (f"Adam, rate {rate:g}, {len(items)} steps",))

    def choose_augmentation(self, dataset: str) -> tuple[str, str]:
        """flip_rotate, without the flip where the images are symbols."""
        augmentation = "rotate" if simplify_name(dataset) in SYMBOLS else "flip-rotate"
        return augmentation, describe_augmentation(augmentation)

    def choose_network(self, dataset: str, shape: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """The field's ConvNet."""
        return choose_convnet(shape)

    def fit_whitening(self, train: Dataset, moments: Moments | None) -> dict[str, Tensor]:
        """That of its preprocess(), of images that keep their own mean and length."""
        return fit_zca(train)
