"""res_*.pt of VICO-UoE/DatasetCondensation: DC (Zhao et al. 2021), DSA and DM (Zhao and Bilen 2021, 2023).

A dict whose "data" is a list of [images, labels], one pair per experiment, and whose "accs_all_exps" holds
the authors' own accuracies of all experiments, by architecture. The file's name holds method, data set,
network and images per class: res_DSA_CIFAR10_ConvNet_10ipc.pt.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.data import IMAGE_SETS
from distill.errors import SetError
from distill.sets.formats.base import PublicSet, SourceFile, is_numeric
from distill.sets.public.normalisation import simplify_name
from distill.sets.public.training import EvaluateSynset, describe_augmentation

NETWORKS = {
    "ConvNet": "convnet", "MLP": "mlp", "LeNet": "lenet", "AlexNet": "alexnet", "VGG11": "vgg11",
    "ResNet18": "resnet18",
}  # fmt: skip
NETWORK_NAME = re.compile(rf"({'|'.join(NETWORKS)})(?:D(\d))?(?:W(\d{{1,4}}))?(BN|NN|IN)?")
NORMS = {"BN": "batch", "NN": "none", "IN": "instance"}  # at the end of a network's name


def matches(file: SourceFile) -> bool:
    """Whether a file holds experiments."""
    return isinstance(file.tensors, dict) and isinstance(file.tensors.get("data"), list)


def read_public(file: SourceFile, experiment: int = -1) -> PublicSet:
    """One of the file's experiments; -1 is the last."""
    path, pairs = file.path, file.tensors["data"]
    count = len(pairs)
    if not -count <= experiment < count:
        raise SetError(
            f"{path} holds {count} experiments: --experiment {experiment} is none of 0 … {count - 1}"
        )
    pair = pairs[experiment]
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(map(is_numeric, pair)):
        raise SetError(f"{path}: experiment {experiment} is not a pair of images and labels")
    siamese = bool({"DSA", "DM"} & set(path.stem.split("_")))
    dataset, network, remarks = read_name(path)
    return PublicSet(
        project="VICO-UoE/DatasetCondensation",
        items=pair[0].detach(),
        labels=pair[1].detach(),
        training=EvaluateSynset(epochs=1000, siamese=True) if siamese else Condensed(epochs=300),
        remarks=(*([f"experiment {experiment % count} of 0 … {count - 1}"] if count > 1 else []), *remarks),
        dataset=dataset,
        network=network,
        accuracies=read_accuracies(path, file.tensors.get("accs_all_exps")),
    )


def read_name(path: Path) -> tuple[str | None, tuple[str, dict[str, Any]] | None, tuple[str, ...]]:
    """(data set, network, remarks) of res_METHOD_DATA_NETWORK_Nipc.pt; None where distill has no such."""
    parts = re.fullmatch(r"res_(?:DC|DSA|DM)_([^_]+)_(\w+)_\d+ipc", path.stem)
    if parts is None:
        return None, None, ()
    words = {simplify_name(word): word for word in IMAGE_SETS}
    name = NETWORK_NAME.fullmatch(parts[2])
    if name is None:
        remark = f"made with {parts[2]}, a network that distill does not have: it trains its ConvNet"
        return words.get(simplify_name(parts[1])), None, (remark,)
    sizes = dict(zip(("depth", "width"), name.groups()[1:3], strict=True))
    arguments: dict[str, Any] = {word: int(n) for word, n in sizes.items() if n}
    if name[4]:
        arguments["norm"] = NORMS[name[4]]
    return words.get(simplify_name(parts[1])), (NETWORKS[name[1]], arguments), ()


def read_accuracies(path: Path, content: Any) -> dict[str, list[float]]:
    """The authors' accuracies by architecture; none where the file has none. Raises SetError."""
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(values, list) and all(map(is_share, values))
        for name, values in content.items()
    ):
        raise SetError(f"{path}: its accs_all_exps is not a dict of lists of accuracies in 0 … 1")
    return {printable(name): [float(value) for value in values] for name, values in content.items() if values}


def printable(name: str) -> str:
    """The beginning of a name, without characters that a terminal obeys."""
    return "".join(c for c in name[:40] if c.isprintable())


def is_share(value: Any) -> bool:
    """Whether a value is a number in [0, 1]."""
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1


@dataclass(frozen=True)
class Condensed(EvaluateSynset):
    """DC's own variant of evaluate_synset(): it augments MNIST, and then trains for 1,000 epochs."""

    def count_epochs(self, dataset: str) -> int:
        """main.py: 300, and 1,000 where get_daparam() names an augmentation."""
        return 1000 if simplify_name(dataset) == "mnist" else self.epochs

    def choose_augmentation(self, dataset: str) -> tuple[str, str]:
        """utils.get_daparam(): crop, scale or rotate for MNIST, else nothing."""
        if simplify_name(dataset) != "mnist":
            return "", ""
        augmentation = "crop-scale-rotate"
        return augmentation, describe_augmentation(augmentation) + ", which turns by up to 45 degrees"
