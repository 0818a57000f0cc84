"""Real sentences with learned labels beside coresets of sentences, on three kinds of networks.

`python -m benchmarks.sentences --data-dir DIR --encoder FOLDER --vectors FILE` distils SST-2 into 20 and TREC
into 60 sentences, five times each with another held-out part. TextCNN on word vectors, a linear probe of the
encoder and a bag of words train on them, on the real sentences that are nearest to learned embeddings, and on
coresets (random, medoids, herding, k-center) with hard labels and with a teacher's. Held-out texts choose the
number of steps, and between two teachers; the test texts are read for the table alone.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import machine
from benchmarks.cases import make_parser, markdown, read_rows
from benchmarks.kd.intervals import bootstrap
from benchmarks.sentence_learners import LEARNERS, Sentences, Texts, read_texts, score, train_teachers
from distill.commands.text import main as distil_text
from distill.data.texts import load_corpus
from distill.randomness import stream
from distill.runs.measure import split_data
from distill.sets.distilled import DistilledSet
from distill.student.comparison.coresets import pick_herding, pick_k_center, pick_medoids

CASES = (("sst2", 20), ("trec", 60))
SENTENCES, NEAREST = "sentences", "nearest"
READ_OUTS: dict[str, tuple[str, ...]] = {
    SENTENCES: (),
    NEAREST: ("--init", "random", "--outer-steps", "300", "--validation-networks", "1"),
}
CHOICE, HARD = "chosen, labels of the set", "chosen, hard labels"
NEAREST_ROW = "nearest to learned vectors"
FAST = ("--test-networks", "1", "--baseline-networks", "0", "--dc-networks", "0", "--full-data-networks", "0")
Pick = Callable[[Tensor, int, torch.Generator], Tensor]
CORESETS: dict[str, Pick] = {
    "random": lambda x, k, generator: torch.randperm(len(x), generator=generator)[:k],
    "medoids": pick_medoids,
    "herding": lambda x, k, generator: pick_herding(x, k),
    "k-center": lambda x, k, generator: pick_k_center(x, k),
}
MOST = 2000  # texts of a class that a coreset looks at
MARGIN = 0.02  # that the issue asks for
Scores = dict[str, dict[str, dict[int, tuple[float, Tensor]]]]  # row → learner → steps → score


@dataclass(frozen=True)
class Options:
    """Where the parts are, and how many draws there are."""

    data_dir: Path
    encoder: str
    vectors: str
    cache: str | None
    draws: int
    nearest_draws: int
    out: Path


def distil(name: str, n: int, read_out: str, draw: int, options: Options) -> DistilledSet:
    """The set of one run of `distill text`, made if it is not there."""
    path = options.out / f"{name}-n{n}-{read_out}-s{draw}"
    if not (path / "set.pt").exists():
        arguments = [
            "--dataset", name, "--data-dir", str(options.data_dir), "--encoder", options.encoder,
            *(("--cache", options.cache) if options.cache else ()), "--n", str(n), "--read-out", read_out,
            *READ_OUTS[read_out], *FAST, "--seed", str(draw), "--out", str(path), "--overwrite",
        ]  # fmt: skip
        if code := distil_text(arguments):
            raise SystemExit(code)
    return DistilledSet.load(path / "set.pt")


def score_draw(name: str, n: int, draw: int, texts: tuple[Texts, Texts], options: Options) -> Scores:
    """The scores of each row of one draw, each computed once and kept beside the runs."""
    path, (train, test) = options.out / f"{name}-n{n}-scores-{draw}.pt", texts
    scores: Scores = torch.load(path, weights_only=True) if path.exists() else {}
    expected = [CHOICE, *([NEAREST_ROW] if draw < options.nearest_draws else []), HARD, *CORESETS]
    if all(any(row.startswith(word) for row in scores) for word in expected):
        return scores
    rest, held_out = split_places(train, test, draw)
    for row, sentences in list_rows(name, n, draw, train, rest, options).items():
        if row not in scores:
            scores[row] = {word: score(word, sentences, train, held_out, test, draw) for word in LEARNERS}
            torch.save(scores, path)
    return scores


def list_rows(
    name: str, n: int, draw: int, train: Texts, rest: Tensor, options: Options
) -> dict[str, Sentences]:
    """The sentences of each row of a draw: what was chosen, what is near to learned vectors, and coresets."""
    rows = {}
    for read_out, row in ((SENTENCES, CHOICE), (NEAREST, NEAREST_ROW)):
        if read_out == SENTENCES or draw < options.nearest_draws:
            data = distil(name, n, read_out, draw, options)
            rows[row] = Sentences(find_places(data, train), data.labels)
    rows[HARD] = with_hard_labels(rows[CHOICE].places, train)
    return rows | choose_coresets(train, rest, n, draw)


def split_places(train: Texts, test: Texts, draw: int) -> tuple[Tensor, Tensor]:
    """The places of what a run of this seed learns from, and of what it holds out."""
    numbers = train.encoded.select(torch.arange(len(train.encoded)))
    numbers = type(numbers)(**{**vars(numbers), "items": torch.arange(len(numbers))[:, None]})
    splits = split_data(numbers, test.encoded, 500, draw)
    return splits.train.items[:, 0], splits.held_out.items[:, 0]


def choose_coresets(train: Texts, rest: Tensor, n: int, draw: int) -> dict[str, Sentences]:
    """Each coreset with hard labels and with those of each teacher."""
    teachers, rows = train_teachers(train, rest), {}
    for word, pick in CORESETS.items():
        places = pick_by_class(train, rest, n, pick, stream("sentences", word, draw))
        rows[f"{word}, hard labels"] = with_hard_labels(places, train)
        for teacher, probabilities in teachers.items():
            rows[f"{word}, teacher labels ({teacher})"] = Sentences(places, probabilities[places])
    return rows


def pick_by_class(train: Texts, rest: Tensor, n: int, pick: Pick, generator: torch.Generator) -> Tensor:
    """As many texts of each class, picked by their embeddings among at most 2,000."""
    labels, classes = train.encoded.labels, len(train.encoded.classes)
    places = []
    for label in range(classes):
        members = rest[labels[rest] == label]
        members = members[torch.randperm(len(members), generator=generator)[:MOST]]
        places.append(members[pick(train.encoded.batch(members)[0], n // classes, generator)])
    return torch.cat(places)


def with_hard_labels(places: Tensor, train: Texts) -> Sentences:
    """These texts with the labels of their classes."""
    return Sentences(places, F.one_hot(train.encoded.labels[places], len(train.encoded.classes)).float())


def find_places(data: DistilledSet, train: Texts) -> Tensor:
    """Where the sentences of a set are among the training texts."""
    places = {text: i for i, text in enumerate(train.encoded.texts)}
    return torch.tensor([places[sentence] for sentence in (data.text or {})["sentences"]])


def summarise(draws: list[Scores]) -> dict[str, dict[str, Any]]:
    """Row → learner → the test texts that are right (draws, N), at the steps that held-out texts choose."""
    summary: dict[str, dict[str, Any]] = {}
    for row in draws[0]:
        mine = [scores[row] for scores in draws if row in scores]
        for learner in LEARNERS:
            best = choose_steps([scores[learner] for scores in mine])
            held_out = sum(scores[learner][best][0] for scores in mine) / len(mine)
            right = torch.stack([scores[learner][best][1] for scores in mine]).double().numpy()
            summary.setdefault(row, {})[learner] = {"steps": best, "held_out": held_out, "right": right}
    return merge_teachers(summary)


def choose_steps(draws: list[dict[int, tuple[float, Tensor]]]) -> int:
    """The number of steps of the highest mean accuracy on held-out texts."""
    return max(draws[0], key=lambda steps: sum(scores[steps][0] for scores in draws))


def merge_teachers(summary: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """One row of teacher labels per coreset: for each learner those that held-out texts choose."""
    merged: dict[str, dict[str, Any]] = {}
    for row, learners in summary.items():
        name = row.split(" (")[0]
        mine = merged.setdefault(name, {})
        for learner, facts in learners.items():
            if learner not in mine or facts["held_out"] > mine[learner]["held_out"]:
                mine[learner] = facts
    return merged


def describe_case(name: str, n: int, draws: list[Scores]) -> dict[str, Any]:
    """What the results file holds of a case: each row, and the difference to the best coreset."""
    summary = summarise(draws)
    right = {
        row: np.mean([facts["right"] for facts in learners.values()], axis=0)
        for row, learners in summary.items()
    }
    taught = [row for row in right if row.endswith("teacher labels")]
    best = max(taught, key=lambda row: float(right[row].mean()))
    interval = bootstrap(right[CHOICE] - right[best])
    return {
        "case": f"{name}, n = {n}", "draws": len(draws), "best": best,
        "rows": {row: {
            "mean": measure(right[row]),
            **{word: measure(facts["right"]) | {"steps": facts["steps"]} for word, facts in learners.items()},
        } for row, learners in summary.items()},
        "difference": {"mean": interval.mean, "low": interval.low, "high": interval.high},
    }  # fmt: skip


def measure(right: Any) -> dict[str, Any]:
    """Mean and standard deviation over draws."""
    shares = right.mean(axis=1)
    return {
        "mean": float(shares.mean()),
        "std": float(shares.std(ddof=1)) if len(shares) > 1 else 0.0,
        "n": len(shares),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each row of a case, then the verdicts."""
    lines, verdicts = [], []
    for case in rows:
        order = sorted(case["rows"], key=lambda row: -case["rows"][row]["mean"]["mean"])
        for row in order:
            facts = case["rows"][row]
            scores = [
                f"{100 * facts[w]['mean']:.1f} ± {100 * facts[w]['std']:.1f} %" for w in ("mean", *LEARNERS)
            ]
            lines.append([case["case"], f"**{row}**" if row == CHOICE else row, *scores])
        verdicts.append(describe_verdict(case))
    return markdown(["case", "sentences", "mean", *LEARNERS], lines) + "\n\n" + "\n".join(verdicts)


