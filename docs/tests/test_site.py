"""The site as a reader's browser has it: ``python -m sphinx docs site``, then ``python -m pytest docs/tests``.

Chromium opens every page from its file, without a network: pictures, formulas, links are there, nothing is asked for outside,
nothing is wider than a projector's 1024 pixels, and axe finds nothing that shuts somebody out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import Page

from .conftest import is_local, watched

SITE = Path(__file__).resolve().parents[2] / "site"
PAGES = sorted(SITE.glob("**/*.html"))
READ = [page for page in PAGES if not {"_modules", "_static"} & set(page.parts)]  # those are listings of source, and templates


class Opened(NamedTuple):
    """A page, and what it complained of."""

    page: Page
    complaints: list[str]


@pytest.fixture
def opened(browser, request) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1024, "height": 768})
    complaints = watched(page)
    page.goto(request.param.as_uri())
    page.evaluate("window.MathJax ? MathJax.startup.promise : null")
    yield Opened(page, complaints)
    page.close()


def _name(page: Path) -> str:
    return page.relative_to(SITE).as_posix()


def test_there_is_a_site() -> None:
    assert len(READ) >= 40, f"{SITE} has no site: python -m sphinx docs site"


@pytest.mark.parametrize("opened", READ, ids=_name, indirect=True)
def test_a_page_is_whole(opened) -> None:
    page = opened.page
    assert not opened.complaints
    pictures = page.eval_on_selector_all("img", "all => all.map(x => [x.src, x.alt.trim(), x.naturalWidth])")
    assert not [source for source, _, width in pictures if not width]
    assert not [source for source, alt, _ in pictures if not alt and "_thumb" not in source]  # a card has its title beside it
    formulas = page.locator(".math").count()
    assert page.locator("mjx-container").count() >= formulas
    assert page.locator("mjx-merror").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1024


def links(page: Path) -> list[str]:
    """Where a page leads, as addresses of files."""
    found = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find_all("a", href=True)
    return [urljoin(page.as_uri(), link["href"]) for link in found]


def anchors(page: Path) -> set[str]:
    return {each["id"] for each in BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find_all(id=True)}


def test_every_link_leads_somewhere() -> None:
    known: dict[Path, set[str]] = {}
    broken = []
    for page in PAGES:
        for link in links(page):
            address, fragment = urldefrag(link)
            if not is_local(address):
                continue
            path = Path(unquote(urlparse(address).path))
            if not path.is_file() or not path.is_relative_to(SITE):
                broken.append(f"{_name(page)}: {link}")
            elif fragment and path.suffix == ".html":
                if path not in known:
                    known[path] = anchors(path)
                if unquote(fragment) not in known[path]:
                    broken.append(f"{_name(page)}: {link}")
    assert not broken


KINDS = [
    "index",
    "guide",
    "lessons/index",
    "lessons/adversarial/earth_mover",
    "lectures/index",
    "lectures/latent",
    "api/models",
    "figures",
]


@pytest.mark.parametrize("opened", [SITE / f"{name}.html" for name in KINDS], ids=KINDS, indirect=True)
def test_a_page_is_for_everybody(opened) -> None:
    found = Axe().run(opened.page).response["violations"]
    serious = [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] != "minor"]
    assert not serious


LESSONS = sorted(path for path in (SITE.parent / "lessons").glob("*/*.py") if path.stem != "__init__")


@pytest.mark.parametrize("script", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_its_claims_its_breaks_and_its_files(script) -> None:
    text = (SITE / "lessons" / script.parent.name / f"{script.stem}.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    claims = page.select("table.claims tbody tr")
    assert claims
    assert {row.find_all("td")[-1].text for row in claims} == {"holds"}
    code = "\n".join(block.text for block in page.select(".highlight-Python pre"))
    _, *statements = ast.parse(script.read_text(encoding="utf-8")).body
    assert ast.dump(ast.parse(code)) == ast.dump(ast.Module(statements, []))
    assert len(page.select("img.picture")) >= 2
    assert page.select("#break-it table tbody tr")
    assert page.select("#exercises li")
    for suffix in (".py", ".ipynb"):
        (file,) = SITE.glob(f"_downloads/*/{script.stem}{suffix}")
        assert "sphinx_gallery" not in file.read_text(encoding="utf-8")
    assert next(SITE.glob(f"_downloads/*/{script.stem}.py")).read_bytes() == script.read_bytes()


def test_the_search_finds(browser) -> None:
    page = browser.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=reparameterise")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li").count() >= 3
    page.close()


@pytest.mark.parametrize("name", ["logistic_regression", "variational_autoencoder"])
def test_a_program_beside_its_lines(browser, name) -> None:
    """By mouse and by keys: a line lights up what belongs to it on the other side, and keys go there and back."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((SITE / f"walked/{name}.html").as_uri())
    frame = page.frame_locator("iframe")
    lines = frame.locator("aside .line[tabindex]")
    program = frame.locator("main .line")
    assert lines.count() >= 5
    assert program.count() >= 15
    used = lines.nth(0)
    used.hover()
    assert frame.locator("main .line.lit, main .line.near").count() >= 1
    page.mouse.move(1, 1)
    used.focus()
    page.keyboard.press("ArrowRight")
    there = frame.locator("main .line:focus")
    assert there.count() == 1
    assert frame.locator("aside .line.near").count() == 1
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert frame.locator("aside .line:focus").count() == 1
    page.keyboard.press("Shift+ArrowRight")
    assert frame.locator("aside").evaluate("side => side.scrollLeft") > 0
    page.keyboard.press("Escape")
    assert frame.locator(".lit, .near").count() == 0
    page.close()
