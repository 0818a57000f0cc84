"""run_job() and run_command(): from the arguments of a command line to an exit code."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from distill.commands.options import parse
from distill.commands.streams import tolerant_streams
from distill.errors import UserError, is_memory_error
from distill.registry import Entry, check_effects, check_options, load

Result = dict[str, Any]


def run_job(default: Any, job: str, arguments: Sequence[str] | None, prog: str) -> int:
    """Parse, then import and run the job "module:function" of (settings, command); the exit code.

    Whether an option has an effect is known once a run that is resumed has its settings: resolve() looks.
    """
    argv = sys.argv[1:] if arguments is None else list(arguments)
    with tolerant_streams():
        settings, _ = parse(default, argv, prog)

        def run() -> Result:
            check_options(settings)
            result: Result = load(Entry(job, ""))(settings, [*prog.split(), *argv])
            return result

        return print_result(run, settings.run.json)


def run_command(
    default: Any, command: Callable[[Any], Result], arguments: Sequence[str] | None, prog: str
) -> int:
    """Parse, look at each option, and run a command of one settings object; the exit code."""
    with tolerant_streams():
        config, given = parse(default, arguments, prog)

        def run() -> Result:
            check_options(config)
            check_effects(config, given)
            return command(config)

        return print_result(run, config.json)


def print_result(job: Callable[[], Result], as_json: bool) -> int:
    """Do the job and print its result, or its error in one sentence on stderr; the exit code (0, 2, 130).

    The result of a process that is not the first of its run is empty, and nothing is printed.
    """
    try:
        result = job()
    except (UserError, OSError) as error:  # an OSError: the disk is full, or a folder went away
        print(f"distill: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        print(f"distill: {OUT_OF_MEMORY}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:  # of a run that can go on it says how
        print(f"distill: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130
    if as_json and result:
        print(json.dumps(result))
    return 0


OUT_OF_MEMORY = (
    "out of memory: choose fewer or smaller items, smaller batches, fewer steps or a smaller network"
)
