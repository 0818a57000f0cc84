"""Scores as rows: of the terminal's tables, and of the page with initial weights and protocol beside each."""

import math
from collections.abc import Sequence

from distill.report.figures import describe_network, format_duration, format_size, measure_parts
from distill.report.sanitise import JsonDict, shorten, to_count, to_dict, to_number, to_share
from distill.report.snapshots import ReportedSet
from distill.report.verdict import NOT_MEASURED, describe_by_protocol, find_strongest, read_protocols
from distill.sets.distilled import DistilledSet
from distill.sets.scores.rows import ScoreRow, list_rows
from distill.sets.scores.words import OWN_RECIPE, name_split
from distill.student.scores import Report

MISSING = {"key": "", "name": "not measured", "words": "", "spread": "", "protocol": "", "initial": ""}


def format_table(reports: Sequence[Report], title: str) -> str:
    """One line per report under a title."""
    width = max(len(r.name) for r in reports)
    return "\n".join([title, *(f"  {r.name:<{width}}  {r.text()}" for r in reports)])


def print_beside_file(reports: Sequence[Report], title: str, scores: JsonDict) -> None:
    """Print the table, and what the file of the set says of it: by its recipe and by standard protocols."""
    print(format_table(reports, title))
    if scores:
        print(f"in its file: {'; '.join(describe_by_protocol(scores))}")


def list_set_scores(reported: ReportedSet) -> JsonDict:
    """The section of scores: its rows, the split of real data or "" of several, and what is missing."""
    rows = list_scores(reported)
    missing = "" if read_protocols(reported.data.scores) else NOT_MEASURED
    splits = {row["split"] for row in rows}
    split = splits.pop() if len(splits) == 1 else ""
    is_chosen = any(row["key"] == "set" and row["split"] == "held-out" for row in rows)
    return {"rows": rows, "split": split, "chosen": is_chosen, "missing": missing} if rows else {}


def list_scores(reported: ReportedSet) -> list[JsonDict]:
    """A row for the set, for each baseline, and for all real items, where the file has their accuracy."""
    scores = reported.data.scores
    by = {
        word: {**score, "network": shorten(score.get("network", reported.data.network["name"]), 60)}
        for word, score in read_protocols(scores).items()
    }
    rows = [make_row(reported, row) for row in list_rows(reported.data, {**scores, "protocols": by})]
    return [row for row in rows if row]


def name_initial(reported: ReportedSet, n: int | None = None, key: str = "set") -> str:
    """'random initial weights, 20 networks', 'fixed initial weights', or of a baseline '…, 20 draws'."""
    accuracy = to_dict(reported.data.scores.get("accuracy"))
    fixed = accuracy.get("weights") == "fixed" or (
        accuracy.get("weights") is None and reported.data.init_state
    )
    fixed, name = fixed and ":" not in key, key.rpartition(":")[2]
    noun = "network" if name in ("set", "before") else "draw"
    count = "" if n is None or (fixed and n == 1) else f", {n:,} {noun}{'s' * (n != 1)}"
    return ("fixed" if fixed else "random") + " initial weights" + count


def make_row(reported: ReportedSet, row: ScoreRow) -> JsonDict | None:
    """A row: mean ± std over n networks; for one network the interval that the number of items leaves."""
    score, key, test = row.score, shorten(row.key), reported.data.source.get("test")
    mean, std, n = to_share(score.get("mean")), to_share(score.get("std")), to_count(score.get("n"))
    if mean is None:
        return None
    items = to_count(test) if row.split == "test" else None
    low, high, text, spread = mean, mean, f"{100 * mean:.2f} %", ""
    if std is not None and n is not None and n > 1:
        low, high = max(0.0, mean - std), min(1.0, mean + std)
        text, spread = f"{100 * mean:.2f} ± {100 * std:.2f} %", f"mean ± standard deviation, n = {n:,}"
    elif n == 1 and items:
        low, high = compute_wilson(mean, items)
        spread = f"one network; 95 % interval {100 * low:.2f} to {100 * high:.2f} % on {items:,} items"
    return {
        "key": key, "name": shorten(row.name), "mean": mean, "low": low, "high": high, "words": text,
        "spread": spread, "initial": name_initial(reported, n, key), "protocol": shorten(row.protocol),
        "split": row.split,
    }  # fmt: skip


