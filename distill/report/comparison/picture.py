"""The heat map of a comparison as a PNG: networks down, protocols across."""

from collections.abc import Sequence
from pathlib import Path

from distill.report.comparison.differences import list_axes, list_differences
from distill.report.pictures import NEGATIVE, POSITIVE, make_figure, save_figure
from distill.student.comparison.table import Row

WIDEST = 20.0  # points at which a colour is full, unless a cell has more


def save_heat_map(path: Path, rows: Sequence[Row]) -> None:
    """Write the points by which the set is above the strongest baseline of each cell. Raises SetError.

    Blue is above, red below; under the number stand the set's accuracy and the baseline's. Without a baseline
    nothing is written.
    """
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    cells = list_differences(rows)
    if not cells:
        return
    networks, protocols = list_axes(cells)
    values = np.full((len(networks), len(protocols)), np.nan)
    for cell in cells:
        values[networks.index(cell.network), protocols.index(cell.protocol)] = cell.points
    limit = max(WIDEST, float(np.nanmax(np.abs(values))))
    figure = make_figure(2.2 + 1.9 * len(protocols), 1.3 + 0.85 * len(networks))
    axes = figure.add_subplot()
    colours = LinearSegmentedColormap.from_list("points", [NEGATIVE, "#ffffff", POSITIVE]).with_extremes(
        bad="#eeeeee"
    )
    axes.imshow(values, cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    for cell in cells:
        place = (protocols.index(cell.protocol), networks.index(cell.network))
        ink = "white" if abs(cell.points) > 0.85 * limit else "black"
        axes.text(place[0], place[1] - 0.08, f"{cell.points:+.1f}", ha="center", va="bottom", color=ink)
        detail = f"{100 * cell.score:.1f} / {100 * cell.baseline:.1f}\n{cell.name}"
        axes.text(*place, detail, ha="center", va="top", fontsize=7, color=ink)
    axes.set_xticks(range(len(protocols)), protocols)
    axes.set_yticks(range(len(networks)), networks)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("set minus strongest baseline,\npoints of test accuracy (set / baseline)", fontsize=9)
    figure.tight_layout()
    save_figure(figure, path)
