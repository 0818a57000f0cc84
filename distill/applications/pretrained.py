"""Networks trained on real data, for sets that go on from there: files in a folder, trained once."""

import hashlib
import sys
from pathlib import Path

from distill.data.dataset import Dataset
from distill.kd.network_files import save_network
from distill.networks.build import build
from distill.networks.initial import fresh_weights
from distill.randomness import stream
from distill.runs.build import network_arguments
from distill.runs.settings import ImageConfig
from distill.student.baselines import build_adam
from distill.student.loop import train_ordinary

BATCH = 128


def networks(config: ImageConfig, data: Dataset, count: int, steps: int) -> str:
    """The folder, beside the run's own, of `count` of the config's networks trained on data.

    Those that are there are kept; each has its own initial weights and order of items. Adam at 0.002
    falling to 0, so many steps on batches of 128. Raises NetworkError.
    """
    words = {"name": config.network, **network_arguments(config)}
    plan = f"{words} {config.scheme} {config.seed} {count} {steps} {contents(data)}"
    digest = hashlib.blake2b(plan.encode(), digest_size=6).hexdigest()
    folder = Path(str(config.out)).parent / "networks" / f"{Path(data.name).stem}-{config.network}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    network = build(config.network, data.shape, len(data.classes), **network_arguments(config))
    network = network.to(config.device)
    for k in range(count):
        path = folder / f"{k:03d}.pt"
        if not path.exists():
            print(f"training {config.network} {k + 1} of {count} on {len(data)} items", file=sys.stderr)
            first = fresh_weights(network, stream("pretrained", config.seed, k), str(config.scheme))
            first = {name: w.to(config.device) for name, w in first.items()}
            order, epochs = stream("pretrained-order", config.seed, k), -(-steps * BATCH // len(data))
            student = train_ordinary(data, network, first, build_adam, epochs, BATCH, order)
            save_network(str(path), words, student.network)
    return str(folder)


def contents(data: Dataset) -> str:
    """A digest of all items and labels."""
    digest = hashlib.blake2b(data.items.cpu().numpy().tobytes(), digest_size=16)
    digest.update(data.labels.cpu().numpy().tobytes())
    return digest.hexdigest()
