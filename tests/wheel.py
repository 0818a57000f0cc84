"""`python -m tests.wheel`: the wheel, built, installed elsewhere, and used from an empty directory.

Its dependencies are those of this environment, through a .pth file, so that torch is not fetched again.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHORT_RUN = ["--n", "2", "--outer-steps", "3", "--held-out", "50", "--out", "run"]


def build_wheel(folder: Path) -> Path:
    """The wheel of this clone, from a copy of its sources (setuptools would keep a build/)."""
    sources, options = folder / "sources", ["--no-isolation"] if has_version("setuptools", 77) else []
    shutil.copytree(ROOT / "distill", sources / "distill", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    run_command([sys.executable, "-m", "build", "--wheel", "--outdir", folder, *options, sources], folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def has_version(package: str, version: int) -> bool:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as find_version

    try:
        return int(find_version(package).split(".")[0]) >= version
    except PackageNotFoundError:
        return False


def install_wheel(wheel: Path, folder: Path) -> Path:
    """The python of a new environment that has the wheel, and this one's packages behind it."""
    run_command([sys.executable, "-m", "venv", folder], ROOT)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run_command([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], ROOT)
    site_packages = run_command(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], ROOT
    ).strip()
    # a path alone, no addsitedir(): the editable install's own .pth must not run
    (Path(site_packages) / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def run_command(command: list[object], cwd: Path) -> str:
    """What a command prints; ends with its output where it fails."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(
        [str(w) for w in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, empty_folder = Path(folder), Path(folder) / "empty"
        empty_folder.mkdir()
        (root / "dist").mkdir()
        python = install_wheel(build_wheel(root / "dist"), root / "venv")
        module_path = run_command(
            [python, "-c", "import distill; print(distill.__file__)"], empty_folder
        ).strip()
        assert Path(module_path).is_relative_to(root / "venv"), module_path
        assert "usage: distill" in run_command([python.with_name("distill"), "--help"], empty_folder)
        print(run_command([python, "-m", "distill.mnist", *SHORT_RUN], empty_folder))
        print(run_command([python, "-m", "distill.student", "run/set.pt"], empty_folder))
        print(run_command([python, "-m", "distill", "text", *SHORT_RUN[:-1], "text"], empty_folder))
        print(
            f"{module_path}: distilled images and sentences, and trained a student, from an empty directory"
        )


if __name__ == "__main__":
    main()
