"""Slides in a browser: ``python -m sphinx -b revealjs docs/slides slides``, then ``python -m pytest docs/tests``.

Nothing is asked for outside, nothing leaves the screen, letters can be read, and a number comes after its question.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import watched

ROOT = Path(__file__).resolve().parents[2]
DECKS = sorted((ROOT / "slides").glob("*.html"))
NAMES = {path.stem for path in (ROOT / "lessons").glob("*/*.py") if path.stem != "__init__"}
OVER = """() => {
    const all = [...document.querySelectorAll(".slides section:not(:has(section))")], over = [];
    for (const section of all) {
        const {h, v} = Reveal.getIndices(section);
        Reveal.slide(h, v, 99);
        const size = x => parseFloat(getComputedStyle(x).fontSize);
        const texts = [...section.querySelectorAll("h1, h2, p, li, strong")];
        const parts = [...texts, ...section.querySelectorAll("img, mjx-math")].map(x => x.getBoundingClientRect());
        const out = parts.some(x => x.left < 0 || x.right > innerWidth || x.top < 0 || x.bottom > innerHeight);
        if (out || texts.some(x => size(x) < 24)) over.push(section.querySelector("h1, h2").innerText);
    }
    return [all.length, over];
}"""


def test_every_lesson_has_slides() -> None:
    assert {path.stem for path in DECKS} == NAMES | {"index", "search", "genindex"} & {path.stem for path in DECKS}


@pytest.mark.parametrize("size", [(1024, 768), (1920, 1080)], ids=str)
@pytest.mark.parametrize("name", sorted(NAMES))
def test_slides_fit_and_can_be_read(browser, name, size) -> None:
    page = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
    complaints = watched(page)
    page.goto((ROOT / "slides" / f"{name}.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    page.evaluate("window.MathJax ? MathJax.startup.promise : null")
    slides, over = page.evaluate(OVER)
    assert not complaints
    assert over == []
    claims = json.loads((ROOT / "figures" / f"{name}.json").read_text(encoding="utf-8"))["claims"]
    assert page.locator("section:has(.fragment):not(:has(section))").count() == len(claims) + 3
    assert slides >= len(claims) + 6
    assert page.locator("mjx-merror").count() == 0
    page.close()


def test_a_number_comes_after_its_question(browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((ROOT / "slides" / "earth_mover.html").as_uri())
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    answer = page.locator("section.present .fragment")
    while not answer.count():
        page.keyboard.press("Space")
        page.wait_for_timeout(50)
    assert page.locator("section.present .fragment.visible").count() == 0
    page.keyboard.press("Space")
    assert page.locator("section.present .fragment.visible").count() == 1
    page.close()
