"""--teacher of a decoupled method: a word as a trained network for the items and classes of a run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from distill.data.classes import match_classes
from distill.data.dataset import Dataset
from distill.errors import NetworkError, UserError, unknown
from distill.inner.dry_run import check_rows, first_line, forward
from distill.kd.network_files import read_architecture, read_classes, read_state
from distill.kd.networks import create_network, load_checkpoint
from distill.kd.teachers import Reordered
from distill.methods.base import Method
from distill.methods.decoupled.recovery import SRe2L
from distill.networks.composed import TORCHVISION, TorchvisionNetwork
from distill.sets.storage import check_path

HUB = "torchvision:"  # what a teacher of torchvision begins with
DEFAULT_NETWORK = "convnet-batch"  # of a file of weights that does not name its network


def fill_teacher(method: Method, data: Dataset, device: str) -> Method:
    """The method with the network of its --teacher; another method stays as it is. Raises UserError."""
    if not isinstance(method, SRe2L):
        return method
    if len(data.shape) != 3:
        raise UserError("--method sre2l recovers images, and these items are none: use another method")
    network = method.network
    if network is None and method.teacher is not None:
        network = load_trained(method.teacher, data, device)
        method = replace(method, network=network)
    check_teacher(method.trained_teacher().network, str(method.teacher or "the teacher"), data)
    return method


def load_trained(word: str, data: Dataset, device: str) -> nn.Module:
    """The network of a file or of torchvision, for items and classes as the data have. Raises UserError."""
    if word.startswith(HUB):
        return load_torchvision(word, data).to(device).eval()
    architecture = {"subclasses": 1, **(read_architecture(word) or {"name": DEFAULT_NETWORK})}
    classes = read_classes(word)
    places = match_classes(data.classes, classes, data.name, f"--teacher {word}") if classes else []
    network = create_network("teacher", architecture, data.shape, len(data.classes), (0, 0), device)
    try:
        load_checkpoint(network, word)
    except UserError as error:
        raise UserError(f"--teacher {word}, for {describe_task(data)}: {error}") from None
    return reorder(network.module, places)


def reorder(network: nn.Module, places: Sequence[int]) -> nn.Module:
    """The network with its logits in the order of the data's classes."""
    return network if list(places) == sorted(places) else Reordered(network, list(places)).eval()


def load_torchvision(word: str, data: Dataset) -> nn.Module:
    """The classifier of torchvision:NAME:WEIGHTS. Raises UserError."""
    name, _, weights = word.removeprefix(HUB).partition(":")
    network: nn.Module
    if weights.endswith((".pt", ".pth")):
        network = build_torchvision(name, len(data.classes))
        load_into(network, weights, word, data)
        return network
    state, facts = fetch_weights(name, weights or "DEFAULT", word)
    names = list(facts.get("categories") or [])
    count = len(names) or len(data.classes)
    if count != len(data.classes):
        raise UserError(
            f"--teacher {word} knows {count} classes, and {data.name} has {len(data.classes)}: give a network"
            " that was trained on these classes"
        )
    network = build_torchvision(name, count)
    network.body.load_state_dict(state)
    same = sorted(names) == sorted(data.classes)
    places = match_classes(data.classes, names, data.name, f"--teacher {word}") if same else []
    return reorder(Renormalised(network, data, facts["mean"], facts["std"]), places)


def build_torchvision(name: str, classes: int) -> TorchvisionNetwork:
    """A classifier of torchvision with random weights. Raises NetworkError."""
    create_network("teacher", {"name": f"{TORCHVISION}{name}"}, (3, 32, 32), classes, (0, 0), "cpu")
    return TorchvisionNetwork(name, classes)


def load_into(network: TorchvisionNetwork, file: str, word: str, data: Dataset) -> None:
    """Load a file of weights, of torchvision or of distill. Raises UserError."""
    check_path(file)
    state = {name.removeprefix("body."): w for name, w in read_state(file).items()}
    try:
        network.body.load_state_dict(state)
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"--teacher {word}, for {describe_task(data)}, does not fit: {last:.120}") from None


def fetch_weights(name: str, weights: str, word: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of torchvision, and their categories, mean and std. Raises UserError."""
    from torchvision import models

    if name not in models.list_models(module=models):
        raise NetworkError(unknown("model in torchvision", name, models.list_models(module=models)))
    table = models.get_model_weights(name)
    if weights not in table.__members__:
        raise UserError(f"--teacher {word}: " + unknown("weights", weights, table.__members__))
    entry = table[weights]
    transform = entry.transforms()
    try:
        state = entry.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # whatever a network without a connection or a damaged file raises
        reason = first_line(error)
        raise UserError(
            f"--teacher {word} cannot be fetched ({reason:.80}): give a file, as torchvision:{name}:FILE.pth"
        ) from None
    return state, {"categories": entry.meta.get("categories"), "mean": transform.mean, "std": transform.std}


class Renormalised(nn.Module):
    """A network that gets items as it was trained on: other numbers for mean and spread than the data's.

    Whitened items become pixels first.
    """

    own_mean: Tensor
    own_std: Tensor
    mean: Tensor
    std: Tensor
    pixel_mean: Tensor
    inverse: Tensor | None

    def __init__(
        self, network: nn.Module, data: Dataset, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        whitening = data.zca or {}
        own = (torch.tensor(data.mean), torch.tensor(data.std))
        for name, tensor in zip(("own_mean", "own_std"), own, strict=True):
            self.register_buffer(name, tensor.view(-1, 1, 1))
        for name, numbers in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(list(numbers)).view(-1, 1, 1))
        inverse = torch.linalg.inv(whitening["matrix"].double()).float() if whitening else None
        self.register_buffer("pixel_mean", whitening.get("mean"))
        self.register_buffer("inverse", inverse)

    def forward(self, x: Tensor) -> Tensor:
        if self.inverse is not None:
            x = (x.flatten(1) @ self.inverse + self.pixel_mean).view(x.shape)
        x = x * self.own_std + self.own_mean
        return self.network((x.expand(-1, 3, -1, -1) - self.mean) / self.std)


def check_teacher(network: nn.Module, word: str, data: Dataset) -> None:
    """Raise NetworkError where a network does not answer logits of the data's classes for its items."""
    x = data.batch(torch.arange(min(2, len(data)), device=data.labels.device))[0]
    try:
        with torch.no_grad():
            logits = forward(network, x)
            check_rows(logits, len(x), len(data.classes))
    except NetworkError as error:
        reason = str(error).replace("the network", "the teacher")
        raise NetworkError(f"{word}, for {describe_task(data)}: {reason}") from None


def describe_task(data: Dataset) -> str:
    """'items 3×32×32 of 10 classes'."""
    return f"items {'×'.join(map(str, data.shape))} of {len(data.classes)} classes"
