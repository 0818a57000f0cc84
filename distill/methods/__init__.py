"""Methods: what an outer step lowers, and its gradient for what is learned. One file per published method.

May import data, networks, inner and the free modules; a method's file knows the contracts (base.py, visits.py
and, class by class, matching/classes.py) and no other method. METHODS is the table; a new method is one new
file and one line here. `settings` of a method are the fields of its class: they become options of the command
line, and other methods refuse them.
"""

from distill.registry import Entry

METHODS = {
    "unroll": Entry(
        "distill.methods.unroll:BPTT", "differentiate through the inner training (Wang et al. 2018)"
    ),
    "rat-bptt": Entry(
        "distill.methods.rat_bptt:RaTBPTT",
        "differentiate through random windows (Feng, Vedantam and Kempe 2024)",
    ),
    "frepo": Entry(
        "distill.methods.kernel_ridge:FRePo", "ridge regression on features (Zhou, Nezhadarya and Ba 2022)"
    ),
    "rcig": Entry(
        "distill.methods.implicit_gradients:RCIG",
        "implicit gradients of linearised networks (Loo et al. 2023)",
    ),
    "dc": Entry("distill.methods.matching.gradients:DC", "match gradients class by class (Zhao et al. 2021)"),
    "dm": Entry(
        "distill.methods.matching.distributions:DM", "match mean features of classes (Zhao and Bilen 2023)"
    ),
    "mtt": Entry(
        "distill.methods.trajectories.matching:MTT", "match experts' trajectories (Cazenavette et al. 2022)"
    ),
    "sre2l": Entry(
        "distill.methods.decoupled.recovery:SRe2L",
        "recover items from a trained network's batch norm (Yin, Xing and Shen 2023)",
    ),
}
