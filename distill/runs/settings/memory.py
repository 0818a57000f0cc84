"""check_memory() and check_graph(): whether options that save memory or time have an effect in a run."""

from distill.errors import UserError
from distill.runs.settings import Settings

OUTER_BATCH = ("unroll", "rat-bptt", "dc", "dm")  # methods that pass real items; frepo has --precision


def check_memory(settings: Settings) -> None:
    """Raise UserError for --checkpoint-blocks or --autocast beside what they do not go with."""
    inner, outer = settings.inner, settings.outer
    others = {"--compile": inner.compile, "--engine higher": inner.engine == "higher"}
    if inner.checkpoint_blocks:
        useless = {f"--method {word}": outer.method == word for word in ("rcig", "sre2l")}
        check_none("--checkpoint-blocks", {**others, **useless})
    if outer.autocast:
        check_none("--autocast", {"--compile": inner.compile})
        if outer.method not in OUTER_BATCH:
            advice = "give --precision bfloat16" if outer.method == "frepo" else "leave it out"
            raise UserError(f"--autocast has no effect on --method {outer.method}: {advice}")


def check_graph(settings: Settings) -> None:
    """Raise UserError for --cuda-graph where there is no GPU, or an outer step draws anything at random."""
    inner, outer, options = settings.inner, settings.outer, settings.outer.method_options
    if not options.get("cuda_graph"):
        return
    if not settings.run.device.startswith("cuda"):
        raise UserError(f"--cuda-graph is for a GPU, not for --device {settings.run.device}: leave it out")
    check_none("--cuda-graph", {
        f"--engine {inner.engine}": inner.engine != "unroll", "--compile": inner.compile,
        "--checkpoint-blocks": inner.checkpoint_blocks, f"--augment {outer.augment}": bool(outer.augment),
    })  # fmt: skip
    steps = inner.inner_steps
    if {options.get("min_horizon") or steps, options.get("max_horizon") or steps} != {steps}:
        raise UserError(f"--cuda-graph needs as many steps each time: give --max-horizon {steps} too")


def check_none(word: str, others: dict[str, bool]) -> None:
    """Raise UserError for the first of the others that is given."""
    for other, given in others.items():
        if given:
            raise UserError(f"{word} does not go with {other}: leave one of them out")
