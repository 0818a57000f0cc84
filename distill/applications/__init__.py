"""Applications of one-step sets on trained networks: adapt them to other data, or poison them.

May import every room to its left. APPLICATIONS is the table: verb -> its job.
"""

from distill.registry import Entry

APPLICATIONS = {
    "adapt": Entry(
        "distill.applications.adapt:adapt", "fit trained networks to another data set (Wang et al. 2018)"
    ),
    "poison": Entry(
        "distill.applications.poison:poison", "make trained networks mistake a class (Wang et al. 2018)"
    ),
}
