"""What a learned set says of its items in words, or the real sentences nearest to them as a set."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.encoders.dataset import EncodedDataset
from distill.data.encoders.personal import count_personal
from distill.sets.distilled import DistilledSet


def read_out(data: DistilledSet, train: Dataset, word: str) -> DistilledSet:
    """The set with its metadata on texts, as --read-out says: of its vectors, or of the nearest sentences.

    For "nearest" the items become the embeddings of these sentences, each once, with the learned labels.
    """
    if not isinstance(train, EncodedDataset):
        return replace(data, text=train.text_metadata(data.items))
    if word != "nearest":
        return replace(data, text=add_personal(train.text_metadata(data.items), train))
    places = find_nearest(data.items, train.batch(slice(None))[0])
    text = add_personal(train.sentence_metadata(places), train)
    return replace(data, items=train.batch(places)[0], text=text)


def add_personal(text: dict[str, Any], train: EncodedDataset) -> dict[str, Any]:
    """The metadata of a set with what its real sentences keep of the mails, numbers and names of all."""
    return {**text, "personal": count_personal(text, train.texts)}


def find_nearest(items: Float[Tensor, "n dim"], real: Float[Tensor, "N dim"]) -> Int[Tensor, " n"]:
    """For each item in turn the row of the largest cosine among those that no item before it has."""
    cosines = F.normalize(items, dim=1) @ F.normalize(real, dim=1).T
    places: list[int] = []
    for row in cosines:
        if places and len(places) < len(real):
            row = row.index_fill(0, torch.tensor(places, device=row.device), -torch.inf)
        places.append(int(row.argmax()))
    return torch.tensor(places, device=items.device)