def compute_wilson(p: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share p of n items (Wilson 1927)."""
    z = 1.96**2 / n
    centre, half = p + z / 2, math.sqrt(z * (p * (1 - p) + z / 4))
    return (centre - half) / (1 + z), (centre + half) / (1 + z)


def list_tiles(reported: ReportedSet) -> list[tuple[str, str]]:
    """The figures at the head of the page, each with its words; the strongest baseline among them."""
    data, rows = reported.data, {row["key"]: row for row in list_scores(reported)}
    train, seconds = to_count(data.source.get("train")), to_number(data.provenance.get("seconds"))
    result, full = rows.get("set"), rows.get("all")
    strongest = find_strongest(data.scores, item_type=reported.item_type)
    share = f"{100 * result['mean'] / full['mean']:.1f} %" if result and full and full["mean"] else ""
    tiles = [
        (result["words"], f"{result['split']} accuracy after training on this set") if result else ("", ""),
        (f"{100 * strongest.mean:.2f} %", f"strongest baseline: {strongest.name}") if strongest else ("", ""),
        *list_protocol_tiles(reported),
        (share, "of the accuracy with all real data"),
        (
            f"{len(data.item_tensors['items']):,}" if train else "",
            f"{describe_kind(data)} {reported.item_type} in place of {train or 0:,} real ones",
        ),
        ("" if seconds is None else format_duration(seconds), "time of distilling"),
    ]
    return [tile for tile in tiles if tile[0]]


def describe_kind(data: DistilledSet) -> str:
    """'synthetic', or of codes 'stored (31,360 bytes, decoded to 40)'."""
    return (
        "synthetic" if data.codes is None else f"stored ({data.item_bytes:,} bytes, decoded to {len(data):,})"
    )


def list_protocol_tiles(reported: ReportedSet) -> list[tuple[str, str]]:
    """The accuracy by each standard protocol, and its strongest baseline."""
    tiles, rows = list[tuple[str, str]](), {row["key"]: row for row in list_scores(reported)}
    for word, score in read_protocols(reported.data.scores).items():
        strongest = find_strongest(score, item_type=reported.item_type)
        row = rows[f"{word}:set"]
        tiles.append((row["words"], f"{row['split']} accuracy by the standard protocol {word}"))
        if strongest:
            words = f"strongest baseline by {word}: {strongest.name}"
            tiles.append((f"{100 * strongest.mean:.2f} %", words))
    return tiles


def list_comparison(reported: ReportedSet) -> JsonDict:
    """The cells of a set's row in the table that compares several sets."""
    rows = {row["key"]: row for row in list_scores(reported)}
    baselines = [row for key, row in rows.items() if key not in ("set", "all") and ":" not in key]
    words = read_protocols(reported.data.scores)
    seconds = to_number(reported.data.provenance.get("seconds"))
    return {
        "set": rows.get("set", MISSING),
        "baseline": max(baselines, key=lambda row: row["mean"], default=MISSING),
        "all": rows.get("all", MISSING),
        "standard": [(word, rows[f"{word}:set"], find_protocol_baseline(rows, word)) for word in words],
        "network": describe_network(reported.data),
        "initial": rows["set"]["initial"] if "set" in rows else name_initial(reported),
        "protocol": rows["set"]["protocol"] if "set" in rows else OWN_RECIPE,
        "split": name_split(to_dict(reported.data.scores.get("accuracy"))),
        "time": "" if seconds is None else format_duration(seconds),
        "size": format_size(sum(measure_parts(reported.data).values())),
    }


def find_protocol_baseline(rows: dict[str, JsonDict], word: str) -> JsonDict:
    """The row of the strongest baseline by a standard protocol."""
    baselines = [row for key, row in rows.items() if key.startswith(f"{word}:") and key != f"{word}:set"]
    return max(baselines, key=lambda row: float(row["mean"]), default=MISSING)
