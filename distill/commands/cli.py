"""entry(): a main job as a command, from words to an exit code."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from distill.errors import UserError
from distill.runs.settings import Config


def parse(kind: type, arguments: Sequence[str] | None, prog: str) -> Any:
    """The command line as a dataclass of this kind; --help and mistakes end the program (exit code 0, 2)."""
    import tyro

    return tyro.cli(kind, args=arguments, prog=prog)


def answer(job: Callable[[], dict[str, Any]], as_json: bool) -> int:
    """Do the job and say its result, or its error in one sentence on stderr; the exit code (0, 2, 130)."""
    try:
        result = job()
    except (UserError, OSError) as error:  # an OSError: the disk is full, or a folder went away
        print(f"distill: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("distill: interrupted", file=sys.stderr)
        return 130
    if as_json:
        print(json.dumps(result))
    return 0


def entry(kind: type[Config], arguments: Sequence[str] | None, prog: str) -> int:
    """Parse, then import torch and run the main job; the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    config = parse(kind, words, prog)

    def job() -> dict[str, Any]:
        from distill.runs.job import distil

        return distil(config, [*prog.split(), *words])

    return answer(job, config.json)
