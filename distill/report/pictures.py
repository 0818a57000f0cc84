"""Report: scores as mean, std and n; tables in words; pictures and the curve of a run."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.sets.labels import largest

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


def shown(
    folder: Path, items: "Tensor", labels: "Tensor", source: dict[str, Any], text: dict[str, Any] | None
) -> None:
    """The learned items as a picture: images.png; or sentences.png, with sentences.txt beside it."""
    if text is None:
        picture(folder / "images.png", items, labels, source)
        return
    sentences(folder / "sentences.png", labels, source["classes"], text)
    words = "\n".join(neighbours(labels, source["classes"], text))
    (folder / "sentences.txt").write_text(words + "\n", encoding="utf-8")


def read_aloud(labels: "Tensor", source: dict[str, Any], text: dict[str, Any] | None) -> list[str]:
    """What the terminal can show of learned items: of sentences the nearest words, of images nothing."""
    if text is None:
        return []
    classes = source["classes"]
    return [
        f"  {i + 1}. {' '.join(words)}  [{largest(label, classes)}]"
        for i, (words, label) in enumerate(zip(text["nearest"], labels, strict=True))
    ]


def neighbours(labels: "Tensor", classes: Sequence[str], text: dict[str, Any]) -> list[str]:
    """Per item its label, then a line per position: the nearest words by cosine and by Euclidean distance."""
    near, lines = text["neighbours"], []
    for i, label in enumerate(labels):
        lines.append(f"{i + 1}. {largest(label, classes, len(classes))}")
        rows = [[" ".join(words) for words in near[kind][i]] for kind in ("cosine", "euclidean")]
        width = max(map(len, rows[0]))
        lines += [f"   {p:>3}  {a:<{width}}  | {b}" for p, (a, b) in enumerate(zip(*rows, strict=True), 1)]
    return lines


def sentences(
    path: Path, labels: "Tensor", classes: Sequence[str], text: dict[str, Any], most: int = 30
) -> None:
    """A row per learned sentence: the nearest word of each position, and its label's bars."""
    import textwrap

    spoken = text["nearest"][:most]
    wrapped = [textwrap.fill(" ".join(words).replace("$", r"\$"), 60) for words in spoken]
    heights = [max(3, w.count("\n") + 1, len(classes) * 0.8) for w in wrapped]
    figure = canvas(9, 0.25 * sum(heights) + 0.3 * len(heights))
    grid = figure.add_gridspec(len(spoken), 2, width_ratios=[3, 1], height_ratios=heights, hspace=0.25)
    for i, words in enumerate(wrapped):
        left, right = (figure.add_subplot(grid[i, k]) for k in (0, 1))
        left.set_axis_off()
        left.text(0, 0.5, f"{i + 1}.", va="center", fontsize=8, color="#777777")
        left.text(0.05, 0.5, words, va="center", fontsize=8, family="monospace")
        draw_lying(right, labels[i].detach().cpu(), classes)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def draw_lying(axes: Any, label: "Tensor", classes: Sequence[str]) -> None:
    """A label as bars that lie, each with its class's name."""
    places = range(len(label))
    axes.barh(places, label.numpy(), color=colours(label))
    axes.axvline(0, color="black", linewidth=0.5)
    axes.set_yticks(places, [str(c) for c in classes] if len(classes) <= 20 else [""] * len(classes))
    axes.invert_yaxis()
    axes.tick_params(labelsize=6, length=0)


def colours(label: "Tensor") -> list[str]:
    """Blue for what a label calls for, red for what it speaks against."""
    return ["#2a6fbb" if v >= 0 else "#c8553d" for v in label]


def picture(
    path: Path,
    items: "Tensor",
    labels: "Tensor",
    source: dict[str, Any],
    shown: int = 60,
) -> None:
    """A grid: each image with its label's bars below and its three largest classes as title."""
    from distill.data.whiten import to_pixels

    shown, classes = min(shown, len(items)), source["classes"]
    images, labels = to_pixels(items[:shown].detach(), source).cpu(), labels.detach().cpu()
    columns = min(shown, 10)
    rows = -(-shown // columns)
    figure = canvas(1.5 * columns, 2.7 * rows)
    grid = figure.add_gridspec(3 * rows, columns, height_ratios=[3, 1, 1.2] * rows, hspace=0.1, wspace=0.15)
    for i in range(shown):
        row, column = divmod(i, columns)
        image, bars = (figure.add_subplot(grid[3 * row + k, column]) for k in (0, 1))  # the third row is air
        draw_item(image, images[i], labels[i], classes)
        draw_label(bars, labels[i])
    figure.savefig(path, dpi=120, bbox_inches="tight")


def draw_item(axes: Any, pixels: "Tensor", label: "Tensor", classes: Sequence[str]) -> None:
    """Pixels stretched to their own range, since learned ones leave [0, 1]."""
    low, high = pixels.min(), pixels.max()
    stretched = ((pixels - low) / (high - low).clamp(min=1e-6)).movedim(0, -1)
    axes.imshow(stretched.squeeze(-1).numpy(), cmap="gray")
    axes.set_axis_off()
    top = label.topk(min(3, len(label)))
    names = [f"{classes[k]} {v:.2f}" for v, k in zip(top.values, top.indices.tolist(), strict=True)]
    axes.set_title("\n".join(names), fontsize=6)


def draw_label(axes: Any, label: "Tensor") -> None:
    axes.bar(range(len(label)), label.numpy(), color=colours(label))
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set_xticks(range(len(label)) if len(label) <= 10 else [])
    axes.tick_params(labelsize=5, length=0)
    axes.set_yticks([])


def curve(path: Path, log: Sequence[dict[str, Any]]) -> None:
    """Outer loss (smoothed over 20 records) and held-out accuracy against outer steps."""
    figure = canvas(7, 3.2)
    left, right = figure.subplots(1, 2)
    losses = [(r["step"], r["loss"]) for r in log if r.get("loss") is not None]
    steps, smooth = [s for s, _ in losses], running_mean([v for _, v in losses], 20)
    left.plot(steps, smooth, color="#2a6fbb")
    left.set(xlabel="outer step", ylabel="outer loss", yscale="log")
    checked = [(r["step"], 100 * r["validation"]) for r in log if "validation" in r]
    right.plot([s for s, _ in checked], [v for _, v in checked], color="#c8553d")
    right.set(xlabel="outer step", ylabel="held-out accuracy, %")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of up to `window` values ending at each place."""
    return [statistics.fmean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))]


def canvas(width: float, height: float) -> "Figure":
    """A figure of width × height inches that needs no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))
