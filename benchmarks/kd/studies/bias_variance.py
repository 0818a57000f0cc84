"""Bias and variance of distilled students (Zhou et al. 2021), by Heskes' decomposition.

`python -m benchmarks.kd.studies.bias_variance --data DIR` trains twelve students on disjoint samples of 300
digits of USPS, plain and with teachers of several temperatures, and repeats that with ten draws of samples.

For an item with label y and the networks' probabilities p, the mean network is p̄ = exp(E log p) / Z (Heskes
1998, "Bias/variance decompositions for likelihood-based estimators", section 3). Then
    E[-log p_y] = -log p̄_y + E[KL(p̄ ‖ p)],    the error = the bias + the variance,
and the variance is -log Z. p are the answers at the temperature of the training, at which Zhou et al. define
their losses, and those of the plain students at the same temperatures beside them, since a temperature alone
changes both terms; at τ = 1, too.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.kd import SEEDS
from benchmarks.kd.datasets import PLACES, find_file
from benchmarks.kd.runs import save_arrays
from benchmarks.kd.studies.bias.students import Crowd, Setting, build_crowd, train_crowd
from distill.data import images
from distill.data.dataset import Dataset
from distill.randomness import stream

STUDENTS, ITEMS, EPOCHS = 12, 300, 60
STUDENT = {"name": "mlp", "width": 48, "depth": 1, "subclasses": 1}
TEACHER = {"name": "mlp", "width": 256, "depth": 1, "subclasses": 1}
TAUS = (1.0, 2.0, 4.0, 8.0)
SETTINGS = {
    "plain": Setting(),
    **{f"{teacher} {tau:g}": Setting(teacher, tau) for teacher in ("same", "privileged") for tau in TAUS},
    **{f"{teacher} 4 filtered": Setting(teacher, 4.0, filtered=True) for teacher in ("same", "privileged")},
}
Arrays = dict[str, NDArray[Any]]


def decompose(
    log_p: Float[Tensor, "networks items classes"], labels: Int[Tensor, " items"]
) -> tuple[Float[Tensor, " items"], Float[Tensor, " items"]]:
    """(bias, variance) per item: their sum is the networks' mean cross-entropy to the labels."""
    mean = log_p.mean(dim=0)
    variance = -mean.logsumexp(dim=1)
    of_label = mean.gather(1, labels[:, None]).squeeze(1)
    return -(of_label + variance), variance


def run_draw(train: Dataset, test: Dataset, seed: int) -> Arrays:
    """All settings with one draw of disjoint samples: arrays per test item, and shares by epoch."""
    order = torch.randperm(len(train), generator=stream("samples", seed))
    samples = [train.select(part) for part in order[: STUDENTS * ITEMS].split(ITEMS)]
    teachers = {
        "same": train_plain(TEACHER, samples, seed),
        "privileged": train_plain(TEACHER, [train.select(order[STUDENTS * ITEMS :])], seed),
    }
    x = torch.stack([sample.batch(slice(0, ITEMS))[0] for sample in samples])
    logits = {
        "same": teachers["same"].logits(x).detach(),
        "privileged": teachers["privileged"].logits(x.flatten(0, 1)[None]).detach().view(STUDENTS, ITEMS, -1),
    }
    arrays: Arrays = {}
    for name, setting in SETTINGS.items():
        crowd, generator = build_crowd(STUDENT, train, STUDENTS, seed), stream("study", seed)
        shares = train_crowd(crowd, samples, setting, logits.get(setting.teacher), EPOCHS, generator)
        arrays |= {f"{name}: {key}": value for key, value in measure_crowd(crowd, test, setting).items()}
        arrays[f"{name}: shares"] = np.array(shares)
    return arrays


def train_plain(architecture: dict[str, Any], samples: list[Dataset], seed: int) -> Crowd:
    """Networks trained on the labels of their samples alone."""
    crowd = build_crowd(architecture, samples[0], len(samples), seed + 1000)
    epochs = EPOCHS if len(samples) > 1 else EPOCHS // 4
    train_crowd(crowd, samples, Setting(), None, epochs, stream("study", seed))
    return crowd


def measure_crowd(crowd: Crowd, test: Dataset, setting: Setting) -> Arrays:
    """Per test item: the share of right students; bias and variance of the answers at each temperature."""
    x, labels = test.batch(slice(0, len(test)))
    with torch.no_grad():
        logits = crowd.logits(x.expand(STUDENTS, *x.shape))
    arrays: Arrays = {"right": (logits.argmax(dim=2) == labels).float().mean(dim=0).numpy()}
    for tau in TAUS if not setting.teacher else {1.0, setting.tau}:
        bias, variance = decompose((logits / tau).log_softmax(dim=2), labels)
        arrays |= {f"bias at {tau:g}": bias.numpy(), f"variance at {tau:g}": variance.numpy()}
    return arrays


def run_study(data: Path | None, folder: Path, draws: int) -> None:
    """Run the draws that are missing, each kept in a file of the folder. Raises SystemExit without USPS."""
    path = find_file(PLACES["usps.npz"], data)
    if path is None:
        raise SystemExit("bias-variance: usps.npz is not in --data")
    train, test = images.load(str(path), None, "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(draws):
        file = folder / f"draw-{seed}.npz"
        if not file.exists():
            save_arrays(file, run_draw(train, test, seed))
            print(f"bias-variance: draw {seed + 1} of {draws}", flush=True)


def main() -> None:
    """Run the study and write its table and picture."""
    from benchmarks.kd.studies.bias.tables import write_study

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
