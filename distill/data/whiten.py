"""ZCA whitening of images: pixels without correlations that still look like the image."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.pictures.stored import is_on_disk
from distill.errors import DataError

Whitening = dict[str, Tensor]  # "mean" (d,) and "matrix" (d, d): what a distilled set's file carries
RIDGE = 0.1  # of the mean eigenvalue, as Nguyen, Chen and Lee 2021 regularise
CHUNK = 1000  # images at a time


def fit_zca(train: Dataset, ridge: float | None = None, std: Tensor | None = None) -> Whitening:
    """The mean of a set's pixels, and U (Λ + ridge)^-½ Uᵀ where U Λ Uᵀ is their covariance.

    ridge: by default a tenth of the mean eigenvalue. std (d,): what the pixels are divided by before that.
    """
    check_in_memory(train)
    d = train.items[0].numel()
    total, squares = torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    for x in pixel_chunks(train):
        total += x.sum(dim=0).cpu()
        squares += (x.T @ x).cpu()
    mean = total / len(train)
    scale = torch.ones(d, dtype=torch.float64) if std is None else 1 / std.double()
    covariance = (squares / len(train) - mean.outer(mean)) * scale.outer(scale)
    values, vectors = torch.linalg.eigh(covariance)
    roots = (values.clamp(min=0) + (RIDGE * values.mean() if ridge is None else ridge)).rsqrt()
    return {"mean": mean.float(), "matrix": (scale[:, None] * (vectors * roots @ vectors.T)).float()}


def check_in_memory(train: Dataset) -> None:
    """Raise DataError where the images are on disk."""
    if is_on_disk(train.items):
        raise DataError("--zca whitens all images at once: leave it out, or give --keep memory")


def whiten(data: Dataset, zca: Whitening) -> Dataset:
    """The set with items (pixels - mean) · matrix, as batch() then returns them; pixels are in [0, 1]."""
    mean, matrix = (zca[name].to(data.items.device) for name in ("mean", "matrix"))
    items = torch.cat([(x - mean) @ matrix for x in pixel_chunks(data)]).view(data.items.shape)
    return replace(without_normalisation(data), items=items, zca=zca)


def pixel_chunks(data: Dataset) -> Iterator[Float[Tensor, "b d"]]:
    """All of a set's pixels in [0, 1], in chunks of images."""
    data = without_normalisation(data)
    for first in range(0, len(data), CHUNK):
        yield data.batch(slice(first, first + CHUNK))[0].flatten(1)


def without_normalisation(data: Dataset) -> Dataset:
    """The set whose batch() returns pixels in [0, 1]: mean 0 and std 1."""
    channels = len(data.mean)
    return replace(data, mean=(0.0,) * channels, std=(1.0,) * channels)


def to_pixels(items: Float[Tensor, "n channels height width"], source: dict[str, Any]) -> Tensor:
    """Learned items as pixels in about [0, 1], for pictures: not whitened, not normalised.

    source is a distilled set's: its "mean" and "std" per channel, and "zca" where it was whitened. Raises
    DataError for a matrix that cannot be inverted.
    """
    if source.get("zca"):
        mean, matrix = (source["zca"][name].to(items.device) for name in ("mean", "matrix"))
        centred, info = torch.linalg.solve_ex(matrix, items.flatten(1).T)
        if info:
            raise DataError("the matrix of dataset.zca is singular: no image is behind such items")
        items = (centred.T + mean).view_as(items)
    std, mean = (
        torch.tensor(source[name], dtype=torch.float32, device=items.device).view(-1, 1, 1)
        for name in ("std", "mean")
    )
    return items * std + mean


def renormalise(
    items: Float[Tensor, "n channels height width"], source: dict[str, Any], data: Dataset
) -> Float[Tensor, "n channels height width"]:
    """Learned images in the units of these data: through pixels, where they were learned in others.

    source is a distilled set's, as in to_pixels(), which says what it raises. Other items stay as they are,
    and so do those of floats that a user has prepared, on either side: nobody knows their pixels.
    """
    units = units_of(data)
    if items.ndim != 4 or is_prepared(source) or is_prepared(units) or same_units(source, units):
        return items
    pixels = to_pixels(items, source)
    if data.zca:
        mean, matrix = (data.zca[name].to(items.device) for name in ("mean", "matrix"))
        return ((pixels.flatten(1) - mean) @ matrix).view_as(items)
    mean, std = (torch.tensor(v, device=items.device).view(-1, 1, 1) for v in (data.mean, data.std))
    return (pixels - mean) / std


def units_of(data: Dataset) -> dict[str, Any]:
    """What the file of a set that is learned from these data says of its units."""
    return {"mean": data.mean, "std": data.std, "zca": data.zca}


def is_prepared(source: dict[str, Any]) -> bool:
    """Whether items are floats as a user has prepared them: neither whitened nor normalised here."""
    mean, std = source.get("mean") or (0.0,), source.get("std") or (1.0,)
    return not source.get("zca") and not any(mean) and set(std) == {1.0}


def same_units(source: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether items have one whitening, mean and std on both sides."""
    old, new = source.get("zca") or {}, other["zca"] or {}
    pairs = [(old[name].cpu(), new[name].cpu()) for name in new.keys() & old.keys()]
    pairs += [(torch.tensor(source[name]), torch.tensor(other[name])) for name in ("mean", "std")]
    return old.keys() == new.keys() and all(torch.allclose(a.float(), b.float()) for a, b in pairs)
