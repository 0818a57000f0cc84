"""Engines: how the outer gradient travels back through the inner steps. One file per engine.

An engine knows no network (higher.py is the exception) and imports nothing but base.py and other engines.
ENGINES is the table; a new engine is one new file and one line here. Its option() fields become options of
the command line, and other engines refuse them.
"""

from distill.registry import Entry

ENGINES = {
    "unroll": Entry("distill.inner.engines.unroll:Unroll", "the whole graph at once: fastest, most memory"),
    "recompute": Entry(
        "distill.inner.engines.recompute:Recompute", "exact in little memory: one step's graph at a time"
    ),
    "truncated": Entry("distill.inner.engines.truncated:Truncated", "only a window of the steps"),
    "higher": Entry("distill.inner.engines.higher:Higher", "the higher package, with torch.optim's rules"),
}
