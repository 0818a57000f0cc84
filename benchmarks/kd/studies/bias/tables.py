"""The tables and the picture of the study of bias and variance."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.cases import markdown
from benchmarks.kd.intervals import bootstrap
from benchmarks.kd.studies.bias_variance import EPOCHS, ITEMS, SETTINGS, STUDENTS, TAUS, Arrays
from benchmarks.kd.tables import describe_interval
from distill.sets.storage import write_text

PICTURE = Path(__file__).parents[4] / "docs" / "assets" / "kd-bias-variance.png"
VERDICTS = {"shown": "helps", "opposite": "hurts", "not shown": "not shown", "undecided": "undecided"}
TEACHERS = {"same": "teacher of the same items", "privileged": "privileged teacher"}


def load_draws(folder: Path) -> Arrays:
    """The arrays of all draws, (draws, …) each."""
    files = [np.load(path) for path in sorted(folder.glob("draw-*.npz"))]
    return {key: np.stack([file[key] for file in files]).astype(np.float64) for key in files[0].files}


def build_row(draws: Arrays, name: str, tau: float) -> dict[str, Any]:
    """A setting's accuracy, bias and variance at a temperature, each with its difference from plain's."""
    row: dict[str, Any] = {"students": name, "answers at": tau}
    for key in ("right", f"bias at {tau:g}", f"variance at {tau:g}"):
        own, plain = draws[f"{name}: {key}"], draws[f"plain: {key}"]
        word = key.partition(" ")[0]
        row |= {word: float(own.mean()), f"{word} over plain": describe_interval(bootstrap(own - plain))}
    shares = draws[f"{name}: shares"]
    row["shares"] = shares.mean(axis=0).round(4).tolist() if shares.size else []
    if shares.size:
        last = bootstrap(shares[:, -1:])
        row["last share"] = {"low": round(last.low, 4), "high": round(last.high, 4), "draws": last.seeds}
    return row


def build_filtering(draws: Arrays) -> list[dict[str, Any]]:
    """What leaving out the regularisation samples changes, by teacher."""
    rows = []
    for teacher in TEACHERS:
        row: dict[str, Any] = {"students": f"{teacher} 4"}
        for key in ("right", "bias at 1", "variance at 1"):
            d = draws[f"{teacher} 4 filtered: {key}"] - draws[f"{teacher} 4: {key}"]
            row[key.partition(" ")[0]] = describe_interval(bootstrap(d))
        rows.append(row)
    return rows


def build_trend(draws: Arrays, teacher: str, key: str) -> dict[str, Any]:
    """The change from training at τ = 1 to training at τ = 8, of answers at τ = 1."""
    d = draws[f"{teacher} 8: {key} at 1"] - draws[f"{teacher} 1: {key} at 1"]
    return describe_interval(bootstrap(d))


def describe_setting(name: str) -> str:
    """A setting in words."""
    setting = SETTINGS[name]
    if not setting.teacher:
        return "plain"
    return f"{TEACHERS[setting.teacher]}, τ = {setting.tau:g}" + (", filtered" if setting.filtered else "")


def format_change(d: dict[str, Any], factor: float = 1.0, digits: int = 3) -> str:
    mean, low, high = (f"{factor * d[key]:+.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} ({low} … {high})"


def format_rows(rows: list[dict[str, Any]]) -> str:
    """Settings beside plain students."""
    head = ["students", "answers at τ", "right, %", "over plain", "bias", "over plain", "variance",
            "over plain", "regularisation samples, first to last epoch"]  # fmt: skip
    return markdown(head, [
        [describe_setting(r["students"]), f"{r['answers at']:g}",
         f"{100 * r['right']:.1f}", format_change(r["right over plain"], 100, 2),
         f"{r['bias']:.3f}", format_change(r["bias over plain"]),
         f"{r['variance']:.3f}", format_change(r["variance over plain"]),
         format_shares(r)]
        for r in rows
    ])  # fmt: skip


def format_shares(row: dict[str, Any]) -> str:
    """The share of regularisation samples in the first and the last epoch, this with its interval."""
    if not row["shares"]:
        return "-"
    last = row["last share"]
    return f"{row['shares'][0]:.2f} → {row['shares'][-1]:.2f} ({last['low']:.2f} … {last['high']:.2f})"


def format_filtering(rows: list[dict[str, Any]]) -> str:
    """What leaving out the regularisation samples changes."""
    head = ["without the regularisation samples", "right, points", "verdict", "bias", "variance"]
    return markdown(head, [
        [describe_setting(r["students"]), format_change(r["right"], 100, 2), VERDICTS[r["right"]["verdict"]],
         format_change(r["bias"]), format_change(r["variance"])]
        for r in rows
    ])  # fmt: skip


def format_trends(trends: dict[str, dict[str, Any]]) -> str:
    """How bias and variance move with the temperature of the training."""
    words = {"shown": "grows", "opposite": "falls"}
    rows = []
    for name, d in trends.items():
        teacher, key = name.split(": ")
        verdict = words.get(d["verdict"], d["verdict"])
        rows.append([TEACHERS[teacher], key, format_change(d), verdict])
    return markdown(["from τ = 1 to τ = 8", "of answers at τ = 1", "change", "verdict"], rows)


def write_study(folder: Path) -> None:
    """benchmarks/results/kd-bias-variance.json and .md, docs/assets/kd-bias-variance.png."""
    draws = load_draws(folder)
    at_one = [build_row(draws, name, 1.0) for name in SETTINGS]
    at_tau = [build_row(draws, name, s.tau) for name, s in SETTINGS.items() if s.tau > 1 and not s.filtered]
    filtering = build_filtering(draws)
    trends = {f"{t}: {k}": build_trend(draws, t, k) for t in TEACHERS for k in ("bias", "variance")}
    setting = {"data": "usps", "students": STUDENTS, "items": ITEMS, "epochs": EPOCHS}
    content = {"setting": setting, "rows": at_one, "at the temperature of training": at_tau,
               "filtering": filtering, "trends": trends}  # fmt: skip
    command = "python -m benchmarks.kd.studies.bias_variance"
    path = machine.write_results("kd-bias-variance", command, content)
    text = "\n\n".join([format_rows(at_one + at_tau), format_trends(trends), format_filtering(filtering)])
    write_text(path.with_suffix(".md"), text + "\n")
    draw_picture(draws)
    print(text)


def draw_picture(draws: Arrays) -> None:
    """Bias and variance by temperature, and the share of regularisation samples by epoch.

    The bands of the shares are standard errors over the draws.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for teacher, words in TEACHERS.items():
        for axis, key in zip(axes, ("bias", "variance"), strict=False):
            axis.plot(TAUS, [draws[f"{teacher} {t:g}: {key} at 1"].mean() for t in TAUS], "o-", label=words)
        for tau in TAUS[1:]:
            style = "-" if teacher == "privileged" else ":"
            label = f"τ = {tau:g}, {'privileged' if style == '-' else 'same items'}"
            shares = draws[f"{teacher} {tau:g}: shares"]
            mean, epochs = shares.mean(axis=0), np.arange(1, shares.shape[1] + 1)
            error = shares.std(axis=0, ddof=1) / len(shares) ** 0.5
            axes[2].plot(epochs, mean, style, label=label)
            axes[2].fill_between(epochs, mean - error, mean + error, alpha=0.2)
    for axis, key in zip(axes, ("bias", "variance"), strict=False):
        axis.axhline(draws[f"plain: {key} at 1"].mean(), color="grey", linestyle="--", label="plain")
        axis.set(xlabel="τ of the training", title=f"{key} of the answers at τ = 1", xscale="log")
        axis.set_xticks(TAUS, [f"{tau:g}" for tau in TAUS])
        axis.minorticks_off()
        axis.legend(fontsize=7)
    axes[2].set(xlabel="epoch", title="share of regularisation samples")
    axes[2].legend(fontsize=7)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
