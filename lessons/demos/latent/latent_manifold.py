"""A latent manifold: drag z, and the digit follows

A variational autoencoder with two latent numbers has learned digits. Drag the black point over the plane, or slide (mouse, or
Tab and the arrow keys): on the right is what the decoder makes of it, computed in this page. Coloured points are where the
encoder puts images that it has not seen. Where do digits pass over into each other? What is far outside?
"""

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, LinearColorMapper, Slider
from bokeh.palettes import Category10, Greys256
from bokeh.plotting import figure

import pydgm as dgm
from pydgm import optim, train
from pydgm.lesson.demo import Demo, draggable, javascript
from pydgm.models.latent import VAE, vae

REACH = 4.0


def make(rng) -> Demo:
    digits = dgm.data.load("digits")
    batches = digits.train.batches(rng, 128, passes=100)[:2000]
    step = train.minimise(vae.loss, optim.adam(optim.linear(3e-3, 0.0, len(batches))))
    model = train.run(step, step.init(VAE.init(rng, hidden=(128,), latent=2), rng), batches, "latent_manifold learns").model

    def compute(z1, z2):
        """What the decoder makes of z: probabilities of white, as a picture whose first row is the lowest."""
        return {"image": dgm.to_numpy(model.generate(dgm.asarray(np.float32([[z1, z2]])))).reshape(28, 28)[::-1]}

    start = {"z1": 0.5, "z2": -0.5}
    some = digits.test[:400]
    places, labels = dgm.to_numpy(model.posterior(dgm.asarray(some.x)).base.loc), some.labels
    left = figure(width=460, height=460, name="plot", title="z", x_range=(-REACH, REACH), y_range=(-REACH, REACH), tools="")
    for label in np.unique(labels):
        left.scatter(*places[labels == label].T, size=6, color=Category10[10][label], legend_label=str(label), alpha=0.7)
    here = ColumnDataSource({"x": [start["z1"]], "y": [start["z2"]]}, name="here")
    draggable(left, here, "black")
    image = ColumnDataSource({"image": [compute(**start)["image"]]}, name="image")
    right = figure(width=460, height=460, title="the decoder's x", x_range=(0, 28), y_range=(0, 28), tools="")
    right.axis.visible = right.grid.visible = False
    right.image(
        "image", source=image, x=0, y=0, dw=28, dh=28, color_mapper=LinearColorMapper(palette=Greys256[::-1], low=0.0, high=1.0)
    )
    sliders = {name: Slider(start=-REACH, end=REACH, step=0.05, value=start[name], title=name, name=name) for name in start}
    layers = [(dgm.to_numpy(layer.weight), dgm.to_numpy(layer.bias)) for layer in model.decoder.layers]
    weights = {f"{name}{i}": each for i, layer in enumerate(layers) for name, each in zip("Wb", layer, strict=True)}
    draw = CustomJS(args={**sliders, "here": here, "image": image, **weights}, code=javascript(__file__))
    for slider in sliders.values():
        slider.js_on_change("value", draw)
    moved = """
        const inside = t => Math.min(4, Math.max(-4, t)), x = inside(here.data.x[0]), y = inside(here.data.y[0]);
        if (x !== z1.value || y !== z2.value) z1.setv({value: x}), z2.setv({value: y});"""
    here.js_on_change("data", CustomJS(args={**sliders, "here": here}, code=moved))
    return Demo(column(row(left, right), row(*sliders.values())), compute)