def describe_verdict(case: dict[str, Any]) -> str:
    """'sst2, n = 20: above the best coreset with teacher labels (medoids), by +4.1 points, 95 % …'."""
    mean, low, high = (100 * case["difference"][key] for key in ("mean", "low", "high"))
    word = "above" if low > 0 else "below" if high < 0 else "not shown to differ from"
    reached = "at least two points are shown" if low >= 100 * MARGIN else "two points are not shown"
    return (
        f"- {case['case']}: {word} the best coreset with teacher labels ({case['best'].split(',')[0]}), by"
        f" {mean:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f} over {case['draws']} draws and test"
        f" texts; {reached}."
    )


def read_options() -> tuple[Options, argparse.Namespace]:
    """The options of the command."""
    parser = make_parser(__doc__, "sentences")
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder with sst2/ and trec/")
    parser.add_argument("--encoder", required=True, help="the folder of a sentence encoder")
    parser.add_argument("--vectors", required=True, help="word vectors for TextCNN")
    parser.add_argument("--cache", help="where embeddings are kept")
    parser.add_argument("--draws", type=int, default=5, help="sets, coresets and networks of each row")
    parser.add_argument("--nearest-draws", type=int, default=2, help="of vectors, which take long to learn")
    o = parser.parse_args()
    places = (o.data_dir, o.encoder, o.vectors, o.cache)
    return Options(*places, o.draws, o.nearest_draws, o.out), o


def write_case(case: dict[str, Any]) -> None:
    """Write the results with this case; others stay as they were measured, with their date."""
    rows = list((read_rows("sentences") | {case["case"]: case}).values())
    print(table(rows))
    path = machine.write_results("sentences", "make bench-sentences", {"rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")


def main() -> None:
    """The command."""
    options, parsed = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name, n in CASES:
        if (parsed.only and f"{name}, n = {n}" not in parsed.only) or not (options.data_dir / name).is_dir():
            continue
        corpus = load_corpus(name, str(options.data_dir))
        texts = read_texts(corpus, options.encoder, options.vectors, options.cache)
        draws = [score_draw(name, n, k, texts, options) for k in range(options.draws)]
        write_case(describe_case(name, n, draws))


if __name__ == "__main__":
    main()
