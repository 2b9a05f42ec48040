"""Demos in a browser: moved by mouse and by keys, the pixels change, and what is shown is what the library computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from lessons.__main__ import main
from pydgm.lesson import demo

from .conftest import watched


class Shown:
    """A demo's page, opened."""

    def __init__(self, page: Page, name: str, folder: Any) -> None:
        self.page, self.demo, self.complaints = page, demo.make(name), watched(page)
        path = folder / f"{name}.html"
        path.write_text(demo.page(name, self.demo), encoding="utf-8")
        page.goto(path.as_uri())
        page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")

    def value(self, name: str) -> float:
        return float(self.page.evaluate("name => Bokeh.documents[0].get_model_by_name(name).value", name))

    def data(self, source: str, field: str) -> np.ndarray:
        """A column of a source: numbers, or the first of its pictures or rows of rows."""
        get = """([source, field]) => {
            const x = Bokeh.documents[0].get_model_by_name(source).data[field];
            const flat = each => typeof each === "number" ? each : Array.from(each, flat);
            return Array.from(x, flat);
        }"""
        return np.array(self.page.evaluate(get, [source, field]), "float64")

    def said(self) -> str:
        return self.page.evaluate("Bokeh.documents[0].get_model_by_name('said').text")

    def slide(self, name: str, *keys: str) -> None:
        """Keys on a slider's handle."""
        handle = self.page.locator(".noUi-handle").nth(self.sliders.index(name))
        handle.focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.page.wait_for_timeout(100)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the figure "plot" is on the screen."""
        get = """([x, y]) => {
            const view = Bokeh.index.find_one_by_id(Bokeh.documents[0].get_model_by_name("plot").id);
            const box = view.el.getBoundingClientRect();
            return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
        }"""
        return tuple(self.page.evaluate(get, [x, y]))

    def drag(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*begin)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=8)
        self.page.mouse.up()
        self.page.wait_for_timeout(200)

    sliders: tuple[str, ...] = ()


@pytest.fixture
def opened(browser, request, tmp_path) -> Iterator[Shown]:
    page = browser.new_page(viewport={"width": 1024, "height": 768})
    shown = Shown(page, request.param, tmp_path)
    yield shown
    assert not shown.complaints
    assert page.evaluate("document.documentElement.scrollWidth") <= 1024
    page.close()


@pytest.mark.parametrize("opened", ["planar_maps"], indirect=True)
def test_planar_maps(opened) -> None:
    opened.sliders = ("u1", "u2", "w1", "w2", "b")

    def the_same() -> dict[str, Any]:
        values = {name: opened.value(name) for name in opened.sliders}
        truth = opened.demo.compute(**values)
        lines = np.stack([opened.data("lines", "xs"), opened.data("lines", "ys")], axis=-1)
        np.testing.assert_allclose(lines, truth["lines"], atol=1e-12)
        for name in ("density", "log_det"):
            np.testing.assert_allclose(opened.data(name, "image").reshape(60, 60), truth[name], atol=1e-9)
        return values

    begun, before = the_same(), opened.page.screenshot()
    opened.slide("w2", *["ArrowRight"] * 8)
    opened.slide("b", *["ArrowLeft"] * 5)
    moved, after = the_same(), opened.page.screenshot()
    assert moved["w2"] > begun["w2"]
    assert moved["b"] < begun["b"]
    assert after != before
    handle = opened.page.locator(".noUi-handle").nth(1).bounding_box()
    place = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    opened.drag(place, (place[0] + 40, place[1]))
    assert the_same()["u2"] > moved["u2"]
    opened.slide("u1", "Home")
    opened.slide("w2", "Home")
    folded = the_same()
    assert folded["u1"] * folded["w1"] + folded["u2"] * folded["w2"] < -1.0
    assert not opened.data("density", "image").any()
    assert "no inverse" in opened.said()


@pytest.mark.parametrize("opened", ["moving_gaussian"], indirect=True)
def test_moving_gaussian(opened) -> None:
    opened.sliders = ("mean",)

    def the_same() -> float:
        mean = opened.value("mean")
        truth = opened.demo.compute(mean)
        for name in ("p", "q", "D", "critic"):
            np.testing.assert_allclose(opened.data("curves", name), truth[name], atol=1e-9)
        np.testing.assert_allclose(opened.data("now", "distance"), truth["distances"], atol=2e-6)
        np.testing.assert_allclose(opened.data("pushes", "push"), truth["pushes"], rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(opened.data("fake", "x"), [mean])
        return mean

    opened.slide("mean", *["ArrowLeft"] * 6)
    begun, before = the_same(), opened.page.screenshot()
    opened.drag(opened.at(begun, 0.0), opened.at(0.5, 0.3))
    assert the_same() == pytest.approx(0.5, abs=0.1)
    assert opened.page.screenshot() != before
    opened.slide("mean", "Home")
    assert the_same() == -3.0  # on the data: no push at all


@pytest.mark.parametrize("opened", ["latent_manifold"], indirect=True)
def test_latent_manifold(opened) -> None:
    opened.sliders = ("z1", "z2")

    def the_same() -> tuple[float, float]:
        z = opened.value("z1"), opened.value("z2")
        np.testing.assert_allclose(opened.data("image", "image").reshape(28, 28), opened.demo.compute(*z)["image"], atol=1e-5)
        np.testing.assert_allclose([*opened.data("here", "x"), *opened.data("here", "y")], z)
        return z

    opened.slide("z1", *["ArrowRight"] * 4)
    begun, before = the_same(), opened.page.screenshot()
    opened.drag(opened.at(*begun), opened.at(-1.0, 1.0))
    assert the_same() == pytest.approx((-1.0, 1.0), abs=0.1)
    assert opened.page.screenshot() != before


@pytest.mark.parametrize("opened", ["rbm_chain"], indirect=True)
def test_rbm_chain(opened) -> None:
    def the_same() -> None:
        held = opened.data("state", "held")
        truth = opened.demo.compute(opened.data("state", "before"), opened.data("units", "h"), held)
        np.testing.assert_allclose(opened.data("units", "hidden"), truth["hidden"], atol=1e-4)
        np.testing.assert_allclose(opened.data("state", "visible"), truth["visible"], atol=1e-4)
        assert opened.said() == f"F = {truth['free_energy']:.2f} nats"
        np.testing.assert_array_equal(opened.data("state", "v")[held > 0], held[held > 0] - 1.0)

    page = opened.page
    before = page.screenshot()
    page.get_by_role("button", name="Step").click()
    the_same()
    assert page.screenshot() != before
    page.mouse.click(*opened.at(10.5, 20.5))  # column 10 from the left, row 20 from below: row 7 from above
    assert opened.data("state", "held").nonzero()[0].tolist() == [7 * 28 + 10]
    page.get_by_role("button", name="Hold").focus()
    page.keyboard.press("Enter")  # row 14, column 14
    assert opened.data("state", "held").nonzero()[0].tolist() == [7 * 28 + 10, 13 * 28 + 13]
    page.get_by_role("button", name="From noise").click()
    noise = opened.data("state", "v")
    assert 0.4 < noise.mean() < 0.6
    page.get_by_role("button", name="Run").click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Run").click()
    page.wait_for_timeout(200)
    the_same()
    assert (opened.data("state", "v") != noise).mean() > 0.1
    page.get_by_role("button", name="Let all go").click()
    assert not opened.data("state", "held").any()


def test_the_command(tmp_path, capsys) -> None:
    assert main(["demo", "planar_maps", "--out", str(tmp_path / "new")]) == 0
    page = (tmp_path / "new" / "planar_maps.html").read_text(encoding="utf-8")
    assert "Bokeh" in page
    assert capsys.readouterr().out == f"{tmp_path / 'new' / 'planar_maps.html'}\n"
    (tmp_path / "file").touch()
    assert main(["demo", "planar_maps", "--out", str(tmp_path / "file" / "a")]) == 2
    assert "cannot write into" in capsys.readouterr().err
