"""Pictures of a run folder: images.png or sentences.png with sentences.txt, and curve.png."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.data.encoders.personal import list_count_lines
from distill.report.charts import (
    Axis,
    group_values,
    linear_axis,
    read_accuracies,
    read_losses,
    step_axis,
    value_axis,
)
from distill.report.items import join_channels
from distill.report.sanitise import shorten
from distill.sets.labels.words import describe_label
from distill.sets.storage import write_file, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

MOST_IMAGES, MOST_SENTENCES = 60, 30  # drawn in a picture
MOST_BARS, MOST_LETTERS = 50, 20  # of a label below an image 120 pixels wide, and of a class's name above it
MOST_ROWS, FEW_ROWS = 20, 10  # classes of a sentence's label that are all listed; else the largest values
LEAST = 0.005  # of a value that stands above an image: less is written as 0.00
POSITIVE, NEGATIVE, GRID = "#2a6fbb", "#c8553d", "#dddddd"
DPI = 120


def save_pictures(
    folder: Path, items: "Tensor", labels: "Tensor", source: dict[str, Any], text: dict[str, Any] | None
) -> None:
    """The learned items as a picture: images.png; or sentences.png, with sentences.txt beside it."""
    if text is None:
        save_images(folder / "images.png", items, labels, source)
        return
    save_sentences(folder / "sentences.png", labels, source["classes"], text)
    list_lines = list_real if "sentences" in text else list_mixtures if "encoder" in text else list_neighbours
    lines = [*list_lines(labels, source["classes"], text), *list_count_lines(text)]
    write_text(folder / "sentences.txt", "\n".join(lines) + "\n")


def save_figure(figure: "Figure", path: Path, **options: Any) -> None:
    """Write a figure as PNG, whole or not at all. Raises SetError."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png", dpi=DPI, **options)
    write_file(path, memory.getbuffer())


# Sentences


def list_sentences(labels: "Tensor", source: dict[str, Any], text: dict[str, Any] | None) -> list[str]:
    """A line per learned sentence for a terminal: its nearest words and its label; no lines for images.

    Of more than 30 sentences the first are listed, which the last line says.
    """
    if text is None:
        return []
    count, classes = min(MOST_SENTENCES, len(labels)), source["classes"]
    pairs = zip(join_nearest(text)[:count], labels[:count], strict=True)
    lines = [f"  {i}. {words}  [{describe_label(y, classes)}]" for i, (words, y) in enumerate(pairs, 1)]
    more = [f"  … and {len(labels) - count:,} more: sentences.txt has all"] if count < len(labels) else []
    return lines + more


def join_nearest(text: dict[str, Any]) -> list[str]:
    """Per item its nearest words as one sentence; of an embedding, the nearest sentence."""
    return [words[0] if "encoder" in text else " ".join(words) for words in text["nearest"]]


def list_neighbours(labels: "Tensor", classes: Sequence[str], text: dict[str, Any]) -> list[str]:
    """Up to 20 values of an item's label, then a line per position: the words nearest by both distances."""
    neighbours, lines = text["neighbours"], []
    for i, label in enumerate(labels):
        lines.append(f"{i + 1}. {describe_label(label, classes, MOST_ROWS)}")
        rows = [[" ".join(words) for words in neighbours[name][i]] for name in ("cosine", "euclidean")]
        width = max(map(len, rows[0]))
        lines += [f"   {p:>3}  {a:<{width}}  | {b}" for p, (a, b) in enumerate(zip(*rows, strict=True), 1)]
    return lines


def list_real(labels: "Tensor", classes: Sequence[str], text: dict[str, Any]) -> list[str]:
    """Per real sentence its label and the sentence in full."""
    return [
        f"{i}. {describe_label(label, classes, len(classes))}\n   {sentence}"
        for i, (label, sentence) in enumerate(zip(labels, text["sentences"], strict=True), 1)
    ]


