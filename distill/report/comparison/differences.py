"""How far a set is above the strongest baseline in each cell of a comparison, for page and picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from distill.report.sanitise import JsonDict, shorten, to_count, to_dict, to_share
from distill.report.snapshots import ReportedSet
from distill.student.comparison.table import BASELINE, SET, Row, find_strongest

LEVELS = (1, 5, 15)  # points from which a cell has the next colour
MOST = 500  # rows of a file that are read, and networks and protocols that are drawn


@dataclass(frozen=True)
class Cell:
    """A set's accuracy and the strongest baseline's, of one protocol and network, as shares."""

    protocol: str
    network: str
    score: float
    baseline: float
    name: str

    @property
    def points(self) -> float:
        """The difference in percentage points."""
        return 100 * (self.score - self.baseline)

    @property
    def level(self) -> int:
        """From -3, far below the baseline, to 3, far above."""
        size = sum(abs(self.points) >= least for least in LEVELS)
        return size if self.points > 0 else -size

    @property
    def words(self) -> str:
        """'91.2 against 79.0 (means)': what the difference is of, in percent."""
        return f"{100 * self.score:.1f} against {100 * self.baseline:.1f} ({self.name})"


def read_rows(comparison: JsonDict | None) -> list[Row]:
    """The rows of a compare.json that are whole; a file may hold anything."""
    rows = to_dict(comparison).get("rows")
    read = [
        {
            **{key: shorten(row.get(key), 60) for key in ("protocol", "network", "items", "kind")},
            "mean": to_share(row.get("mean")), "n": to_count(row.get("n")),
        }
        for row in map(to_dict, rows[:MOST] if isinstance(rows, list) else ())
    ]  # fmt: skip
    return [row for row in read if row["mean"] is not None and row["kind"] in (SET, BASELINE)]


def list_differences(rows: Sequence[Row]) -> list[Cell]:
    """A cell per protocol and network that has the set and a baseline."""
    cells = []
    for row in rows:
        strongest = find_strongest(rows, row["protocol"], row["network"]) if row["kind"] == SET else None
        if strongest:
            means = (row["mean"], strongest["mean"])
            cells.append(Cell(row["protocol"], row["network"], *means, strongest["items"]))
    return cells


def list_axes(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """(networks, protocols) in the order of the cells."""
    return list(dict.fromkeys(c.network for c in cells)), list(dict.fromkeys(c.protocol for c in cells))


def describe_comparison(reported: ReportedSet) -> JsonDict:
    """The section of the comparison: protocols, and per network a cell for each of them or None."""
    cells = list_differences(read_rows(reported.comparison))
    networks, protocols = list_axes(cells)
    places = {(c.network, c.protocol): c for c in cells}
    rows = [(network, [places.get((network, protocol)) for protocol in protocols]) for network in networks]
    above = sum(cell.points > 0 for cell in cells)
    return {"protocols": protocols, "rows": rows, "above": above, "count": len(cells)} if cells else {}
