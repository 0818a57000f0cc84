"""The cache of embeddings: computed once, in a file that is memory-mapped, whole or not there.

It belongs to the checksum of the encoder's files and to the texts. Of an encoder that has changed the texts
are embedded anew, which is said.
"""

import json
import shutil
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill.data.encoders.folder import EncoderFolder
from distill.data.encoders.model import Embeddings, compute_embeddings
from distill.data.files.limits import free_bytes, in_units
from distill.data.files.locks import PARTIAL, hold_folder
from distill.errors import DataError

FORMAT = "distill-embeddings/1"
VECTORS, INDEX = "vectors.npy", "index.json"
EDGE = 12  # letters of a digest in the name of a cache


def embed_texts(
    texts: list[str], encoder: EncoderFolder, cache: Path, device: str = "cpu", numbers: str = "float32"
) -> Embeddings:
    """The embeddings of texts from their cache, which is made if it is not there. Raises DataError."""
    place = find_place(texts, encoder, cache, numbers)
    others = [path for path in place.parent.glob(f"{place.name[:-EDGE]}*") if path != place]
    try:
        if (index := read_index(place)) is None:  # who finds one does not wait for others that embed
            with hold_folder(place.parent, "embeds texts"):
                if read_index(place) is None:
                    build_cache(place, texts, encoder, device, numbers)
                    for other in others:
                        shutil.rmtree(other, ignore_errors=True)
            index = read_index(place)
    except OSError as error:
        raise DataError(
            f"{place} cannot be written ({error.strerror}): give --cache another folder"
        ) from None
    if index is None:
        raise DataError(f"{place} changed while it was written: begin anew")
    again = (f"{encoder.name} has other files than its cache: {len(texts):,} texts were embedded anew",)
    vectors = torch.from_numpy(np.load(place / VECTORS, mmap_mode="c"))
    return Embeddings(vectors, index["longer"], index["known"], again if others else ())


def find_place(texts: list[str], encoder: EncoderFolder, cache: Path, numbers: str) -> Path:
    """Where the cache of these texts is, or will be: its name changes with them and with the encoder."""
    how = f"{encoder.name} {encoder.pooling} {encoder.normalised} {encoder.max_length} {numbers}"
    content = sha256(json.dumps(texts).encode()).hexdigest()
    key = sha256(f"{how} {content}".encode()).hexdigest()
    return cache / "embeddings" / f"{Path(encoder.name).name}-{key[:EDGE]}-{encoder.checksum[:EDGE]}"


def read_index(place: Path) -> dict[str, Any] | None:
    """What a cache says of itself; None where it is not there, not whole or not what was written."""
    try:
        index: dict[str, Any] = json.loads((place / INDEX).read_text(encoding="utf-8"))
        whole = index["checksum"] == sha256((place / VECTORS).read_bytes()).hexdigest()
        return index if whole and index["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def build_cache(place: Path, texts: list[str], encoder: EncoderFolder, device: str, numbers: str) -> None:
    """Embed the texts into a cache: whole, or not at all. Raises DataError."""
    needed = 4 * len(texts) * encoder.dim
    if needed > (free := free_bytes(place.parent)):
        raise DataError(
            f"the embeddings of {len(texts):,} texts take {in_units(needed)} in {place.parent}, where"
            f" {in_units(free)} are free: give --cache a folder on a larger disk"
        )
    print(f"embedding {len(texts):,} texts into {place} ({in_units(needed)}), once", file=sys.stderr)
    vectors, longer, known, _ = compute_embeddings(texts, encoder, device, numbers)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=place.parent))
    try:
        np.save(partial / VECTORS, vectors.numpy())
        checksum = sha256((partial / VECTORS).read_bytes()).hexdigest()
        index = {"format": FORMAT, "longer": longer, "known": known, "checksum": checksum}
        (partial / INDEX).write_text(json.dumps(index), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