def list_mixtures(labels: "Tensor", classes: Sequence[str], text: dict[str, Any]) -> list[str]:
    """Per embedding its label, the nearest real sentences, and those whose weighted sum is nearest to it."""
    lines = []
    for i, label in enumerate(labels):
        lines.append(f"{i + 1}. {describe_label(label, classes, len(classes))}")
        lines.append("   nearest real sentences, by cosine similarity:")
        pairs = zip(text["similarity"][i], text["nearest"][i], strict=True)
        lines += [f"   {value:>6.3f}  {sentence}" for value, sentence in pairs]
        lines.append(f"   as a sum of real sentences, which explains {100 * text['explained'][i]:.0f} %:")
        parts = zip(text["weights"][i], text["mixture"][i], strict=True)
        lines += [f"   {weight:>6.3f}  {sentence}" for weight, sentence in parts]
    return lines


def save_sentences(path: Path, labels: "Tensor", classes: Sequence[str], text: dict[str, Any]) -> None:
    """A row for each of the first 30 sentences: the nearest word of each position, and its label's bars."""
    import textwrap

    sentences = join_nearest(text)[:MOST_SENTENCES]
    wrapped = [textwrap.fill(sentence.replace("$", r"\$"), 60) for sentence in sentences]
    bars = len(classes) if len(classes) <= MOST_ROWS else FEW_ROWS
    heights = [max(3, w.count("\n") + 1, bars * 0.8) for w in wrapped]
    figure = make_figure(9, 0.25 * sum(heights) + 0.3 * len(heights))
    grid = figure.add_gridspec(len(sentences), 2, width_ratios=[3, 1], height_ratios=heights, hspace=0.25)
    for i, sentence in enumerate(wrapped):
        left, right = (figure.add_subplot(grid[i, k]) for k in (0, 1))
        left.set_axis_off()
        left.text(0, 0.5, f"{i + 1}.", va="center", fontsize=8, color="#777777")
        left.text(0.05, 0.5, sentence, va="center", fontsize=8, family="monospace")
        draw_sideways_label(right, labels[i].detach().cpu(), classes)
    if len(sentences) < len(text["nearest"]):
        count = f"the first {len(sentences)} of {len(text['nearest']):,} sentences"
        figure.suptitle(count, y=0.88 + 0.1 / figure.get_figheight(), va="bottom", fontsize=10)
    save_figure(figure, path, bbox_inches="tight")


def draw_sideways_label(axes: Any, label: "Tensor", classes: Sequence[str]) -> None:
    """A label as horizontal bars with the names of the classes; of more than 20 classes the ten largest."""
    if len(label) > MOST_ROWS:
        largest = label.abs().topk(FEW_ROWS).indices
        label, classes = label[largest], [classes[k] for k in largest.tolist()]
    places = range(len(label))
    axes.barh(places, label.numpy(), color=choose_colours(label))
    axes.axvline(0, color="black", linewidth=0.5)
    axes.set_yticks(places, list(map(name_class, classes)))
    axes.invert_yaxis()
    axes.tick_params(labelsize=6, length=0)


def name_class(name: str) -> str:
    """A class's name cut short; its dollar signs begin no formula."""
    return shorten(name, MOST_LETTERS).replace("$", r"\$")


def choose_colours(label: "Tensor") -> list[str]:
    """Blue for values above zero, red for values below."""
    return [POSITIVE if v >= 0 else NEGATIVE for v in label]


# Images


