"""A planar map: what it does to space

Slide u, w and b (with the mouse, or Tab and the arrow keys). Left: a grid, moved along u by tanh(w'z + b). Middle: the density
that the map makes of a round Gaussian. Right: the log-determinant, how much space is stretched (red) or squeezed (blue) at each
z. Make u'w smaller than -1: the map folds space over, and there is no density any more. Find two modes with one map.
"""

import math

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, Div, LinearColorMapper, Slider
from bokeh.palettes import Blues256, Greys256, Reds256, diverging_palette
from bokeh.plotting import figure

import pydgm as dgm
from pydgm.bijections import Chain
from pydgm.distributions import StandardNormal, Transformed
from pydgm.lesson.demo import Demo, javascript
from pydgm.models.flows import Planar

REACH, CELLS = 4.0, 60
START = {"u1": 1.5, "u2": 0.0, "w1": 1.0, "w2": 0.0, "b": 0.0}
TICKS, ALONG = np.linspace(-3.0, 3.0, 13), np.linspace(-3.0, 3.0, 41)
LINES = [*[np.stack([0 * ALONG + t, ALONG], 1) for t in TICKS], *[np.stack([ALONG, 0 * ALONG + t], 1) for t in TICKS]]


def compute(u1, u2, w1, w2, b):
    """Where the lines go, the density of x, log |det df/dz|, and u'w."""
    u, w = np.array([u1, u2]), np.array([w1, w2])
    centres = (np.arange(CELLS) + 0.5) * 2 * REACH / CELLS - REACH
    points = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
    slope = 1.0 - np.tanh(points @ w + b) ** 2
    with np.errstate(divide="ignore"):
        log_det = np.log(np.abs(1.0 + slope * (u @ w)))
    density = np.zeros(len(points))
    if u @ w > -1.0:
        one_map = Planar.of(dgm.asarray(u[None]), dgm.asarray(w[None]), dgm.asarray(np.array([b])))
        density = np.exp(dgm.to_numpy(Transformed(StandardNormal(2), Chain([one_map])).log_prob(dgm.asarray(points))))
        log_det = dgm.to_numpy(one_map.forward_and_log_det(dgm.asarray(points))[1])
    moved = np.array([z + u * np.tanh(z @ w + b)[:, None] for z in LINES])
    shown = np.clip(log_det, -3.0, 3.0).reshape(CELLS, CELLS)
    return {"lines": moved, "density": density.reshape(CELLS, CELLS), "log_det": shown, "uw": float(u @ w)}


def make(rng) -> Demo:
    first = compute(**START)
    lines = ColumnDataSource({"xs": list(first["lines"][:, :, 0]), "ys": list(first["lines"][:, :, 1])}, name="lines")
    density, log_det = (ColumnDataSource({"image": [first[name]]}, name=name) for name in ("density", "log_det"))
    size = {"width": 330, "height": 360, "x_range": (-REACH, REACH), "y_range": (-REACH, REACH), "tools": ""}
    plots = [figure(title=title, **size) for title in ("The grid, moved", "Density", "log |det df/dz|, -3 to 3")]
    plots[0].multi_line("xs", "ys", source=lines, line_width=1.5)
    place = {"x": -REACH, "y": -REACH, "dw": 2 * REACH, "dh": 2 * REACH}
    inks, signed = Greys256[::-1], diverging_palette(Blues256, Reds256, 256)
    plots[1].image(
        "image", source=density, color_mapper=LinearColorMapper(palette=inks, low=0.0, high=1 / (2 * math.pi)), **place
    )
    plots[2].image("image", source=log_det, color_mapper=LinearColorMapper(palette=signed, low=-3.0, high=3.0), **place)
    sliders = {name: Slider(start=-4, end=4, step=0.05, value=START[name], title=name, name=name, width=230) for name in START}
    said = Div(text=f"u'w = {first['uw']:.2f}", name="said")
    sources = {"lines": lines, "density": density, "log_det": log_det, "said": said}
    draw = CustomJS(args={**sliders, **sources, "REACH": REACH, "CELLS": CELLS}, code=javascript(__file__))
    for slider in sliders.values():
        slider.js_on_change("value", draw)
    return Demo(column(row(*plots), row(*list(sliders.values())[:4]), row(sliders["b"], said)), compute)
