"""GAN against WGAN: which gradient survives?

Drag the orange point, or slide (mouse, or Tab and the arrow keys): the fake Gaussian moves. Left: both densities, the best
discriminator D* = p / (p + q), the best critic with slope 1. Middle: the Jensen-Shannon divergence is flat when the two are
apart; the earth mover's distance is not. Right: how hard each loss pushes a fake sample at the fakes' mean, on a logarithmic
scale.
"""

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, LinearAxis, Range1d, Slider
from bokeh.plotting import figure

import pydgm as dgm
from pydgm.distributions import Normal
from pydgm.divergences import js_quadrature, wasserstein_quadrature
from pydgm.lesson.demo import Demo, draggable, javascript
from pydgm.models.adversarial import gan, wgan

REAL, X = -3.0, np.linspace(-12.0, 12.0, 961)
LOSSES = {"log(1 - D)": gan.saturating_generator_loss, "-log D": gan.generator_loss, "critic": wgan.generator_loss}


def compute(mean):
    """The curves over x, both distances, and each loss's push on a sample at the fakes' mean."""
    grid = dgm.asarray(X)
    log_p, log_q = Normal(REAL, 1.0).log_prob(grid), Normal(mean, 1.0).log_prob(grid)
    towards = np.sign(mean - REAL)
    models = {
        "D": lambda x: Normal(REAL, 1.0).log_prob(x) - Normal(mean, 1.0).log_prob(x),
        "critic": lambda x: -towards * x,
    }
    at = dgm.asarray(np.array([[float(mean)]]))
    pushes = [abs(float(gan.sample_gradient(loss, models, at)[0, 0])) for loss in LOSSES.values()]
    critic = -towards * (X - 0.5 * (mean + REAL))
    curves = {"p": np.exp(log_p), "q": np.exp(log_q), "D": gan.optimal_discriminator(log_p, log_q), "critic": critic}
    distances = [float(f(log_p, log_q, grid)) for f in (js_quadrature, wasserstein_quadrature)]
    return {**{name: dgm.to_numpy(curve) for name, curve in curves.items()}, "distances": distances, "pushes": pushes}


def make(rng) -> Demo:
    start, means = 3.0, np.linspace(-3.0, 6.0, 181)
    first, many = compute(start), [compute(mean)["distances"] for mean in means]
    curves = ColumnDataSource({"x": X, **{name: first[name] for name in ("p", "q", "D", "critic")}}, name="curves")
    now = ColumnDataSource({"mean": [start] * 2, "distance": first["distances"]}, name="now")
    pushes = ColumnDataSource({"loss": list(LOSSES), "push": np.maximum(first["pushes"], 1e-12)}, name="pushes")
    fake = ColumnDataSource({"x": [start], "y": [0.0]}, name="fake")
    left = figure(
        width=410, height=380, name="plot", title="p, q, D*, the critic", x_range=(-8, 8), y_range=(-0.1, 1.6), tools=""
    )
    for name, color, text in (("p", "#0072b2", "real p"), ("q", "#d55e00", "fake q"), ("D", "#000000", "D*")):
        left.line("x", name, source=curves, color=color, line_width=3, legend_label=text)
    left.extra_y_ranges = {"critic": Range1d(-8, 12)}
    left.add_layout(LinearAxis(y_range_name="critic"), "right")
    left.line(
        "x",
        "critic",
        source=curves,
        color="#009e73",
        line_width=3,
        line_dash="dashed",
        legend_label="critic",
        y_range_name="critic",
    )
    draggable(left, fake, "#d55e00")
    middle = figure(width=300, height=380, title="Distances over the fakes' mean", tools="")
    for i, (color, text) in enumerate((("#000000", "JSD, nats"), ("#009e73", "W1"))):
        middle.line(means, [each[i] for each in many], color=color, line_width=3, legend_label=text)
    middle.scatter("mean", "distance", source=now, size=14, color="#d55e00")
    middle.legend.location = "top_left"
    right = figure(
        width=300,
        height=380,
        title="Push on a fake sample",
        x_range=list(LOSSES),
        y_axis_type="log",
        y_range=(1e-9, 20),
        tools="",
    )
    right.vbar("loss", 0.6, "push", 1e-12, source=pushes, color="#d55e00")
    slider = Slider(start=-3, end=6, step=0.05, value=start, title="mean of the fakes", name="mean", width=430)
    arguments = {"mean": slider, "curves": curves, "now": now, "pushes": pushes, "fake": fake, "REAL": REAL}
    slider.js_on_change("value", CustomJS(args=arguments, code=javascript(__file__)))
    moved = "const x = Math.min(6, Math.max(-3, fake.data.x[0])); if (x !== mean.value) mean.value = x;"
    fake.js_on_change("data", CustomJS(args={"fake": fake, "mean": slider}, code=moved))
    return Demo(column(row(left, middle, right), slider), compute)
