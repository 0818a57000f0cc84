"""images_best.pt of MTT (Cazenavette et al. 2022) and DATM (Guo et al. 2024).

The repositories are GeorgeCazenavette/mtt-distillation and NUS-HPC-AI-Lab/DATM. The file is a tensor of
images. labels_best.pt is beside it: class numbers of MTT, logits of DATM, which adds lr_best.pt.
"""

from pathlib import Path

from distill.errors import SetError
from distill.sets.formats.base import PublicSet, SourceFile, is_numeric, load_tensors, read_number
from distill.sets.public.training import EvaluateSynset

IMAGES = "images_best.pt"


def matches(file: SourceFile) -> bool:
    """Whether a file, or the images_best.pt of a folder, is a tensor of images."""
    content = find_images(file).tensors
    return is_numeric(content) and content.ndim == 4


def find_images(file: SourceFile) -> SourceFile:
    """The file of images: of a folder its images_best.pt."""
    images = file.path / IMAGES
    return SourceFile(images) if images.is_file() else file


def read_public(file: SourceFile, experiment: int = -1) -> PublicSet:
    """The images, with the labels and the learning rate that are beside them."""
    images = find_images(file)
    path = images.path
    if "_zca_" in path.name:
        raise SetError(f"{path} holds images to look at: give the folder, or its images_best.pt with --zca")
    beside = path.with_name(path.name.replace("images", "labels"))
    if beside == path:
        raise SetError(
            f"{path} holds images, and there is no labels file beside it: name them images_NAME.pt and"
            " labels_NAME.pt"
        )
    labels = load_tensors(beside)
    if not is_numeric(labels):
        raise SetError(f"{path}: the labels beside it are a {type(labels).__name__}, not a plain tensor")
    is_soft = labels.is_floating_point()
    return PublicSet(
        project="NUS-HPC-AI-Lab/DATM" if is_soft else "GeorgeCazenavette/mtt-distillation",
        items=images.tensors.detach(),
        labels=labels.detach(),
        training=EvaluateSynset(epochs=1000, lr=read_lr(path), siamese=True),
        has_zca=True,
    )


def read_lr(path: Path) -> float | None:
    """The learning rate in lr_best.pt or lr.pt beside the images, None where there is no such file."""
    paths = [path.with_name(name) for name in (path.name.replace("images", "lr"), "lr.pt")]
    return read_number(path, next((load_tensors(p) for p in paths if p != path and p.is_file()), None))
