"""Bias and variance of distilled students (Zhou et al. 2021), by Heskes' decomposition, with a picture.

`python -m benchmarks.kd.studies.bias_variance --data DIR` trains twelve students on disjoint samples of 300
digits of USPS, plain and with teachers of several temperatures, and repeats that with ten draws of samples.

For an item with label y and the networks' probabilities p, the mean network is p̄ = exp(E log p) / Z (Heskes
1998, "Bias/variance decompositions for likelihood-based estimators", section 3). Then
    E[-log p_y] = -log p̄_y + E[KL(p̄ ‖ p)],    the error = the bias + the variance,
and the variance is -log Z. An item's share in a row of the table is exact, not sampled.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.kd import SEEDS
from benchmarks.kd.datasets import FILES, find_file
from distill.data import images
from distill.data.dataset import Dataset
from distill.inner.losses import cross_entropy_with_any_labels
from distill.kd.losses.response import divergences, find_regularisation_samples
from distill.kd.networks import Network, compute_logits, create_network
from distill.randomness import stream
from distill.student.loop import Batch, Turn, count_batches, draw_batches, run_turns

STUDENTS, ITEMS, EPOCHS, BATCH, LR = 12, 300, 60, 32, 0.002
STUDENT = {"name": "mlp", "width": 48, "depth": 1, "subclasses": 1}
TEACHER = {"name": "mlp", "width": 256, "depth": 2, "subclasses": 1}
LAMBDA = 0.9  # the teacher's share of the loss


@dataclass(frozen=True)
class Setting:
    """How the students of one row learn. teacher: "", same (the student's own items) or privileged."""

    teacher: str = ""
    tau: float = 1.0
    filtered: bool = False  # regularisation samples take no part in the teacher's loss

    @property
    def name(self) -> str:
        if not self.teacher:
            return "plain"
        words = "teacher of the same items" if self.teacher == "same" else "privileged teacher"
        return f"{words}, τ = {self.tau:g}" + (", without regularisation samples" if self.filtered else "")


SETTINGS = [
    Setting(),
    *(Setting(teacher, tau) for teacher in ("same", "privileged") for tau in (1.0, 2.0, 4.0, 8.0)),
    *(Setting(teacher, 4.0, filtered=True) for teacher in ("same", "privileged")),
]


class Result(NamedTuple):
    """Of the students of one setting and draw: per test item, and the share per epoch."""

    bias: Float[Tensor, " items"]
    variance: Float[Tensor, " items"]
    accuracy: Float[Tensor, " items"]
    shares: list[float]  # of regularisation samples among the training items, after each epoch


def decompose(
    log_p: Float[Tensor, "networks items classes"], labels: Int[Tensor, " items"]
) -> tuple[Float[Tensor, " items"], Float[Tensor, " items"]]:
    """(bias, variance) per item: their sum is the networks' mean cross-entropy to the labels."""
    mean = log_p.mean(dim=0)
    variance = -mean.logsumexp(dim=1)
    own = mean.gather(1, labels[:, None]).squeeze(1)
    return -(own + variance), variance


def train_network(
    network: Network, data: Dataset, setting: Setting, teacher_logits: Tensor | None, seed: int
) -> list[float]:
    """Train in place; the share of regularisation samples after each epoch, where there is a teacher."""
    network.student.requires_grad_(True).train()

    def objective(batch: Batch) -> Tensor:
        logits = network.student(batch.x)
        loss = cross_entropy_with_any_labels(logits, batch.y)
        if teacher_logits is None:
            return loss
        return (1 - LAMBDA) * loss + LAMBDA * teacher_loss(logits, teacher_logits[batch.indices], batch.y, setting)

    optimiser = torch.optim.Adam(network.student.parameters(), lr=LR)
    batches, shares = draw_batches(data, BATCH, EPOCHS, stream("study", seed)), list[float]()
    total = count_batches(data, BATCH, EPOCHS)
    for step, _ in run_turns([Turn(optimiser, objective)], batches, total):
        if teacher_logits is not None and step % (total // EPOCHS) == 0:
            logits = compute_logits(network, data)
            shares.append(float(find_regularisation_samples(logits, teacher_logits, data.labels, setting.tau).mean()))
    network.student.requires_grad_(False).eval()
    return shares


def teacher_loss(logits: Tensor, teacher_logits: Tensor, labels: Tensor, setting: Setting) -> Tensor:
    """τ² · mean KL from the teacher, over all items of a batch or without its regularisation samples."""
    losses = divergences(logits, teacher_logits, setting.tau)
    if setting.filtered:
        losses = losses * (1 - find_regularisation_samples(logits.detach(), teacher_logits, labels, setting.tau))
    return setting.tau**2 * losses.mean()


def run_draw(train: Dataset, test: Dataset, seed: int) -> list[Result]:
    """The results of all settings with one draw of disjoint samples."""
    order = torch.randperm(len(train), generator=stream("samples", seed))
    samples = [train.select(part) for part in order[: STUDENTS * ITEMS].split(ITEMS)]
    privileged = build_trained(TEACHER, train.select(order[STUDENTS * ITEMS :]), seed)
    teachers = [build_trained(TEACHER, sample, seed) for sample in samples]
    logits = {
        "same": [compute_logits(teacher, sample) for teacher, sample in zip(teachers, samples, strict=True)],
        "privileged": [compute_logits(privileged, sample) for sample in samples],
    }
    return [run_setting(s, samples, logits.get(s.teacher, [None] * STUDENTS), test, seed) for s in SETTINGS]


def build_trained(architecture: dict[str, Any], data: Dataset, seed: int) -> Network:
    """A network trained on the labels alone."""
    network = create_network("teacher", architecture, data.shape, len(data.classes), (seed, 1), "cpu")
    train_network(network, data, Setting(), None, seed)
    return network


def run_setting(
    setting: Setting, samples: Sequence[Dataset], logits: Sequence[Tensor | None], test: Dataset, seed: int
) -> Result:
    """One student per sample, each from its own initial weights."""
    log_p, shares = [], []
    for k, (sample, teacher_logits) in enumerate(zip(samples, logits, strict=True)):
        network = create_network("student", STUDENT, sample.shape, len(sample.classes), (seed, 100 + k), "cpu")
        shares.append(train_network(network, sample, setting, teacher_logits, seed))
        log_p.append(compute_logits(network, test).log_softmax(dim=1))
    stacked = torch.stack(log_p)
    right = (stacked.argmax(dim=2) == test.labels).float().mean(dim=0)
    return Result(*decompose(stacked, test.labels), right, np.mean(shares, axis=0).tolist() if shares[0] else [])


def run_study(data: Path | None, folder: Path, draws: int) -> None:
    """Run the draws that are missing, each kept in a file of the folder. Raises SystemExit without USPS."""
    path = find_file(FILES["usps.npz"], data)
    if path is None:
        raise SystemExit("bias-variance: usps.npz is not in --data")
    train, test = images.load(str(path), None, "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(draws):
        file = folder / f"draw-{seed}.npz"
        if file.exists():
            continue
        arrays = {}
        for setting, result in zip(SETTINGS, run_draw(train, test, seed), strict=True):
            arrays |= {f"{setting.name}: {key}": np.asarray(v) for key, v in result._asdict().items()}
        np.savez_compressed(file, **arrays)
        print(f"bias-variance: draw {seed + 1} of {draws}", flush=True)


def main() -> None:
    """Run the study and write its table and picture."""
    from benchmarks.kd.studies.bias_variance_table import write_study

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder of usps.npz")
    parser.add_argument("--draws", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-kd/bias-variance"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    run_study(options.data, options.out, options.draws)
    write_study(options.out)


if __name__ == "__main__":
    main()
