"""A folder of distilled pictures, one subfolder per class, as many projects save them to look at.

The names of the subfolders are those of the real classes, or begin with their numbers: 003_cat. Eight bits:
what was learned beyond black and white is lost.
"""

from pathlib import Path

from distill.data.pictures.image_folder import read_classes
from distill.errors import DataError, SetError
from distill.sets.formats.base import PublicSet, SourceFile
from distill.sets.public.training import EvaluateSynset

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def matches(file: SourceFile) -> bool:
    """Whether a folder holds subfolders with pictures, and no pictures or tensors beside them."""
    try:
        paths = [path for path in file.path.iterdir() if not path.name.startswith(".")]
        folders = [path for path in paths if path.is_dir()]
        is_bare = all(path.is_dir() or path.suffix.lower() in (".txt", ".md", ".csv") for path in paths)
        return is_bare and bool(folders) and any(map(holds_pictures, folders))
    except OSError:
        return False


def holds_pictures(folder: Path) -> bool:
    """Whether a folder holds a picture."""
    return any(path.suffix.lower() in ENDINGS for path in folder.iterdir())


def read_public(file: SourceFile, experiment: int = -1) -> PublicSet:
    """The pictures as pixels of 0 … 255; a student trains on them as evaluate_synset() does."""
    try:
        images, labels, names = read_classes(file.path)
    except DataError as error:
        raise SetError(f"{file.path} cannot be read as a folder of distilled pictures: {error}") from None
    return PublicSet(
        project="pictures",
        items=images,
        labels=labels,
        training=EvaluateSynset(epochs=300),
        remarks=("its pictures have eight bits: what was learned beyond black and white is lost",),
        class_names=names,
        unscaled=True,
    )
