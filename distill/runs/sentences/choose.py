"""Which labels the chosen texts get: those that teach new networks best, on texts that are held out."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.data.encoders.dataset import EncodedDataset
from distill.inner.losses import soft_cross_entropy
from distill.randomness import seed_torch, stream
from distill.runs.sentences.labels import Labels
from distill.runs.sentences.spaces import count_words

STEPS = 300
RATES = {"probe": 0.001, "bag of words": 0.03}  # of Adam


def choose_labels(
    candidates: Mapping[str, Labels],
    train: EncodedDataset,
    places: Int[Tensor, " n"],
    held_out: EncodedDataset,
) -> tuple[float, str, Labels]:
    """The candidate whose students, a probe and a bag of words, are right most often.

    Their mean accuracy on held_out comes first, then its name.
    """
    views = list_views(train, places, held_out)
    y = held_out.labels.cpu()

    def score(name: str) -> float:
        labels = candidates[name].shares * candidates[name].weights[:, None]
        parts = [measure_accuracy(*views[word], labels, y, rate) for word, rate in RATES.items()]
        return sum(parts) / len(parts)

    scores = {name: score(name) for name in candidates}
    best = max(scores, key=scores.__getitem__)
    return scores[best], best, candidates[best]


def list_views(
    train: EncodedDataset, places: Tensor, held_out: EncodedDataset
) -> dict[str, tuple[Float[Tensor, "n f"], Float[Tensor, "h f"]]]:
    """(the chosen texts, the held-out ones) as each student reads them; the words are those of the chosen."""
    embedded = train.batch(places.to(train.items.device))[0].cpu(), held_out.batch(slice(None))[0].cpu()
    texts = [train.texts[i] for i in places.tolist()]
    bags = count_words([*texts, *held_out.texts], vocabulary=texts)
    return {"probe": embedded, "bag of words": (bags[: len(texts)], bags[len(texts) :])}


def measure_accuracy(x: Tensor, others: Tensor, labels: Tensor, y: Tensor, rate: float) -> float:
    """The accuracy on others of a linear network after 300 steps of Adam on x."""
    with seed_torch(stream("sentences", "labels")):
        network = nn.Linear(x.shape[1], labels.shape[1])
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(STEPS):
        optimiser.zero_grad()
        soft_cross_entropy(network(x), labels).backward()
        optimiser.step()
    return float((network(others).argmax(dim=1) == y).float().mean())
