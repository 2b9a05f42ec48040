"""Wrong models: the list is in order, and a sample of it turns lessons red. ``python -m tests.mutation`` tries them all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pydgm.lesson.claims import in_a_cell

from .mutation import models
from .mutation.__main__ import by_lesson, controls, scripts
from .test_each_lesson import LESSONS
from .test_lessons import ROOT

NAMED = list(models.named())

# One for each family, with the words of the claim that is to notice: each takes a lesson's quick run.
SAMPLE = {
    "a player answers to what the others were before the step": ("optimal_discriminator", "one turn of each, by hand"),
    "the ELBO forgets the entropy": ("variational_inference", "ELBO + KL"),
    "the log-determinant has the wrong sign": ("autoregressive_flow", "log det both ways against the engine"),
    "CD's chains begin at noise": ("rbm_contrastive_divergence", "CD stands still"),
    "mask A is used everywhere": ("pixel_cnn", "plain masks: pixels of the past not seen"),
    "q* ignores the model": ("posterior_regularization", "q* against an optimiser"),
}


def test_the_list_is_in_order() -> None:
    """Each wrong text stands in a file that exists, is Python, and differs; each has a lesson and a test that are to notice."""
    assert len({(model.file, model.name) for model in NAMED}) == len(NAMED) >= 200
    for model in NAMED:
        ast.parse(model.source)
        assert model.source != (models.ROOT / "pydgm" / model.file).read_text(encoding="utf-8")
        assert len(scripts(model.lessons)) == len(model.lessons) >= 1
        assert all((models.ROOT / "tests" / f"{name}.py").exists() for name in model.tests)


def test_every_model_is_on_the_list() -> None:
    files = [path.relative_to(models.ROOT / "pydgm").as_posix() for path in (models.ROOT / "pydgm" / "models").rglob("*.py")]
    assert {file for file in files if not file.endswith("__init__.py")} <= {model.file for model in NAMED}


def test_changes_by_rule_are_python_and_differ() -> None:
    every = list(models.generated())
    assert len(every) > 800
    for model in every[::40]:
        ast.parse(model.source)
        assert model.source != (models.ROOT / "pydgm" / model.file).read_text(encoding="utf-8")


def test_only_claims_and_errors_of_the_model_count(monkeypatch, tmp_path) -> None:
    """A lesson that cannot begin, for want of data say, has noticed nothing; nor does one notice a model that is right."""
    *lessons, tests = controls(NAMED)
    assert {name for right in lessons for name in right.lessons} == {name for model in NAMED for name in model.lessons}
    assert set(tests.tests) == {name for model in NAMED for name in model.tests}
    assert tests.source == (models.ROOT / "pydgm" / tests.file).read_text(encoding="utf-8")
    assert by_lesson(lessons[0]._replace(lessons=()), Path("lessons/adversarial/gan_vs_wgan.py"), "quick") == ""
    monkeypatch.setenv("PYDGM_DATA", str(tmp_path))
    with pytest.raises(RuntimeError, match="exit status 2"):
        by_lesson(lessons[0], Path("lessons/latent/vae_reparameterization.py"), "quick")


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_wrong_model_breaks_a_named_claim(name) -> None:
    lesson, claim = SAMPLE[name]
    model = next(model for model in NAMED if model.name == name and lesson in model.lessons)
    assert claim in by_lesson(model, scripts([lesson])[0], "quick")


@pytest.mark.parametrize("script", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_refuses_wrong_models(script) -> None:
    """Its page has a table of them."""
    assert f"| {script.stem}: " in (ROOT / "docs" / "wrong_models.md").read_text(encoding="utf-8")


def test_every_wrong_model_is_on_the_page() -> None:
    page = (ROOT / "docs" / "wrong_models.md").read_text(encoding="utf-8")
    for model in NAMED:
        section = page.split(f"## `pydgm/{model.file}`")[1].split("\n## ")[0]
        assert f"| {in_a_cell(model.name)} | " in section, model.name
    assert f"{len(NAMED)} of {len(NAMED)} (100%) after tests" in page
