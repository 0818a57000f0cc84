"""run_job(): from the arguments of a command line to an exit code."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from distill.commands.options import parse
from distill.errors import UserError
from distill.registry import Entry, load


def run_job(default: Any, job: str, arguments: Sequence[str] | None, prog: str) -> int:
    """Parse, then import and run the job "module:function" of (settings, command); the exit code."""
    argv = sys.argv[1:] if arguments is None else list(arguments)
    settings = parse(default, argv, prog)
    command = [*prog.split(), *argv]
    return print_result(lambda: load(Entry(job, ""))(settings, command), settings.run.json)


def print_result(job: Callable[[], dict[str, Any]], as_json: bool) -> int:
    """Do the job and print its result, or its error in one sentence on stderr; the exit code (0, 2, 130)."""
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
