"""The wheel holds what an installed distill reads; and the bounds of the oldest environment."""

import zipfile
from pathlib import Path

import pytest

from tests.lower_bounds import list_lower_bounds
from tests.wheel import ROOT, build_wheel, has_version


@pytest.mark.skipif(not has_version("setuptools", 77), reason="builds with the installed setuptools")
def test_the_wheel_holds_assets_types_and_modules(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path)) as wheel:
        names = {name for name in wheel.namelist() if name.startswith("distill/")}
    package = ROOT / "distill"
    files = {p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {"distill/py.typed", "distill/report/template/page.html"} <= names
    assert names == {str(p.relative_to(ROOT)) for p in files}


def test_lower_bounds_are_constraints() -> None:
    assert "torch==2.6" in list_lower_bounds()
    assert "pytest==8" in list_lower_bounds()
    assert all("==" in bound and ">" not in bound for bound in list_lower_bounds())