def save_images(path: Path, items: "Tensor", labels: "Tensor", source: dict[str, Any]) -> None:
    """A grid: each image with its label's bars below and its three largest classes as title.

    Of more than 60 images the first are drawn, which is said above them.
    """
    from distill.data.whiten import to_pixels

    count, classes = min(MOST_IMAGES, len(items)), source["classes"]
    images, labels = join_channels(to_pixels(items[:count].detach(), source)).cpu(), labels.detach().cpu()
    columns = min(count, 10)
    rows = -(-count // columns)
    figure = make_figure(1.5 * columns, 2.7 * rows)
    grid = figure.add_gridspec(3 * rows, columns, height_ratios=[3, 1, 1.2] * rows, hspace=0.1, wspace=0.15)
    for i in range(count):
        row, column = divmod(i, columns)
        image, bars = (figure.add_subplot(grid[3 * row + k, column]) for k in (0, 1))  # 2 is space
        draw_image(image, images[i], labels[i], classes)
        draw_label(bars, labels[i])
    if count < len(items):
        top = 0.88 + 0.45 / figure.get_figheight()  # above the three lines of the images' titles
        figure.suptitle(f"the first {count} of {len(items):,} images", y=top, va="bottom", fontsize=10)
    save_figure(figure, path, bbox_inches="tight")


def draw_image(axes: Any, pixels: "Tensor", label: "Tensor", classes: Sequence[str]) -> None:
    """Pixels stretched to their own range, since learned ones leave [0, 1]."""
    low, high = pixels.min(), pixels.max()
    stretched = ((pixels - low) / (high - low).clamp(min=1e-6)).movedim(0, -1)
    axes.imshow(stretched.squeeze(-1).numpy(), cmap="gray")
    axes.set_axis_off()
    top = label.topk(min(3, len(label)))
    largest = zip(top.values.tolist(), top.indices.tolist(), strict=True)
    names = [f"{name_class(classes[k])}: {v:.2f}" for v, k in largest if abs(v) >= LEAST]
    axes.set_title("\n".join(names), fontsize=6)


def draw_label(axes: Any, label: "Tensor") -> None:
    """A label as upright bars over the numbers of the classes, or over groups of them."""
    bars = label.new_tensor(group_values(label.tolist(), MOST_BARS))
    width = 0.8 if len(bars) == len(label) else 1.0  # no bar is thinner than a pixel
    axes.bar(range(len(bars)), bars.numpy(), width, color=choose_colours(bars))
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set_xticks(range(len(label)) if len(label) <= 10 else [])
    axes.tick_params(labelsize=5, length=0)
    axes.set_yticks([])


# Curves


def save_curve(path: Path, log: Sequence[dict[str, Any]]) -> None:
    """curve.png: outer loss (mean of 20 records) and held-out accuracy against outer steps."""
    figure = make_figure(8, 3.2)
    left, right = figure.subplots(1, 2)
    losses = read_losses(log)
    accuracies = [(step, 100 * share) for step, share in read_accuracies(log)]
    draw_line(left, losses, value_axis([v for _, v in losses] or [0.0]), POSITIVE)
    left.set_title("loss on real data, mean of 20 steps", fontsize=10)
    left.set_ylabel("outer loss (log scale)" if left.get_yscale() == "log" else "outer loss")
    draw_line(right, accuracies, linear_axis(*find_range([v for _, v in accuracies]), unit=" %"), NEGATIVE)
    right.set_title("accuracy on held-out data", fontsize=10)
    right.set_ylabel("accuracy (%)")
    figure.tight_layout()
    save_figure(figure, path)


def find_range(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value; 0 and 100 without values."""
    return (min(values), max(values)) if values else (0.0, 100.0)


def draw_line(axes: Any, points: Sequence[tuple[int, float]], heights: Axis, colour: str) -> None:
    """Points (outer step, value) as a line, with the ticks of the page's charts."""
    steps = step_axis(max((step for step, _ in points), default=1) or 1)
    marker = "o" if len(points) < 2 else ""
    axes.plot([step for step, _ in points], [value for _, value in points], color=colour, marker=marker)
    axes.set_yscale("log" if heights.log else "linear")
    axes.minorticks_off()
    axes.set_yticks(heights.ticks, heights.labels)
    axes.set_xticks(steps.ticks, steps.labels)
    axes.set_ylim(heights.low, heights.high)
    axes.set_xlim(0, 1.02 * steps.high)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.set_xlabel("outer step")


def make_figure(width: float, height: float) -> "Figure":
    """A figure of width × height inches that needs no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))
