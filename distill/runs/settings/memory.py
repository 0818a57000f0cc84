"""check_memory(): whether the options that save memory have an effect in a run."""

from distill.errors import UserError
from distill.runs.settings import Settings

OUTER_BATCH = ("unroll", "rat-bptt", "dc", "dm")  # methods that pass real items; frepo has --precision


def check_memory(settings: Settings) -> None:
    """Raise UserError for --checkpoint-blocks or --autocast beside what they do not go with."""
    inner, outer = settings.inner, settings.outer
    others = {"--compile": inner.compile, "--engine higher": inner.engine == "higher"}
    if inner.checkpoint_blocks:
        check_none("--checkpoint-blocks", {**others, "--method rcig": outer.method == "rcig"})
    if outer.autocast:
        check_none("--autocast", {"--compile": inner.compile})
        if outer.method not in OUTER_BATCH:
            advice = "give --precision bfloat16" if outer.method == "frepo" else "leave it out"
            raise UserError(f"--autocast has no effect on --method {outer.method}: {advice}")


def check_none(word: str, others: dict[str, bool]) -> None:
    """Raise UserError for the first of the others that is given."""
    for other, given in others.items():
        if given:
            raise UserError(f"{word} does not go with {other}: leave one of them out")
