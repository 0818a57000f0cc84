"""The zoo's page from the zoo's files: `python -m benchmarks.zoo` writes zoo/README.md.

A set joins the zoo by a copy: cp runs/mnist-n10-fixed-soft-s0/set.pt zoo/mnist-10.pt
"""

import shlex
from pathlib import Path
from typing import Any

from benchmarks.cases import markdown, percent, percent_of_all
from distill.report.verdict import NOT_MEASURED
from distill.sets.distilled import DistilledSet
from distill.sets.provenance import shorten_places
from distill.sets.storage import read_tensors, write_tensors, write_text

ZOO = Path(__file__).parents[1] / "zoo"
INTRO = """# The zoo

Distilled sets that are ready to train on. This page is made from the files, by `python -m benchmarks.zoo`.

    python -m distill.student zoo/mnist-10.pt                    # train by the set's recipe, and measure
    python -m distill.student zoo/mnist-10.pt --save lenet.pt    # also keep the trained weights
    python -m distill.student zoo/mnist-10-convnet.pt            # networks with new random weights

**Initial weights.** *Known*: the file holds the initial weights, and the score is for these weights only.
From other weights such a set is worth little. *Random*: each student draws its own weights. The score is
mean ± standard deviation over networks that took no part in the distillation.

**Protocol.** Each score is for the test split. *By its recipe*: the set's own steps, learning rates and
rule. *By dc*: the field's standard protocol, on new networks; not for known initial weights. The baselines
are as many real items with hard labels: by recipe, trained by the same rule and the same number of steps at
the best of seven learning rates; by dc, as the set is. By dc, ConvNets have width
128; by the recipe, the width in the column *network*. The stronger of random real items and k-means centres
(class means, where there is one per class) is shown. A set is measured by dc, and the score kept in its file,
by

    distill student zoo/mnist-10-random.pt --protocol dc --save-scores

**Names.** *Ridge*, the hundred images and those of CIFAR-10: minutes of kernel ridge. *Convnet* and *any*:
windows of dc from a ridge set, for ConvNets or for ConvNets, LeNets and MLPs. *Random*: the first version's,
for their few steps. Sets of a device "cuda" are of eight minutes of a GPU that seven other runs shared.

"""
COMMANDS = """The commands, with today's names of the options. Those of the sets *random* are of a time when
`unroll` was the default of random images: add `--method unroll --labels soft`.

"""
BASELINES = {"random-real": "random real", "k-means": "k-means"}
RENAMED = {
    "--minutes": "--distil-minutes",
    "--check-every": "--validate-every",
    "--ceilings": "--full-data-networks",
}


def initial_weights(data: DistilledSet) -> str:
    """'known' where the file carries the weights, else 'random'."""
    return "random" if data.init_state is None else "known"


def network(data: DistilledSet) -> str:
    """'convnet, width 64'."""
    arguments = data.network.get("arguments", {})
    return ", ".join([data.network["name"], *(f"{name} {value}" for name, value in arguments.items())])


def recipe(data: DistilledSet) -> str:
    """'12 steps of SGD with momentum 0.9'."""
    rule, momentum = data.inner["rule"].upper(), data.inner.get("momentum")
    return f"{len(data.schedule)} steps of {rule}" + (f" with momentum {momentum:g}" if momentum else "")


def strongest_baseline(baselines: dict[str, Any]) -> str:
    """'78.7 ± 1.7 % (k-means)': the best of the baselines that the file carries; '-' where it has none."""
    scores = {BASELINES[key]: s for key, s in baselines.items() if key in BASELINES}
    if not scores:
        return "-"
    name, score = max(scores.items(), key=lambda pair: float(pair[1]["mean"]))
    return f"{percent(score)} ({name})"


def describe_set(path: Path, data: DistilledSet) -> dict[str, str]:
    """What the page and the gallery say of a set, by heading."""
    provenance, scores = data.provenance, data.scores
    dc = (scores.get("protocols") or {}).get("dc")
    return {
        "items": f"{len(data)} of {data.source['name']}",
        "initial weights": initial_weights(data),
        "network": network(data),
        "recipe": recipe(data),
        "by its recipe": percent(scores["accuracy"]),
        "strongest baseline": strongest_baseline(scores["baselines"]),
        "by dc": percent(dc) if dc else NOT_MEASURED,
        "strongest baseline by dc": strongest_baseline(dc["baselines"]) if dc else "-",
        "all real data": percent_of_all(scores["full_data"]),
        "distilled in": f"{provenance['seconds']:,.0f} s, {provenance['outer_steps']:,} outer steps",
        "size": f"{path.stat().st_size / 1e3:.0f} kB",
    }


def command(data: DistilledSet) -> str:
    """The command that made the set: today's names of options, each option once, without the folder."""
    arguments, options = shlex.split(data.provenance["command"]), dict[str, list[str]]()
    first = next((i for i, word in enumerate(arguments) if word.startswith("--")), len(arguments))
    for word in arguments[first:]:
        if word.startswith("--"):
            name = RENAMED.get(word, word)
            options.pop(name, None)
            options[name] = []
        else:
            options[name].append(word)
    selected = {name: values for name, values in options.items() if name not in ("--out", "--overwrite")}
    return shlex.join(
        [*arguments[:first], *(w for name, values in selected.items() for w in (name, *values))]
    )


def origin(data: DistilledSet) -> str:
    """When and on what machine a set was made."""
    run = data.provenance
    versions = run["versions"]
    return (
        f"{run['created'][:10]}, {device(run['config'])} ({versions['machine']}), torch {versions['torch']}"
    )


def device(config: dict[str, Any]) -> str:
    """The device in the settings of a run, which are flat or in parts."""
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    return str(next(part["device"] for part in parts if "device" in part))


def page(paths: list[Path]) -> str:
    """The whole page."""
    sets = {path: DistilledSet.load(path) for path in paths}
    rows = [
        {"file": f"[{path.name}]({path.name})", **describe_set(path, data)} for path, data in sets.items()
    ]
    origins = [f"- {path.name}: `{command(data)}` ({origin(data)})" for path, data in sets.items()]
    table = markdown(list(rows[0]), [list(row.values()) for row in rows])
    return f"{INTRO}{table}\n\n{COMMANDS}" + "\n".join(origins) + "\n"


def hide_places(path: Path) -> None:
    """Write a file again where it says in which folders its maker had files; nothing else of it changes."""
    content = read_tensors(path, "cpu")
    provenance = shorten_places(content["provenance"])
    if provenance != content["provenance"]:
        write_tensors(path, content | {"provenance": provenance})


def main() -> None:
    """The command."""
    for path in ZOO.glob("*.pt"):
        hide_places(path)
    write_text(ZOO / "README.md", page(sorted(ZOO.glob("*.pt"))))
    print(ZOO / "README.md")


if __name__ == "__main__":
    main()
