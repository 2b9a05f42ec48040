"""What is installed works without the clone: every package is in it, and a lesson runs from any folder."""

import configparser
import json
import os
import shutil
import subprocess
import sys

import pytest

from pydgm import errors

from .test_lessons import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def test_every_package_is_named() -> None:
    """In setup.cfg, which looks for none, since lessons are installed under another name than their folder's."""
    own = {path.parent.relative_to(ROOT) for path in (ROOT / "pydgm").rglob("__init__.py")}
    lessons = {"pydgm" / path.parent.relative_to(ROOT) for path in (ROOT / "lessons").rglob("__init__.py")}
    assert SETUP["options"]["packages"].split() == sorted(".".join(path.parts) for path in own | lessons)


@pytest.mark.slow
def test_an_installed_lesson_runs_from_any_folder(tmp_path) -> None:
    """Built as a stranger would, from the files alone; no ``lessons`` is left at the top of what is installed."""
    clone, place, away = tmp_path / "clone", tmp_path / "installed", tmp_path / "away"
    for folder in ("pydgm", "lessons"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy2(ROOT / file, clone)
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", place, clone]
    subprocess.run(install, check=True, capture_output=True)
    assert (place / "pydgm" / "lessons" / "flows" / "planar_flow.py").is_file()
    assert (place / "pydgm" / "compile" / "show.html").is_file()
    assert not (place / "lessons").exists()
    away.mkdir()
    env = {**os.environ, "PYTHONPATH": str(place), "PYTHONSAFEPATH": "1"}

    def program(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([place / "bin" / "pydgm", *words], cwd=away, env=env, capture_output=True, text=True, check=False)

    assert "flows/planar_flow" in program().stdout
    done = program("run", "earth_mover", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(claim["holds"] for claim in json.loads((away / "figures" / "earth_mover.json").read_text())["claims"])
    assert program("notebook", "earth_mover").stdout.strip() == "notebooks/earth_mover.ipynb"
    done = program("figures")
    assert (done.returncode, done.stderr) == (2, "error: figures are for a clone of the project\n")
    assert program("run", "nothing").stderr.startswith("usage: pydgm run")


def test_what_to_install_where_there_is_no_clone(monkeypatch) -> None:
    assert errors.to_install("lessons") == 'pip install -e ".[lessons]"'
    monkeypatch.setattr(errors, "_OWN", os.path.join("site-packages", "pydgm", ""))
    assert errors.to_install("lessons") == "pip install matplotlib pillow tqdm pooch hypothesis"
    assert errors.to_install("cuda12") == "pip install cupy-cuda12x"
