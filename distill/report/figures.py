"""What a set is worth, what it cost and how it was made, as a table's rows."""

import math
from typing import Any

from distill.report import charts
from distill.report.sanitise import Facts, count, facts, number, share, short, tame
from distill.sets.distilled import DistilledSet

BASELINES = {"random-real": "random real {}", "k-means": "k-means centres of {}"}
Row = tuple[str, str]


def kind(data: DistilledSet) -> str:
    """What a reader calls the items."""
    if data.text is not None:
        return "sentences"
    return "images" if data.items.ndim == 4 else "items"


# What it is worth


def scores(data: DistilledSet) -> list[Facts]:
    """The accuracies that the file tells: of the set, of as many other items, of all real ones."""
    n, items, test = len(data), kind(data), count(data.source.get("test"))
    train = count(data.source.get("train"))
    rows = [("set", f"these {n:,} distilled {items}", facts(data.scores.get("accuracy")))]
    for key, found in facts(data.scores.get("baselines")).items():
        name = f"{n:,} {BASELINES[key].format(items)}" if key in BASELINES else f"the trained network, {key}"
        rows.append((key, name, facts(found)))
    everything = f"all {train:,} real {items}" if train else f"all real {items}"
    rows.append(("all", everything, {"mean": data.scores.get("full_data")}))
    return [row for key, name, found in rows if (row := score(key, name, found, test))]


def score(key: str, name: str, found: Facts, test: int | None) -> Facts | None:
    """A row: mean ± std over n networks; for one network the interval that so many test items leave."""
    mean, std, n = share(found.get("mean")), share(found.get("std")), count(found.get("n"))
    if mean is None:
        return None
    low, high, said, spread = mean, mean, f"{100 * mean:.2f} %", ""
    if std is not None and n is not None and n > 1:
        low, high = max(0.0, mean - std), min(1.0, mean + std)
        said, spread = f"{100 * mean:.2f} ± {100 * std:.2f} %", f"standard deviation of {n:,} networks"
    elif n == 1 and test:
        low, high = wilson(mean, test)
        spread = f"95 % interval {100 * low:.2f} to {100 * high:.2f} %, one network on {test:,} items"
    return {"key": key, "name": name, "mean": mean, "low": low, "high": high, "words": said, "spread": spread}


