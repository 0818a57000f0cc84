"""Small twice-differentiable networks for sequences of vectors, (batch, length, dim) → (batch, classes).

A position whose vector is all zeros is padding: every network leaves it out, so that padding at the end
changes no answer. No weight depends on the length, so that a network trained on sequences of one length
answers to any other.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Shape = tuple[int, ...]


def present(x: Float[Tensor, "batch length dim"]) -> Bool[Tensor, "batch length"]:
    """Which positions hold something."""
    return (x != 0).any(dim=2)


def masked_mean(
    x: Float[Tensor, "batch length dim"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch dim"]:
    """The mean over the positions that are there; zeros where none is."""
    return (x * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


class Average(nn.Module):
    """The mean of the vectors and one matrix: what everything else has to beat."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(shape[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(masked_mean(x, present(x)))


class TextCNN(nn.Module):
    """Kim 2014: `width` filters over 3, 4 and 5 words each, ReLU, the maximum over time, one matrix.

    A filter is a matrix on unfolded windows: twice as fast as conv1d on a CPU where sequences are short
    (256 of 30 words, forward and backward: 53 ms for 88). Windows begin at the words that are there.
    """

    spans = (3, 4, 5)

    def __init__(self, shape: Shape, classes: int, width: int = 100) -> None:
        super().__init__()
        self.filters = nn.ModuleList(nn.Linear(span * shape[1], width) for span in self.spans)
        self.output = nn.Linear(len(self.spans) * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        long = x.shape[1] > LONG and torch.is_grad_enabled()
        highest = highest_found_first if long else highest_of_all
        absent = ~present(x)
        padded = F.pad(x, (0, 0, 0, max(self.spans) - 1))
        found = [
            highest(padded[:, : x.shape[1] + span - 1], absent, filters)
            for span, filters in zip(self.spans, self.filters, strict=True)
        ]
        return self.output(torch.cat(found, dim=1))


class NGramCNN(TextCNN):
    """TextCNN on single words, pairs and triples, which can tell where a text begins.

    Questions are told apart by how they begin, and a maximum over time forgets the place: a vector of
    0.4s, as large as a word's, stands before the first word.
    """

    spans = (1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 0, 1, 0), value=0.4))


LONG = 60  # positions from which on, if there is a backward pass, it pays to find the windows first


def highest_of_all(
    x: Float[Tensor, "batch padded dim"], absent: Bool[Tensor, "batch length"], filters: nn.Module
) -> Float[Tensor, "batch width"]:
    """Each filter's largest answer to any window, or 0 where that is below it or no word is there.

    Only windows that begin at a word are multiplied: of a batch of questions a third.
    """
    there = ~absent
    windows = x.unfold(1, x.shape[1] - absent.shape[1] + 1, 1)[there].flatten(1)
    answers: Tensor = filters(windows)
    rows = there.nonzero()[:, :1].expand_as(answers)
    return answers.new_zeros(len(x), answers.shape[1]).scatter_reduce(0, rows, answers, "amax")


def highest_found_first(
    x: Float[Tensor, "batch padded dim"], absent: Bool[Tensor, "batch length"], filters: nn.Module
) -> Float[Tensor, "batch width"]:
    """The same, for texts of like length at a time: padding costs less (128 reviews: 214 ms for 328)."""
    margin, ends = x.shape[1] - absent.shape[1], last_word(~absent)
    order = ends.argsort()
    found = [
        found_first(x[part, : end + margin], absent[part, :end], filters)
        for part in order.chunk(4)
        for end in [max(1, int(ends[part].max()))]
    ]
    return torch.cat(found)[order.argsort()]


def found_first(
    x: Float[Tensor, "batch padded dim"], absent: Bool[Tensor, "batch length"], filters: nn.Module
) -> Float[Tensor, "batch width"]:
    """First where the largest answer is, without a graph, then it alone, with one.

    Only that window has a gradient, so that the backward pass is a fraction of the forward one
    (128 of 200 words: 88 ms for 178).
    """
    span = x.shape[1] - absent.shape[1] + 1
    weight, bias = filters.parameters()
    with torch.no_grad():
        answers = F.conv1d(x.transpose(1, 2), weight.unflatten(1, (-1, span)), bias)
        best = answers.masked_fill(absent.unsqueeze(1), -torch.inf).argmax(dim=2)
    rows = torch.arange(len(x), device=x.device).unsqueeze(1)
    picked = x.unfold(1, span, 1)[rows, best].flatten(2)
    answer = (picked * weight).sum(dim=2) + bias
    return answer.relu() * ~absent.all(dim=1, keepdim=True)


class Recurrent(nn.Module):
    """A recurrent network in both directions; its last state of each, and one matrix."""

    def __init__(self, body: nn.RNNBase, classes: int) -> None:
        super().__init__()
        self.body = body
        self.output = nn.Linear(2 * body.hidden_size, classes)

    def forward(self, x: Tensor) -> Tensor:
        lengths = last_word(present(x)).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN's have no second derivative
            _, state = self.body(packed)
        last = state[0] if isinstance(state, tuple) else state
        return self.output(torch.cat([last[0], last[1]], dim=1))


def last_word(there: Bool[Tensor, "batch length"]) -> Int[Tensor, " batch"]:
    """The length of each sequence without the padding at its end."""
    places = torch.arange(1, there.shape[1] + 1, device=there.device)
    return (there * places).amax(dim=1)


class BiLSTM(Recurrent):
    """Bidirectional LSTM (Hochreiter and Schmidhuber 1997; Schuster and Paliwal 1997)."""

    def __init__(self, shape: Shape, classes: int, width: int = 64) -> None:
        super().__init__(nn.LSTM(shape[1], width, batch_first=True, bidirectional=True), classes)


class BiRNN(Recurrent):
    """Bidirectional Elman network."""

    def __init__(self, shape: Shape, classes: int, width: int = 64) -> None:
        super().__init__(nn.RNN(shape[1], width, batch_first=True, bidirectional=True), classes)


class Block(nn.Module):
    """Self-attention, then two layers, each behind a layer norm and beside a shortcut (Xiong et al. 2020).

    Attention is written out: the fused one has no double backward on a CPU.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.mix(self.attend(self.before(x), mask))
        return x + self.feed(self.between(x))

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """softmax(q kᵀ / √d) v per head, over the positions that are there (Vaswani et al. 2017, eq. 1)."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(x).chunk(3, dim=2)
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~mask[:, None, None], -1e4)  # finite: a sequence may hold no word
        return (scores.softmax(dim=3) @ v).transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """A small encoder: a projection with sine positions, `depth` blocks of 4 heads, the mean, one matrix."""

    def __init__(self, shape: Shape, classes: int, depth: int = 1, width: int = 64) -> None:
        super().__init__()
        if width % 4:
            raise ValueError("width must be a multiple of 4, the number of heads")
        self.input = nn.Linear(shape[1], width)
        self.blocks = nn.ModuleList(Block(width, 4) for _ in range(depth))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        mask = present(x)
        x = self.input(x)
        x = x + positions(*x.shape[1:]).to(x)
        for block in self.blocks:
            x = block(x, mask)
        return self.output(masked_mean(self.norm(x), mask))


def positions(length: int, width: int) -> Float[Tensor, "{length} {width}"]:
    """sin and cos of the place at geometric frequencies (Vaswani et al. 2017, section 3.5)."""
    pace = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angle = torch.arange(length).unsqueeze(1) * pace
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
