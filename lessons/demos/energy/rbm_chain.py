"""The chain of a restricted Boltzmann machine: dream digits

The machine has learned digits. "Step": all hidden units are drawn, given the pixels, then all pixels, given the hidden units;
"Run" goes on. Click a pixel to hold it white, again to hold it black, again to let it go (or choose row and column, and press
"Hold"): the chain dreams the rest. Left: pixels; those held have a colour. Middle: the pixels' probabilities. Right: the hidden
units'. F is the free energy: the lower, the likelier.
"""

import numpy as np
from bokeh.events import Tap
from bokeh.layouts import column, row
from bokeh.models import Button, ColumnDataSource, CustomJS, Div, LinearColorMapper, Spinner, Toggle
from bokeh.palettes import Greys256
from bokeh.plotting import figure

import pydgm as dgm
from pydgm import optim, train
from pydgm.lesson.demo import Demo, javascript
from pydgm.models.energy import RBM, contrastive

HIDDEN, SIDE = 100, 28


def make(rng) -> Demo:
    digits = dgm.data.load("digits")
    inked = (digits.train.x > 0.5).astype("float32")
    batches = dgm.data.Rows(inked).batches(rng, 50, passes=20)[:3000]
    step = contrastive.step(contrastive.pcd(1, chains=100), optim.sgd(optim.linear(0.1, 0.0, len(batches)), weight_decay=1e-4))
    model = train.run(
        step, step.init(RBM.init(rng, SIDE**2, HIDDEN, dgm.asarray(inked)), rng), batches, "rbm_chain learns"
    ).model

    def compute(before, h, held):
        """Given the pixels before a step and the hidden units that it drew: both probabilities, and F of the pixels before."""
        v, h = (dgm.asarray(np.float32(each)) for each in (before, h))
        visible = np.where(held > 0, held - 1.0, dgm.to_numpy(model.visible(h)))
        return {"hidden": dgm.to_numpy(model.hidden(v)), "visible": visible, "free_energy": float(model.free_energy(v))}

    v = dgm.to_numpy(dgm.asarray(inked[:1]))[0].astype("float64")
    hidden = dgm.to_numpy(model.hidden(dgm.asarray(np.float32(v)))).astype("float64")
    zero = np.zeros(SIDE**2)
    state = ColumnDataSource({"v": v, "visible": v.copy(), "held": zero, "before": v.copy()}, name="state")
    units = ColumnDataSource({"h": np.zeros(HIDDEN), "hidden": hidden}, name="units")
    pictures = [
        ColumnDataSource({"image": [each.reshape(-1, width)[::-1].copy()]})
        for each, width in ((v, SIDE), (v, SIDE), (hidden, 10))
    ]
    plots = [figure(width=330, height=350, title=title, tools="") for title in ("Pixels", "P(v = 1 | h)", "P(h = 1 | v)")]
    kinds = ["#ffffff", "#000000", "#f6c9a8", "#d55e00"]  # black, white; held black, held white: ink is white
    mappers = [LinearColorMapper(palette=kinds, low=0, high=3), *[LinearColorMapper(palette=Greys256[::-1], low=0, high=1)] * 2]
    for plot, picture, mapper, width in zip(plots, pictures, mappers, (SIDE, SIDE, 10), strict=True):
        plot.image("image", source=picture, x=0, y=0, dw=width, dh=width, color_mapper=mapper)
        plot.axis.visible = plot.grid.visible = False
        plot.x_range.range_padding = plot.y_range.range_padding = 0
    plots[0].name = "plot"
    said = Div(text="", name="said")
    buttons = {
        each: Button(label=each, name=each.lower().replace(" ", "_")) for each in ("Step", "From noise", "Let all go", "Hold")
    }
    run = Toggle(label="Run", name="run")
    at = [Spinner(title=title, low=1, high=SIDE, step=1, value=14, width=80, name=title) for title in ("row", "column")]
    weights = {"W": dgm.to_numpy(model.W), "bias": dgm.to_numpy(model.b), "a": dgm.to_numpy(model.a)}
    args = {"state": state, "units": units, "pictures": pictures, "said": said, "row": at[0], "column": at[1], **weights}
    code = javascript(__file__)
    for button in buttons.values():
        button.js_on_click(CustomJS(args=args, code=code))
    plots[0].js_on_event(Tap, CustomJS(args=args, code=code))
    run.js_on_change("active", CustomJS(args=args, code=code))
    steer = row(buttons["Step"], run, buttons["From noise"], *at, buttons["Hold"], buttons["Let all go"])
    return Demo(column(row(*plots), steer, said), compute)
