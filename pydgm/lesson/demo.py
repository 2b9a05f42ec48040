"""Demos: ``python -m lessons demo NAME`` writes one page that needs no network, to drag, slide and press in front of a class.

A demo is a module in ``lessons/demos/FAMILY``: its docstring says what to do and what to see, ``make(rng)`` gives a
:class:`Demo`. Its picture is Bokeh's, which brings its JavaScript along; what the page computes when something is moved is in
``NAME.js`` beside the module. ``compute`` is the same by the library: the page begins with it, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..random import Generator
from .scripts import docstring, imported, scripts_in


class Demo(NamedTuple):
    """``layout``, a Bokeh model; ``compute(**values)`` gives by name the numbers that the page shows for these values."""

    layout: Any
    compute: Callable[..., Mapping[str, Any]]


def scripts() -> dict[str, Path]:
    """Every demo by its name."""
    return scripts_in("demos")


def make(name: str, seed: int = 0) -> Demo:
    """A demo, with what it has learned. Raises ``KeyError`` for a name that there is not, ``ImportError`` without bokeh."""
    path = scripts()[name]
    made: Demo = imported(path, f"pydgm_demo_{name}").make(Generator(seed))
    return made


def javascript(module_file: str) -> str:
    """What the page computes: NAME.js beside a demo's module."""
    return Path(module_file).with_suffix(".js").read_text(encoding="utf-8")


def draggable(plot: Any, source: Any, color: str) -> None:
    """A point of ``plot``, at ``x`` and ``y`` of ``source``, that the mouse moves."""
    from bokeh.models import PointDrawTool

    point = plot.scatter("x", "y", source=source, size=22, color=color, line_color="white", line_width=2)
    plot.add_tools(tool := PointDrawTool(renderers=[point], add=False))
    plot.toolbar.active_tap = tool


THEME = {
    "attrs": {
        "Title": {"text_font_size": "18px"},
        "Axis": {"major_label_text_font_size": "14px"},
        "Legend": {"label_text_font_size": "15px"},
        "Toolbar": {"logo": None},
    }
}


def page(name: str, demo: Demo) -> str:
    """The demo as HTML, with its text above, and letters that are read from the back row."""
    from bokeh.embed import file_html
    from bokeh.layouts import column
    from bokeh.models import Div, Plot, Widget
    from bokeh.resources import INLINE
    from bokeh.themes import Theme

    title, _, rest = docstring(scripts()[name]).partition("\n")
    layout = column(Div(text=f"<h1>{title}</h1><p>{rest.strip()}</p>", width=1000), demo.layout)
    for widget in layout.select({"type": Widget}):
        widget.styles = {"font-size": "17px"}
    for plot in layout.select({"type": Plot}):
        plot.toolbar_location = None
    html: str = file_html(layout, INLINE, title, theme=Theme(json=THEME))
    return html
