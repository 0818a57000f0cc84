"""set.npz: the images and the labels of a set as two arrays of NumPy, `synthetic` and `targets`.

The example of CONTRIBUTING for a new file format, both ways. As distill/sets/formats/npz.py, with its line in
FORMATS, it is all that a format needs.
"""

import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import PublicSet, SourceFile
from distill.sets.formats.safetensors import export_folder
from distill.sets.public.training import EvaluateSynset

ARRAYS = "set.npz"


def write_set(
    data: DistilledSet, path: str | os.PathLike[str], license: str | None = None, overwrite: bool = False
) -> Path:
    """A folder with set.npz. Raises SetError, UserError without the package safetensors."""
    with export_folder(data, path, overwrite) as folder, open(folder / ARRAYS, "wb") as file:
        np.savez(file, synthetic=data.items.cpu().numpy(), targets=data.labels.cpu().numpy())
    return Path(path)


def matches(file: SourceFile) -> bool:
    """Whether a file, or the set.npz of a folder, holds images and labels."""
    return load_arrays(file) is not None


def read_public(file: SourceFile, experiment: int = -1) -> PublicSet:
    """The two arrays; a student trains on them as evaluate_synset() does, for 300 epochs."""
    arrays = load_arrays(file)
    assert arrays is not None  # matches() was asked first
    return PublicSet("arrays of NumPy", *arrays, training=EvaluateSynset(epochs=300))


def load_arrays(file: SourceFile) -> tuple[Tensor, Tensor] | None:
    """(images, labels), None where the file has another format. allow_pickle=False: no code is executed."""
    path = file.path / ARRAYS if file.path.is_dir() else file.path
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return torch.from_numpy(arrays["synthetic"]), torch.from_numpy(arrays["targets"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
