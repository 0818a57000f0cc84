"""Small twice-differentiable networks for sequences of vectors, (batch, length, dim) → (batch, classes).

Positions of zeros at the end are padding, which changes no output. Between words zeros keep their place: an
average and attention leave them out, filters and recurrent networks read them as a vector. No weight depends
on the length, so that a network trained on sequences of one length takes those of any other.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Shape = tuple[int, ...]


def word_mask(x: Float[Tensor, "batch length dim"]) -> Bool[Tensor, "batch length"]:
    """Which positions hold a word: a vector that is not all zeros."""
    return (x != 0).any(dim=2)


def masked_mean(
    x: Float[Tensor, "batch length dim"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch dim"]:
    """The mean over the positions of the mask; zeros where there are none."""
    return (x * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


class Average(nn.Module):
    """The mean of the vectors and one matrix: the baseline of the other networks."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(shape[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(masked_mean(x, word_mask(x)))


class TextCNN(nn.Module):
    """Kim 2014: `width` filters over 3, 4 and 5 words each, ReLU, the maximum over time, one matrix.

    A filter is a matrix on unfolded windows: twice as fast as conv1d on a CPU where sequences are short
    (256 of 30 words, forward and backward: 53 ms instead of 88). A window begins at a word, never at padding.
    """

    spans = (3, 4, 5)

    def __init__(self, shape: Shape, classes: int, width: int = 100) -> None:
        super().__init__()
        self.filters = nn.ModuleList(nn.Linear(span * shape[1], width) for span in self.spans)
        self.output = nn.Linear(len(self.spans) * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        is_long = x.shape[1] > LONG and torch.is_grad_enabled()
        max_over_time = max_over_time_sorted if is_long else max_over_time_at_words
        padding = ~word_mask(x)
        padded = F.pad(x, (0, 0, 0, max(self.spans) - 1))
        features = [
            max_over_time(padded[:, : x.shape[1] + span - 1], padding, filters)
            for span, filters in zip(self.spans, self.filters, strict=True)
        ]
        return self.output(torch.cat(features, dim=1))


class NGramCNN(TextCNN):
    """TextCNN on single words, pairs and triples, which knows where a text begins.

    The first words of a question decide its type, and a maximum over time forgets positions: a vector of
    0.4s, as large as a word's, marks the beginning.
    """

    spans = (1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 0, 1, 0), value=0.4))


LONG = 60  # positions from which on, if there is a backward pass, max_over_time_sorted() is faster


def max_over_time_at_words(
    x: Float[Tensor, "batch padded dim"], padding: Bool[Tensor, "batch length"], filters: nn.Module
) -> Float[Tensor, "batch width"]:
    """Each filter's largest output over the windows of a text; 0 where that is negative, or no word is there.

    Only windows that begin at a word are multiplied: of a batch of questions a third.
    """
    mask = ~padding
    windows = x.unfold(1, x.shape[1] - padding.shape[1] + 1, 1)[mask].flatten(1)
    outputs: Tensor = filters(windows)
    rows = mask.nonzero()[:, :1].expand_as(outputs)
    return outputs.new_zeros(len(x), outputs.shape[1]).scatter_reduce(0, rows, outputs, "amax")


def max_over_time_sorted(
    x: Float[Tensor, "batch padded dim"], padding: Bool[Tensor, "batch length"], filters: nn.Module
) -> Float[Tensor, "batch width"]:
    """The same, in four parts of texts of like length: less padding (128 reviews: 214 ms instead of 328)."""
    margin, lengths = x.shape[1] - padding.shape[1], text_lengths(~padding)
    order = lengths.argsort()
    features = [
        max_over_time_by_argmax(x[part, : length + margin], padding[part, :length], filters)
        for part in order.chunk(4)
        for length in [max(1, int(lengths[part].max()))]
    ]
    return torch.cat(features)[order.argsort()]


def max_over_time_by_argmax(
    x: Float[Tensor, "batch padded dim"], padding: Bool[Tensor, "batch length"], filters: nn.Module
) -> Float[Tensor, "batch width"]:
    """The same: the position of the largest output without a graph, then the output of that window, with one.

    Only that window has a gradient, so that the backward pass is a fraction of the forward one
    (128 of 200 words: 88 ms instead of 178).
    """
    span = x.shape[1] - padding.shape[1] + 1
    weight, bias = filters.parameters()
    with torch.no_grad():
        outputs = F.conv1d(x.transpose(1, 2), weight.unflatten(1, (-1, span)), bias)
        best = outputs.masked_fill(padding.unsqueeze(1), -torch.inf).argmax(dim=2)
    rows = torch.arange(len(x), device=x.device).unsqueeze(1)
    windows = x.unfold(1, span, 1)[rows, best].flatten(2)
    output = (windows * weight).sum(dim=2) + bias
    return output.relu() * ~padding.all(dim=1, keepdim=True)


class Recurrent(nn.Module):
    """A recurrent network in both directions; its last state of each, and one matrix."""

    def __init__(self, body: nn.RNNBase, classes: int) -> None:
        super().__init__()
        self.body = body
        self.output = nn.Linear(2 * body.hidden_size, classes)

    def forward(self, x: Tensor) -> Tensor:
        lengths = text_lengths(word_mask(x)).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN's kernels have no second derivative
            _, state = self.body(packed)
        last = state[0] if isinstance(state, tuple) else state
        return self.output(torch.cat([last[0], last[1]], dim=1))


def text_lengths(mask: Bool[Tensor, "batch length"]) -> Int[Tensor, " batch"]:
    """The length of each sequence without the padding at its end."""
    positions = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask * positions).amax(dim=1)


class BiLSTM(Recurrent):
    """Bidirectional LSTM (Hochreiter and Schmidhuber 1997; Schuster and Paliwal 1997)."""

    def __init__(self, shape: Shape, classes: int, width: int = 64) -> None:
        super().__init__(nn.LSTM(shape[1], width, batch_first=True, bidirectional=True), classes)


class BiRNN(Recurrent):
    """Bidirectional Elman network."""

    def __init__(self, shape: Shape, classes: int, width: int = 64) -> None:
        super().__init__(nn.RNN(shape[1], width, batch_first=True, bidirectional=True), classes)


class TransformerBlock(nn.Module):
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
        """softmax(q kᵀ / √d) v per head, over the positions of the mask (Vaswani et al. 2017, eq. 1)."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(x).chunk(3, dim=2)
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~mask[:, None, None], -1e4)  # finite, since a sequence may hold no word
        return (scores.softmax(dim=3) @ v).transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """A small encoder: a projection with sine positions, `depth` blocks of 4 heads, the mean, one matrix."""

    def __init__(self, shape: Shape, classes: int, depth: int = 1, width: int = 64) -> None:
        super().__init__()
        if width % 4:
            raise ValueError("width must be a multiple of 4, the number of heads")
        self.input = nn.Linear(shape[1], width)
        self.blocks = nn.ModuleList(TransformerBlock(width, 4) for _ in range(depth))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        mask = word_mask(x)
        x = self.input(x)
        x = x + sine_positions(*x.shape[1:]).to(x)
        for block in self.blocks:
            x = block(x, mask)
        return self.output(masked_mean(self.norm(x), mask))


def sine_positions(length: int, width: int) -> Float[Tensor, "{length} {width}"]:
    """sin and cos of the position at geometric frequencies (Vaswani et al. 2017, section 3.5)."""
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(length).unsqueeze(1) * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