def wilson(p: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share p of n items (Wilson 1927)."""
    z = 1.96**2 / n
    centre, half = p + z / 2, math.sqrt(z * (p * (1 - p) + z / 4))
    return (centre - half) / (1 + z), (centre + half) / (1 + z)


def tiles(data: DistilledSet) -> list[Row]:
    """The figures at the head of the page, each with its words."""
    found = {row["key"]: row for row in scores(data)}
    train, seconds = count(data.source.get("train")), number(data.provenance.get("seconds"))
    own, other, all_ = (found.get(key) for key in ("set", "random-real", "all"))
    of_all = f"{100 * own['mean'] / all_['mean']:.1f} %" if own and all_ and all_["mean"] else ""
    made = [
        (own["words"] if own else "", "test accuracy"),
        (other["words"] if other else "", other["name"] if other else ""),
        (of_all, "of what all data give"),
        (f"{len(data):,} for {train:,}" if train else "", kind(data)),
        (figure(seconds, duration), "of distilling"),
    ]
    return [row for row in made if row[0]]


NOTHING = {"key": "", "words": "", "spread": ""}


def compared(data: DistilledSet) -> Facts:
    """The cells of a set's row where several stand side by side."""
    found = {row["key"]: row for row in scores(data)}
    return {
        "set": found.get("set", NOTHING),
        "random": found.get("random-real", NOTHING),
        "all": found.get("all", NOTHING),
        "network": recipe(data)[0][1],
        "time": figure(number(data.provenance.get("seconds")), duration),
        "size": size(held(data)[LEARNED]),
    }


# What it cost


def cost(data: DistilledSet) -> list[Row]:
    """Time, outer steps, memory, and the bytes of the set against those of the real data."""
    said = data.provenance
    rows = [
        ("distilling", figure(number(said.get("seconds")), duration)),
        ("outer steps", steps(said)),
        ("peak memory of the process", figure(number(said.get("peak_mib")), "{:,.0f} MiB, resident".format)),
        ("the set", sizes(data)),
        ("the real data", real_sizes(data)),
    ]
    return [row for row in rows if row[1]]


def figure(value: float | None, words: Any) -> str:
    return "" if value is None else str(words(value))


def steps(said: Facts) -> str:
    """'2,003, the set is that of step 1,800, 3 skipped'."""
    taken, chosen = count(said.get("outer_steps")), count(said.get("chosen_step"))
    if taken is None:
        return ""
    words = [f"{taken:,}"] + ([] if chosen is None else [f"exported from step {chosen:,}"])
    pairs = (("skipped", "skipped"), ("rollbacks", "rolled back"))
    return ", ".join(words + [f"{n:,} {word}" for key, word in pairs if (n := count(said.get(key)))])


def sizes(data: DistilledSet) -> str:
    """The bytes of the set's tensors: what was learned, and what has to go with it."""
    parts = {name: f"{size(bytes_)} of {name}" for name, bytes_ in held(data).items() if bytes_}
    first, *others = parts.values()
    return first + (f", beside {' and '.join(others)}" if others else "")


def held(data: DistilledSet) -> dict[str, int]:
    """The bytes of a set's tensors: what was learned, the initial weights that go with it, the whitening."""
    states = data.init_state if isinstance(data.init_state, list) else [data.init_state or {}]
    return {
        LEARNED: sum(t.nbytes for t in (data.items, data.labels, data.lrs, data.schedule)),
        "initial weights": sum(w.nbytes for state in states for w in state.values()),
        "whitening": sum(data.source["zca"][name].nbytes for name in WHITENING if data.source.get("zca")),
    }


LEARNED, WHITENING = "items, labels, rates and schedule", ("mean", "matrix")


def real_sizes(data: DistilledSet) -> str:
    """The bytes of the real training data and how they are counted, and how many times the set's they are."""
    train, parts = count(data.source.get("train")), held(data)
    if not train:
        return ""
    if data.text is None:
        bytes_ = train * data.items[0].numel()
        words = f"{train:,} {kind(data)} of {data.items[0].numel():,} numbers, a byte each"
    else:
        longest = count(data.text.get("max_length")) or 0
        bytes_ = 4 * train * longest
        words = f"{train:,} texts as {longest:,} word numbers of 4 bytes each, without the word vectors"
    times = f"{bytes_ / parts[LEARNED]:,.0f} times what was learned"
    if sum(parts.values()) > parts[LEARNED]:
        times += f", {bytes_ / sum(parts.values()):,.1f} times all that the set carries"
    return f"{size(bytes_)} ({words}): {times}"


def size(bytes_: float) -> str:
    """'37 kB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if bytes_ < 1000 or unit == "GB":
            break
        bytes_ /= 1000
    return f"{bytes_:.0f} {unit}" if bytes_ >= 10 or unit == "bytes" else f"{bytes_:.1f} {unit}"


def duration(seconds: float) -> str:
    """'30 min 26 s'."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.3g} s"


# How it was made


def recipe(data: DistilledSet) -> list[Row]:
    """What a student does with the set."""
    inner, network = data.inner, data.network
    arguments = ", ".join(f"{k} {short(v)}" for k, v in facts(network.get("arguments")).items())
    extra = [f"{k} {v:g}" for k, v in facts(inner).items() if number(v)]
    init = "known, in the file" if data.init_state else "random, networks never seen"
    return [
        ("network", short(network["name"]) + (f" ({arguments})" if arguments else "")),
        ("initial weights", f"{init} ({short(network.get('scheme', 'scheme not told'))})"),
        ("inner rule", ", ".join([short(inner["rule"]), *extra])),
        ("inner loss", short(inner["loss"])),
        ("inner steps", f"{len(data.schedule):,}, each on {data.schedule.shape[1]:,} of {len(data):,}"),
        ("augmentation", short(inner.get("augment") or "none")),
    ]


def rates(data: DistilledSet) -> Facts:
    """The learning rate of each inner step as a drawing and in words."""
    rows = tame(data.lrs).reshape(len(data.lrs), -1).tolist()
    means, strokes = charts.rates(rows)
    each = [sum(row) / len(row) for row in rows]
    spread = f", the mean of {len(rows[0])} parameter tensors" if len(rows[0]) > 1 else ""
    said = f"{len(rows):,} steps{spread}: from {each[0]:.3g} at the first to {each[-1]:.3g} at the last"
    return {
        "means": means, "strokes": strokes if spread else "", "columns": min(len(rows), charts.COLUMNS),
        "top": f"{max(max(row) for row in rows):.3g}", "words": said, "list": [f"{v:.3g}" for v in each],
    }  # fmt: skip


def origin(data: DistilledSet) -> Facts:
    """The command, and the rows that say when and where."""
    said = data.provenance
    versions = ", ".join(f"{k} {short(v)}" for k, v in facts(said.get("versions")).items())
    rows = [("seed", said.get("seed")), ("versions", versions), ("made", said.get("created"))]
    command = said.get("command")
    return {
        "command": short(command, 5000) if isinstance(command, str) else "",
        "rows": [(name, short(v)) for name, v in rows if isinstance(v, (str, int)) and v != ""],
        "settings": [(k, short(v)) for k, v in facts(said.get("config")).items() if v is not None][:100],
    }
