"""Parametrisations: what is learned and stored in the place of a set's images. One file per parametrisation.

A Synthetic's images are decoded from codes, and the outer loop learns the codes, so that a set may hold more
images than pixels of its size. A file knows base.py and nothing else of the package but errors and registry.
PARAMETRISATIONS is the table; a new parametrisation is one new file and one line here. Its option() fields
become options of the command line, and other parametrisations refuse them.
"""

from distill.registry import Entry

PARAMETRISATIONS = {
    "pixels": Entry("distill.outer.parametrisations.pixels:Pixels", "the images as they are"),
    "multi-formation": Entry(
        "distill.outer.parametrisations.multi_formation:MultiFormation",
        "several small images in each stored one, enlarged (IDC, Kim et al. 2022)",
    ),
    "dct": Entry(
        "distill.outer.parametrisations.dct:DCT", "the lowest frequencies (as FreD, Shin et al. 2023)"
    ),
    "bases": Entry(
        "distill.outer.parametrisations.bases:Bases",
        "mixtures of shared images (Deng and Russakovsky 2022)",
    ),
}
