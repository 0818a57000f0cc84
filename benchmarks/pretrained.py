"""Ten learned sequences for a pretrained transformer, beside the same network on all sentences of SST-2.

`python -m benchmarks.pretrained --model FOLDER --data-dir DIR` distils every case that has no set yet, trains
the same parts of the same network on all sentences and on ten random ones, and writes
benchmarks/results/pretrained.json and a table. FOLDER holds a BERT (all-MiniLM-L6-v2), DIR/sst2/train.csv and
test.csv the texts. Held-out training sentences choose everything; each network reads the test sentences once.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.cases import Case, benchmark, folder, make_parser, markdown, percent, percent_of_all, read_row
from distill.data.dataset import Dataset
from distill.data.embedding import load_real_data
from distill.networks.functional import copy_tensors
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.sets.storage import write_text
from distill.student.comparison.coresets import random_real
from distill.student.evaluation import accuracy
from distill.student.scores import Report
from distill.student.training import Student, build_problem, draw_held_out, replay

PARTS = {"last:2": 3e-4, "lora:8": 1e-3}  # what is trained, and AdamW's rate on all sentences
EPOCHS, BATCH = 2, 32  # on all sentences; the state after the best epoch counts
RATES = (0.02, 0.05, 0.1)  # tried for ten random sentences
HELD_OUT, DRAWS = 300, 3  # sentences that choose; draws of ten random sentences
SETTINGS = ("train_parts", "inner_steps", "synthetic_length", "outer_batch", "attention_labels")


def cases(model: Path | None, data_dir: Path | None, minutes: float) -> list[Case]:
    """A case for each of PARTS, where model and data are there."""
    if model is None or data_dir is None:
        return []
    options = (
        "--dataset", "sst2", "--data-dir", str(data_dir), "--network", f"transformers/{model}", "--n", "10",
        "--init", "random", "--held-out", str(HELD_OUT), "--distil-minutes", f"{minutes:g}",
        "--synthetic-length", "8", "--inner-steps", "3", "--outer-batch", "16", "--validation-networks", "1",
        "--validate-every", "25", "--test-networks", "3", "--baseline-networks", "0",
        "--full-data-networks", "0",
    )  # fmt: skip
    return [Case(f"sst2, n = 10, {p}", (*options, "--train-parts", p), (0,), "text") for p in PARTS]


@dataclass(frozen=True)
class Beside:
    """What a set is compared with: its real data, held-out sentences, and its test sentences by length."""

    data: DistilledSet
    train: Dataset
    held_out: Dataset
    test: Dataset

    @staticmethod
    def of(path: Path, data_dir: str) -> "Beside":
        """What the set of a run folder is compared with, split as the run split it."""
        data = DistilledSet.load(path / "set.pt")
        config = data.provenance["config"]
        train, test = load_real_data(data.text, data.source["name"], True, (None,) * 4, data_dir, None, "cpu")
        rest, held_out = train.hold_out(config["held_out"], stream("split", config["seed"]))
        return Beside(data, rest, held_out, sort_by_length(test))


def sort_by_length(data: Dataset) -> Dataset:
    """The same texts, the short ones first, so that batches hold little padding."""
    return data.select((data.items != 0).sum(dim=1).argsort(stable=True))


def draw_by_length(data: Dataset, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Minibatches of an epoch in random order, each of texts of like length."""
    order = torch.randperm(len(data), generator=generator)
    lengths = (data.items != 0).sum(dim=1)
    batches = [b for part in order.split(20 * BATCH) for b in part[lengths[part].argsort()].split(BATCH)]
    for k in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[k]


