"""--teacher of a decoupled method: a word as a trained network for the items and classes of a run."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill.data.classes import is_numbered, match_classes
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
from distill.student.teacher_accuracy import check_accuracy

HUB = "torchvision:"  # what a teacher of torchvision begins with
DEFAULT_NETWORK = "convnet-batch"  # of a file of weights that does not name its network


def fill_teacher(method: Method, data: Dataset, device: str, is_known: bool = False) -> Method:
    """The method with the network of its --teacher; another method stays as it is. Raises UserError.

    is_known: that of a run that goes on, which was measured when the run began.
    """
    if not isinstance(method, SRe2L):
        return method
    if len(data.shape) != 3:
        raise UserError("--method sre2l recovers images, and these items are none: use another method")
    is_loaded = method.network is None and method.teacher is not None
    if is_loaded:
        method = replace(method, network=load_trained(str(method.teacher), data, device))
    network, word = method.trained_teacher().network, str(method.teacher or "the teacher")
    check_teacher(network, word, data)
    if is_loaded and not is_known:
        check_accuracy(network, data, word)
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
    """The classifier of torchvision:NAME:WEIGHTS, or of a file of its weights. Raises UserError.

    A file that torchvision publishes is what its name fetches: it gets items by its own mean and std, and its
    logits are in the data's order. Another file is of a network that was trained on items like the data's.
    """
    name, _, weights = word.removeprefix(HUB).partition(":")
    is_file = weights.endswith((".pt", ".pth"))
    network = build_torchvision(name, len(data.classes))
    entry = find_published(name, weights) if is_file else find_weights(name, weights or "DEFAULT", word)
    if entry is None:
        load_into(network, weights, word, data)
        return order_by_file(network, weights, word, data)
    state = read_state(weights) if is_file else fetch_weights(entry, name, word)
    places = match_names(list(entry.meta.get("categories") or []), word, data)
    network.body.load_state_dict(state)
    transform = entry.transforms()
    return reorder(Renormalised(network, data, transform.mean, transform.std), places)


def match_names(names: Sequence[str], word: str, data: Dataset) -> list[int]:
    """The places of the data's classes among the teacher's names; [] for their own.

    Where no name matches, as of folders with the numbers of WordNet, they keep their places, and stderr says
    so. Raises UserError for other classes, or as many of which only some match.
    """
    if len(names or data.classes) != len(data.classes):
        raise UserError(
            f"--teacher {word} knows {len(names)} classes, and {data.name} has {len(data.classes)}: give a"
            " network that was trained on these classes"
        )
    if set(names) & set(data.classes):
        return match_classes(data.classes, names, data.name, f"--teacher {word}")
    if not is_numbered(data.classes):
        print(f"--teacher {word}: none of its class names is in {data.name}: taken in order", file=sys.stderr)
    return []


def order_by_file(network: nn.Module, file: str, word: str, data: Dataset) -> nn.Module:
    """A network of a file that torchvision does not publish, by the classes of the file, if it has some."""
    classes = read_classes(file)
    if not classes:
        print(
            f"--teacher {word}: {file} is not as torchvision publishes it: it gets images by the mean and std"
            f" of {data.name}, and its classes in their order",
            file=sys.stderr,
        )
    places = match_classes(data.classes, classes, data.name, f"--teacher {word}") if classes else []
    return reorder(network, places)


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


def find_weights(name: str, weights: str, word: str) -> Any:
    """The entry of torchvision's table of a model's weights. Raises UserError."""
    from torchvision import models

    table = models.get_model_weights(name)
    if weights not in table.__members__:
        raise UserError(f"--teacher {word}: " + unknown("weights", weights, table.__members__))
    return table[weights]


def find_published(name: str, file: str) -> Any:
    """The entry of the weights that a file holds, by the digest in the entry's address; None for others."""
    from torchvision import models

    try:
        digest = sha256(Path(file).read_bytes()).hexdigest()
    except OSError:  # which load_into() says
        return None
    entries = (entry for entry in models.get_model_weights(name))
    return next((entry for entry in entries if entry.url.endswith(f"-{digest[:8]}.pth")), None)


def fetch_weights(entry: Any, name: str, word: str) -> dict[str, Tensor]:
    """The weights of an entry, from where torchvision keeps them. Raises UserError."""
    try:
        return entry.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # whatever a network without a connection or a damaged file raises
        raise UserError(
            f"--teacher {word} cannot be fetched ({first_line(error):.80}): give a file, that of {entry.url},"
            f" as torchvision:{name}:FILE.pth"
        ) from None


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
