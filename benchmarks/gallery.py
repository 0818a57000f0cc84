"""The zoo as pictures, for the documentation: a set's items over their labels, and what its file says."""

import base64
import io
from html import escape
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.cases import markdown
from benchmarks.zoo import ZOO, command, describe_set, origin
from distill.sets.distilled import DistilledSet

COLUMNS, CELL, IMAGE, BARS = (
    10,
    64,
    56,
    26,
)  # per row; pixels: a cell's width, an image's side, a label's height


def pixels(data: DistilledSet) -> Tensor:
    """The items (n, channels, height, width) as pixels in [0, 1], each stretched to its own range.

    Learned pixels leave the range of real ones, so that the stretch is what shows them.
    """
    mean = torch.tensor(data.source["mean"]).view(1, -1, 1, 1)
    std = torch.tensor(data.source["std"]).view(1, -1, 1, 1)
    x = data.items * std + mean
    zca = data.source.get("zca")
    if zca is not None:  # (pixels - mean) · matrix, of a flat image
        flat = data.items.flatten(1) @ torch.linalg.pinv(zca["matrix"]) + zca["mean"].flatten()
        x = flat.view_as(data.items)
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - low) / (high - low).clamp(min=1e-6)


def png(image: Tensor) -> str:
    """An image (channels, height, width) in [0, 1] as a data URI."""
    array = (255 * image).round().byte().movedim(0, -1).squeeze(-1).numpy()
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def bars(label: Tensor, width: int, height: int) -> str:
    """A label as bars in a box of this size: blue above zero, red below."""
    top, bottom = max(0.0, float(label.max())), min(0.0, float(label.min()))
    scale, step = height / max(top - bottom, 1e-6), width / len(label)
    rects = []
    for k, value in enumerate(label.tolist()):
        y, size = (top - max(value, 0.0)) * scale, abs(value) * scale
        css_class = "plus" if value >= 0 else "minus"
        rects.append(
            f'<rect class="{css_class}" x="{k * step:.1f}" y="{y:.1f}"'
            f' width="{step - 0.8:.1f}" height="{size:.1f}"/>'
        )
    return "".join(rects) + f'<path class="zero" d="M0 {top * scale:.1f}h{width}"/>'


def picture(data: DistilledSet) -> str:
    """All images of a set, each over the bars of its label, as one SVG."""
    classes, rows = data.source["classes"], -(-len(data) // COLUMNS)
    row, cells = IMAGE + BARS + 22, []
    for i, (image, label) in enumerate(zip(pixels(data), data.labels, strict=True)):
        best = int(label.argmax())
        x, y = CELL * (i % COLUMNS), row * (i // COLUMNS)
        title = escape(f"item {i + 1}: most of class {classes[best]} ({label[best]:.2f})")
        cells.append(
            f'<g transform="translate({x} {y})"><title>{title}</title>'
            f'<text x="{IMAGE / 2:g}" y="9" text-anchor="middle">{escape(str(classes[best]))}</text>'
            f'<image y="13" width="{IMAGE}" height="{IMAGE}" href="{png(image)}"/>'
            f'<g transform="translate(0 {IMAGE + 16})">{bars(label, IMAGE, BARS)}</g></g>'
        )
    title = escape(f"{len(data)} learned images of {data.source['name']}, each over its label")
    size = f"0 0 {CELL * min(len(data), COLUMNS)} {row * rows}"
    width = CELL * min(len(data), COLUMNS)
    return (
        f'<svg class="items" style="max-width:{width}px" viewBox="{size}" role="img" aria-label="{title}" '
        f"data-search-exclude>{''.join(cells)}</svg>"
    )


def sentences(data: DistilledSet) -> str:
    """The learned sentences of a set as a table: the nearest word of each position, and the largest class."""
    rows = [
        [" ".join(words), str(data.source["classes"][int(label.argmax())])]
        for words, label in zip((data.text or {})["nearest"], data.labels, strict=True)
    ]
    return markdown(["nearest words", "most of class"], rows)


def card(path: Path) -> str:
    """A set's part of the gallery, as Markdown with an SVG in it."""
    data = DistilledSet.load(path)
    items = sentences(data) if data.text else picture(data)
    table = markdown(["", ""], [[name, value] for name, value in describe_set(path, data).items()])
    origin_text = f"Made on {origin(data)}, by\n\n```text\n{command(data)}\n```"
    use = f"```sh\ndistill student zoo/{path.name}\n```"
    return f"## {path.stem}\n\n{items}\n\n{table}\n\n{use}\n\n{origin_text}"


def page(paths: list[Path] | None = None) -> str:
    """The cards of all sets, or of these."""
    return "\n\n".join(card(path) for path in paths or sorted(ZOO.glob("*.pt")))
