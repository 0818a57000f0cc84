"""A copy of the package with one more file and one more line in a table, as CONTRIBUTING adds things."""

import os
import shutil
from pathlib import Path

import distill

IGNORED = shutil.ignore_patterns("__pycache__", "bundled")


def extend_package(folder: Path, example: Path, place: str, table: str, line: str) -> dict[str, str]:
    """Copy the package into folder with the example as distill/PLACE and its line first in a table.

    place: "networks/allconv.py"; the table is in the __init__.py beside it. Returns the environment in which
    the copy goes before the installed package.
    """
    shutil.copytree(Path(distill.__file__).parent, folder / "distill", ignore=IGNORED)
    target = folder / "distill" / place
    shutil.copy(example, target)
    room = target.with_name("__init__.py")
    before = room.read_text(encoding="utf-8")
    after = before.replace(f"{table} = {{\n", f"{table} = {{\n    {line}\n")
    assert after != before
    room.write_text(after, encoding="utf-8")
    tests = Path(__file__).parents[1]
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(tests)])}
