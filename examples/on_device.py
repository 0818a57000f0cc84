"""Ship ten images instead of a data set: bytes, seconds of training and accuracy on the device, for both.

    python examples/on_device.py                              # the zoo's ten images of MNIST
    python examples/on_device.py --set zoo/mnist-5.pt

The device has the network's code and no data. It is sent a distilled set, trains by the set's own recipe, and
is ready. For comparison, all the real images are sent, gzipped, and trained on once.
"""

import argparse
import gzip
import time
from pathlib import Path

import torch

from distill import DistilledSet
from distill.data.dataset import Dataset
from distill.data.images import load
from distill.student import accuracy, initial_weights, train, train_ordinary
from distill.student.comparison.baselines import build_adam
from distill.student.training import build_set_network

ZOO = Path(__file__).parents[1] / "zoo"


def count_gzipped_bytes(data: Dataset) -> int:
    """Bytes of the gzipped images and labels."""
    return sum(len(gzip.compress(t.numpy().tobytes())) for t in (data.items, data.labels.byte()))


def print_row(name: str, size: int, seconds: float, score: float) -> None:
    print(f"{name:<22}{size / 1e3:>10,.0f} kB{seconds:>10.2f} s{100 * score:>10.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--set", type=Path, default=ZOO / "mnist-10-random.pt", help="a set of the zoo")
    parser.add_argument("--real", type=int, default=60_000, help="how many real images are sent at most")
    parser.add_argument("--seed", type=int, default=0, help="of the device's initial weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = DistilledSet.load(options.set)
    real, test = load(data.source["name"])
    real = real.select(torch.arange(min(len(real), options.real)))

    train(data)  # once before the clock starts
    start = time.perf_counter()
    student = train(data, seed=options.seed)
    seconds = time.perf_counter() - start
    print(f"{data.network['name']:<20}{'sent':>13}{'training':>12}{'accuracy':>12}")
    print_row(f"{len(data)} distilled images", options.set.stat().st_size, seconds, accuracy(student, test))

    network, generator = build_set_network(data), torch.Generator().manual_seed(options.seed)
    weights = initial_weights(data, network, data.network["init"], options.seed + 1)[-1]
    start = time.perf_counter()
    student = train_ordinary(real, network, weights, build_adam, 1, 128, generator)
    print_row(
        f"{len(real)} real images",
        count_gzipped_bytes(real),
        time.perf_counter() - start,
        accuracy(student, test),
    )


if __name__ == "__main__":
    main()
