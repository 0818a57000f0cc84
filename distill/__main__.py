"""`python -m distill VERB …`: one command per verb."""

import sys
from collections.abc import Sequence
from importlib import import_module

from distill import __version__
from distill.commands import VERBS
from distill.commands.streams import tolerant_streams
from distill.errors import unknown

USAGE = "usage: distill VERB [options]\n\n" + "\n".join(
    f"  {v:<9}{summary}" for v, (_, summary) in VERBS.items()
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand the rest of the command line to the verb; its exit code."""
    with tolerant_streams():
        return run_verb(arguments)


def run_verb(arguments: Sequence[str] | None) -> int:
    """The same, with whatever stdout and stderr are."""
    verb, *verb_arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if verb in ("-h", "--help"):
        print(
            USAGE + "\n\n`distill VERB --help` lists the options of a verb; `distill --version` the version."
        )
        return 0
    if verb == "--version":
        print(f"distill {__version__}")
        return 0
    if verb not in VERBS:
        print("distill: " + unknown("verb", verb, VERBS), file=sys.stderr)
        return 2
    code: int = import_module(f"distill.commands.{VERBS[verb][0]}").main(verb_arguments, f"distill {verb}")
    return code


if __name__ == "__main__":
    sys.exit(main())
