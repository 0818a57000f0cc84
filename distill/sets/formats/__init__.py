"""The file formats by which sets are shared, one file each. A new one is a file here and a line of FORMATS.

The files of other projects are in the folder projects.
They may import the rest of the room `sets` and what it imports. distill.sets.formats.base says what a format
must offer. The choices of `distill export --to`, what `distill import` recognises, "did you mean" and the
contract test (tests/sets/test_format_contract.py) come from this table, which imports no torch.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from distill.registry import Entry


class Format(NamedTuple):
    """One line of the table: the module, what the format is, and which ways it goes.

    writes: `distill export` writes it. reads: "set" where a file of it is a whole distilled set, "public"
    where it holds images and labels of another project, "" where it is not read. options: keywords of
    write_set() or read_public() that only some formats heed, options of `distill export` and `import`.
    """

    place: str
    summary: str
    writes: bool = False
    reads: str = ""
    options: tuple[str, ...] = ()


FORMATS = {
    "hf": Format(
        "distill.sets.formats.huggingface",
        "a Hugging Face folder to upload as it is: parquet and card",
        writes=True,
        options=("license",),
    ),
    "images": Format(
        "distill.sets.formats.ddranking",
        "PNGs, tensors and a csv of labels, as DD-Ranking reads them",
        writes=True,
        options=("channels", "size"),
    ),
    "safetensors": Format(
        "distill.sets.formats.safetensors",
        "set.safetensors and set.json, which every export holds",
        writes=True,
        reads="set",
    ),
    "sldd": Format(
        "distill.sets.formats.projects.sldd", "results.pth of SsnL and of ilia10000's SLDD", reads="public"
    ),
    "dc": Format(
        "distill.sets.formats.projects.dc",
        "res_*.pt of VICO's DC, DSA and DM",
        reads="public",
        options=("experiment",),
    ),
    "mtt": Format(
        "distill.sets.formats.projects.mtt",
        "images_best.pt and labels_best.pt of MTT and DATM, or their folder",
        reads="public",
    ),
    "frepo": Format(
        "distill.sets.formats.projects.frepo", "checkpoints of flax of FRePo and RCIG", reads="public"
    ),
    "rat-bptt": Format("distill.sets.formats.projects.rat_bptt", ".h5 of RaT-BPTT", reads="public"),
    "arrays": Format(
        "distill.sets.formats.arrays",
        "images and labels in a .pt (a pair or a dict) or an .npz",
        reads="public",
    ),
    "pictures": Format(
        "distill.sets.formats.pictures",
        "a folder of distilled pictures, one subfolder per class",
        reads="public",
    ),
}


def select_formats(writes: bool = False, reads: str = "") -> dict[str, Entry]:
    """The formats that go one way, as a table of the registry."""
    return {
        word: Entry(line.place, line.summary)
        for word, line in FORMATS.items()
        if (writes and line.writes) or (reads and line.reads == reads)
    }


def select_options(word: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a format's write_set() among named values."""
    return {name: values[name] for name in FORMATS[word].options}


def formats_with(option: str) -> tuple[str, ...]:
    """The formats that heed an option."""
    return tuple(word for word, line in FORMATS.items() if option in line.options)


WRITERS = select_formats(writes=True)
SET_READERS = select_formats(reads="set")
PUBLIC_READERS = select_formats(reads="public")
