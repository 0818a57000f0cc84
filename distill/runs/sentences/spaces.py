"""In which spaces real texts are compared: embeddings of a sentence encoder, and bags of words.

A set of texts is to train networks of any kind. What a text does to a network on embeddings and what it does
to one on words are different things: texts that are chosen for both teach a third kind, filters on word
vectors, better than those that are chosen for one (docs/lab-notes.md).
"""

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.data.encoders.dataset import EncodedDataset
from distill.data.texts import load_tokenizer, tokenize

MOST_WORDS = 10_000  # of a bag, the frequent ones
TOKENIZER = "basic_english"


def list_spaces(train: EncodedDataset) -> list[Float[Tensor, "N f"]]:
    """Features of all texts, one matrix per space; rows have length 1, so that each kernel is a cosine."""
    embeddings = train.items.detach().cpu().float()
    return [F.normalize(embeddings - embeddings.mean(dim=0), dim=1), count_words(train.texts)]


def count_words(
    texts: Sequence[str], vocabulary: Sequence[str] | None = None, most: int = MOST_WORDS
) -> Float[Tensor, "N words"]:
    """Which words a text holds, scaled to length 1; a text without one of the words is zeros.

    The words are the most frequent ones of the texts of the vocabulary, which are by default the same texts.
    """
    split_words = load_tokenizer(TOKENIZER)
    tokens = tokenize(list(texts), split_words)
    source = tokens if vocabulary is None else tokenize(list(vocabulary), split_words)
    counts = Counter(word for words in source for word in set(words))
    places = {word: i for i, (word, _) in enumerate(counts.most_common(most))}
    bags = torch.zeros(len(tokens), max(1, len(places)))
    for row, words in zip(bags, tokens, strict=True):
        row[[places[word] for word in set(words) if word in places]] = 1
    return F.normalize(bags, dim=1)