def train_on_all(beside: Beside, lr: float) -> Student:
    """The set's network trained on all sentences by AdamW, whose rate falls to 0; its best epoch."""
    network = build_problem(beside.data).network
    network.load_state_dict(draw_held_out(beside.data, network, [0])[0])
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr)
    steps = EPOCHS * -(-len(beside.train) // BATCH)
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1 - step / steps))
    best, states = -1.0, copy_tensors(network)
    for epoch in range(EPOCHS):
        for rows in draw_by_length(beside.train, stream("full-data", epoch)):
            train_step(network, optimiser, *beside.train.batch(rows))
            decay.step()
        score = accuracy(Student(network), beside.held_out)
        print(f"all sentences, epoch {epoch + 1}: held-out {100 * score:.2f} %", flush=True)
        if score > best:
            best, states = score, copy_tensors(network)
    return Student(network, states)


def train_step(
    network: nn.Module, optimiser: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> None:
    """One step of the optimiser on the cross-entropy."""
    optimiser.zero_grad()
    nn.functional.cross_entropy(network(x), y).backward()
    optimiser.step()


def score_random(beside: Beside) -> Report:
    """Test accuracies of ten random sentences by the set's recipe, at a rate that held-out ones choose."""
    data, problem = replace(beside.data, attention=None), build_problem(beside.data)
    draw, starts = random_real(data, beside.train), draw_held_out(data, problem.network, range(DRAWS))

    def train(rate: float, purpose: str, k: int) -> Student:
        x, y = draw(stream("pretrained", purpose, k))
        lrs = torch.full_like(data.lrs, rate)
        return replay(replace(data, items=x, labels=y, lrs=lrs), problem, starts[k])

    choices = {
        rate: sum(accuracy(train(rate, "choose", k), beside.held_out) for k in (0, 1)) for rate in RATES
    }
    best = max(choices, key=lambda rate: choices[rate])
    scores = tuple(accuracy(train(best, "score", k), beside.test) for k in range(DRAWS))
    return Report(f"rate {best:g}", scores)


def measure_beside(path: Path, data_dir: str, lr: float) -> dict[str, Any]:
    """The two comparisons of a run folder, measured once and kept there as beside.json."""
    file = path / "beside.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    beside, start = Beside.of(path, data_dir), time.perf_counter()
    result = {
        "full_data": accuracy(train_on_all(beside, lr), beside.test),
        "full_data_seconds": round(time.perf_counter() - start, 1),
        "random_real": score_random(beside).summary(),
    }
    write_text(file, json.dumps(result))
    return result


def row(root: Path, case: Case) -> dict[str, Any] | None:
    """A case's facts with its share of the full data's accuracy; None where it is not done."""
    result = read_row(root, case, SETTINGS)
    if result is None:
        return None
    values = dict(zip(case.arguments[::2], case.arguments[1::2], strict=True))
    parts, data_dir = values["--train-parts"], values.get("--data-dir", "")
    result |= measure_beside(folder(root, case, 0), data_dir, PARTS[parts])
    return result | {"share": result["accuracy"]["mean"] / result["full_data"]}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = [
        "case",
        "test accuracy",
        "all sentences",
        "share",
        "10 random sentences",
        "outer steps",
        "seconds",
    ]
    return markdown(head, [
        [
            r["case"], percent(r["accuracy"]), percent_of_all(r["full_data"]), percent_of_all(r["share"]),
            percent(r["random_real"]), f"{r['outer_steps']:,}", f"{r['seconds']:.0f}",
        ]
        for r in rows
    ])  # fmt: skip


def read_options() -> argparse.Namespace:
    """The options of the command."""
    parser = make_parser(__doc__, "pretrained")
    parser.add_argument("--model", type=Path, help="the folder of a BERT")
    parser.add_argument("--data-dir", type=Path, help="the folder with sst2/")
    parser.add_argument("--minutes", type=float, default=15, help="of distilling, for each case")
    return parser.parse_args()


def main() -> None:
    """The command."""
    options = read_options()
    torch.set_num_threads(1)
    benchmark("pretrained", cases(options.model, options.data_dir, options.minutes), options, row, table)


if __name__ == "__main__":
    main()
