"""Networks trained on real data, for sets that continue from there: files in a folder, trained once."""

import hashlib
import sys
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from distill.applications.settings import TrainedSettings
from distill.data.dataset import Dataset
from distill.data.pictures.stored import StoredItems
from distill.errors import DataError
from distill.kd.network_files import save_network
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import seed_torch, stream
from distill.runs.build import network_arguments
from distill.student.comparison.baselines import build_adam
from distill.student.loop import Turn, build_student, draw_batches, run_turns
from distill.student.training import Student, Weights

BATCH = 128


def train_networks(settings: TrainedSettings, data: Dataset) -> str:
    """The folder, beside the run's own, of the networks that a job needs, trained on data.

    Those that are there are kept; each has its own initial weights and order of items. Adam at 0.002
    falling to 0, --network-steps steps on batches of 128. Raises NetworkError.
    """
    network, seed, steps = settings.network, settings.run.seed, settings.trained.network_steps
    architecture = {"name": network.network, **network_arguments(network)}
    training = (
        f"{steps} batches of {BATCH}"  # earlier versions, whose files are other ones, named steps alone
    )
    plan = f"{architecture} {network.weight_init} {seed} {settings.networks} {training} {digest_of(data)}"
    digest = hashlib.blake2b(plan.encode(), digest_size=6).hexdigest()
    name = f"{Path(data.name).stem}-{network.network}-{digest}"
    folder = Path(str(settings.run.out)).parent / "networks" / name
    folder.mkdir(parents=True, exist_ok=True)
    module = build_network(network.network, data.shape, len(data.classes), **network_arguments(network))
    module = module.to(settings.run.device)
    for k in range(settings.networks):
        path = folder / f"{k:03d}.pt"
        if not path.exists():
            print(
                f"training {network.network} {k + 1} of {settings.networks} on {len(data)} items",
                file=sys.stderr,
            )
            first = draw_weights(module, stream("pretrained", seed, k), str(network.weight_init))
            first = {name: w.to(settings.run.device) for name, w in first.items()}
            student = train_student(data, module, first, steps, stream("pretrained-order", seed, k))
            save_network(str(path), architecture, student.network, data.classes)
    return str(folder)


def train_student(
    data: Dataset, network: nn.Module, weights: Weights, steps: int, order: torch.Generator
) -> Student:
    """A network after so many batches, in the order of a generator, over which its rate falls to zero."""
    student = build_student(data, network, weights).train()
    turn = Turn(build_adam(student.parameters()), lambda b: cross_entropy(student(b.x), b.y))
    batches = draw_batches(data, BATCH, -(-steps * BATCH // len(data)), order)
    with seed_torch(stream("ordinary", "layers")):
        for _ in run_turns([turn], islice(batches, steps), steps):
            pass
    student.zero_grad()
    return student.eval()


def digest_of(data: Dataset) -> str:
    """A digest of all items and labels."""
    if isinstance(data.items, StoredItems):
        raise DataError(
            f"{data.name} is not on the device, and networks are trained first here: give --keep device"
        )
    digest = hashlib.blake2b(data.items.cpu().numpy().tobytes(), digest_size=16)
    digest.update(data.labels.cpu().numpy().tobytes())
    return digest.hexdigest()
