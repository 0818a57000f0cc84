"""res_*.pt of VICO-UoE/DatasetCondensation: DC (Zhao et al. 2021), DSA and DM (Zhao and Bilen 2021, 2023).

A dict whose "data" is a list of [images, labels], one pair per experiment. The file's name holds the method:
res_DSA_CIFAR10_ConvNet_10ipc.pt.
"""

from distill.errors import SetError
from distill.sets.formats.base import PublicSet, SourceFile, is_numeric
from distill.sets.public.training import EvaluateSynset


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
    return PublicSet(
        project="VICO-UoE/DatasetCondensation",
        items=pair[0].detach(),
        labels=pair[1].detach(),
        training=EvaluateSynset(epochs=1000 if siamese else 300, siamese=siamese),
        remarks=(f"experiment {experiment % count} of 0 … {count - 1}",),
    )
