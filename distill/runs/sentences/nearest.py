"""The real sentences nearest to learned embeddings, as a set with the learned labels."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.encoders.dataset import EncodedDataset
from distill.sets.distilled import DistilledSet


def read_out_nearest(data: DistilledSet, train: Dataset) -> DistilledSet:
    """The set whose items are the embeddings of the nearest real sentences, each sentence once."""
    assert isinstance(train, EncodedDataset)
    places = find_nearest(data.items, train.batch(slice(None))[0])
    return replace(data, items=train.batch(places)[0], text=train.sentence_metadata(places))


def find_nearest(items: Float[Tensor, "n dim"], real: Float[Tensor, "N dim"]) -> Int[Tensor, " n"]:
    """For each item in turn the row of the largest cosine among those that no item before it has."""
    cosines = F.normalize(items, dim=1) @ F.normalize(real, dim=1).T
    places: list[int] = []
    for row in cosines:
        if places and len(places) < len(real):
            row = row.index_fill(0, torch.tensor(places, device=row.device), -torch.inf)
        places.append(int(row.argmax()))
    return torch.tensor(places, device=items.device)
