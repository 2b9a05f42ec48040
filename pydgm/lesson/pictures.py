"""Panels as pictures of their own, and pictures of densities and of many small images."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from ..backend import asarray, chunks, to_numpy
from ..divergences import plane
from ..metrics import mean_interval


class Picture:
    """Some panels of a figure, cut out, side by side. Drawn only where somebody looks: Jupyter, or a page made of a lesson."""

    def __init__(self, figure: Any, panels: Sequence[Any]) -> None:
        self._figure, self._panels = figure, panels

    def _repr_png_(self) -> bytes:
        from matplotlib.image import imread, imsave

        parts = [imread(io.BytesIO(self._alone(panel))) for panel in self._panels]
        height = max(part.shape[0] for part in parts)
        margins = [(height - part.shape[0]) // 2 for part in parts]
        padded = [
            numpy.pad(part, ((above, height - part.shape[0] - above), (0, 0), (0, 0)), constant_values=1.0)
            for part, above in zip(parts, margins, strict=True)
        ]
        file = io.BytesIO()
        imsave(file, numpy.concatenate(padded, axis=1), format="png")
        return file.getvalue()

    def _alone(self, panel: Any) -> bytes:
        """One panel, and what is drawn over it; its neighbours may reach into its box, and are left out."""
        from matplotlib.transforms import Bbox

        figure, file = self._figure, io.BytesIO()
        figure.canvas.draw()
        same = [each for each in figure.axes if each.get_position().bounds == panel.get_position().bounds]
        others = [each for each in figure.axes if each not in same and each.get_visible()]
        layout = figure.get_layout_engine()
        figure.set_layout_engine("none")  # all stay where they are in the whole figure
        for each in others:
            each.set_visible(False)
        try:
            box = Bbox.union([each.get_tightbbox() for each in same]).padded(10.0)
            figure.savefig(file, format="png", bbox_inches=box.transformed(figure.dpi_scale_trans.inverted()))
        finally:
            for each in others:
                each.set_visible(True)
            figure.set_layout_engine(layout)
        return file.getvalue()

    @property
    def alt(self) -> str:
        """What it shows, for those who do not see it: its panels' titles."""
        return "; ".join(" ".join(panel.get_title().split()) or f"panel {panel.get_label()}" for panel in self._panels)

    def _repr_html_(self) -> str:
        image = base64.b64encode(self._repr_png_()).decode()
        return f'<img src="data:image/png;base64,{image}" alt="{html.escape(self.alt)}">'


def smallest_text(figure: Any) -> tuple[float, str]:
    """The height of the smallest text that is to be read, as a share of the picture's, and that text."""
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    sizes = [(text.get_fontsize() / (72.0 * figure.get_figheight()), text.get_text()) for text in texts]
    return min(sizes, default=(1.0, ""))


def density(log_prob: Callable[[Any], Any], reach: float, cells: int = 160, centre: Any = 0.0) -> numpy.ndarray[Any, Any]:
    """exp(log_prob) over the square [-reach, reach]^2 around ``centre``, as a picture."""
    points, _ = plane(reach, cells)
    parts = [to_numpy(log_prob(part + asarray(centre))) for part in chunks(points, 5000)]
    image: numpy.ndarray[Any, Any] = numpy.exp(numpy.concatenate(parts)).reshape(cells, cells)
    return image


def tiles(images: Any, rows: int, side: int = 28) -> numpy.ndarray[Any, Any]:
    """Square images (n, side * side) as one picture of ``rows`` rows; what is missing in the last row is blank."""
    images = to_numpy(images).reshape(-1, side, side)
    blank = numpy.zeros((-len(images) % rows, side, side), images.dtype)
    return numpy.concatenate([images, blank]).reshape(rows, -1, side, side).swapaxes(1, 2).reshape(rows * side, -1)


def images(ax: Any, pictures: Any, rows: int, title: str = "", side: int = 28, xlabel: str = "") -> None:
    """Square images (n, side * side) in rows: those in [0, 1] as ink; signed ones in two colours, each by its own strength."""
    pictures = to_numpy(pictures)
    signed = pictures.min() < 0.0
    scaled = pictures / numpy.abs(pictures).max(axis=1, keepdims=True) if signed else pictures
    ax.imshow(tiles(scaled, rows, side), **({"cmap": "RdBu_r", "vmin": -1.0, "vmax": 1.0} if signed else {"cmap": "gray_r"}))
    ax.set(title=title, xlabel=xlabel, xticks=[], yticks=[])


def equation(ax: Any, parts: list[Any], side: int = 28) -> None:
    """Images and texts in a row: ``[x, "= 0.9", f, "+ 0.7", g]``. Images in [0, 1] are drawn as ink, others in two colours."""
    at = 0.0
    for part in parts:
        if isinstance(part, str):
            width = 12.0 + 1.2 * len(part)
            ax.text(at + width / 2, side / 2, part, ha="center", va="center", fontsize=20)
        else:
            width, picture = float(side), to_numpy(part).reshape(side, side)
            limit = float(numpy.abs(picture).max())
            signed = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            colours = signed if picture.min() < 0.0 else {"cmap": "gray_r", "vmin": 0.0, "vmax": 1.0}
            ax.imshow(picture, extent=(at, at + width, 0, side), **colours)
        at += width
    ax.set(xlim=(0, at), ylim=(0, side), aspect="equal")
    ax.axis("off")


def curves(
    ax: Any, x: Any, named: dict[str, Any], styles: Sequence[str] = (), legend: str | None = "best", **settings: Any
) -> None:
    """Named curves over ``x``, each in its style, a legend, and what axes can be set to: labels, title, limits."""
    for i, (name, y) in enumerate(named.items()):
        ax.plot(x, y, styles[i] if styles else f"C{i}o-", label=name, ms=9)
    ax.set(**settings)
    if legend is not None:
        ax.legend(loc=legend)


def ellipse(ax: Any, loc: Any, L: Any, label: str | None = None, color: str | None = None, style: str = "-") -> None:
    """Where N(loc, L L') is one standard deviation away from its mean."""
    circle = numpy.stack([numpy.cos(t := numpy.linspace(0.0, 2.0 * numpy.pi, 100)), numpy.sin(t)])
    around = to_numpy(loc)[:, None] + to_numpy(L) @ circle
    if style == "-":  # stands out from points
        ax.plot(*around, lw=6, color="white")
    ax.plot(*around, style, lw=4, color=color, label=label)


def clusters(ax: Any, points: Any, labels: Any, mixture: Any) -> None:
    """Points in the plane in the colour of their label, and each Gaussian of a mixture at one standard deviation."""
    components = zip(to_numpy(mixture.components.loc), to_numpy(mixture.components.L), strict=True)
    for k, (loc, L) in enumerate(components):
        ax.plot(*to_numpy(points)[labels == k].T, "o^sDv"[k % 5], ms=4, color=f"C{k}")
        ellipse(ax, loc, L, color=f"C{k}")
    ax.set_aspect("equal")


def people(ax: Any, hands: Any, places: Sequence[tuple[float, float]]) -> None:
    """A stick figure at each place, with its two hands: (2 n, 2), relative to the place."""
    for (x, y), (one, other) in zip(places, numpy.asarray(hands).reshape(-1, 2, 2), strict=True):
        ax.plot([x, x], [y - 2.0, y + 2.2], "k-")
        ax.plot([x + one[0], x, x + other[0]], [y + one[1], y + 0.8, y + other[1]], "k-o", ms=9)
        ax.plot([x], [y + 2.4], "ko", ms=18)
    ax.margins(0.1)


def dots(ax: Any, named: dict[str, Any], **settings: Any) -> None:
    """For each name a row: every number as a tick, their mean, and its 95% interval."""
    for y, (name, values) in enumerate(named.items()):
        mean, half = mean_interval(values)
        ax.errorbar(mean, y, xerr=half, fmt="o", ms=12, capsize=8, color=f"C{y}", label=name)
        ax.plot(values, numpy.full(len(values), y + 0.25), "|", ms=14, mew=2, color=f"C{y}")
    ax.set(yticks=range(len(named)), yticklabels=list(named), ylim=(len(named) - 0.4, -0.5), **settings)


def graph(
    ax: Any, nodes: dict[str, tuple[float, float]], edges: Sequence[str], title: str = "", derivatives: bool = True
) -> None:
    """A graphical model: ``{"x": (0, 0), "~z": (0, 1)}, ["x ~z"]``. Circles, with ~, are drawn at random, squares are computed.

    Orange arrows lead back along the edges along which a derivative can flow: those into what is computed.
    """
    for start, end in map(str.split, edges):
        (x, y), (to_x, to_y) = nodes[start], nodes[end]
        for side, color in [(-0.07 if derivatives else 0.0, "k")] + [(0.07, "C1")] * (derivatives and not end.startswith("~")):
            way = [(to_x + side, to_y), (x + side, y)]
            arrow = {"arrowstyle": "-|>,head_length=0.5,head_width=0.25", "color": color, "lw": 3, "shrinkA": 19, "shrinkB": 19}
            ax.annotate("", *(way if color == "k" else way[::-1]), arrowprops=arrow)
    for name, (x, y) in nodes.items():
        ax.plot([x], [y], "o" if name.startswith("~") else "s", ms=40, color="white", mec="k", mew=2)
        ax.text(x, y, name.lstrip("~"), ha="center", va="center")
    ax.set_title(title)
    ax.margins(0.25)
    ax.axis("off")


def network(ax: Any, labels: Sequence[Any], masks: Sequence[Any], to: int, names: Sequence[str], title: str = "") -> None:
    """Layers of units, the first at the bottom, with their labels, and the weights that ``masks`` (below, above) leave.

    What the units labelled ``to`` of the last layer hear of is coloured.
    """
    heard = [numpy.asarray(labels[-1]) == to]
    for mask in reversed(masks):
        heard.insert(0, mask @ heard[0] > 0)
    spots = [[(i - (len(layer) - 1) / 2, 2.0 * y) for i in range(len(layer))] for y, layer in enumerate(labels)]
    for y, mask in enumerate(masks):
        for i, j in zip(*numpy.nonzero(mask), strict=True):
            color, lw = ("C3", 3.0) if heard[y][i] and heard[y + 1][j] else ("0.75", 1.5)
            ax.plot(*zip(spots[y][i], spots[y + 1][j], strict=True), color=color, lw=lw, zorder=1)
    left = min(x for layer in spots for x, _ in layer) - 0.7
    for layer, texts, red, name in zip(spots, labels, heard, names, strict=True):
        ax.text(left, layer[0][1], name, ha="right", va="center")
        for spot, text, is_red in zip(layer, texts, red, strict=True):
            circle = {"boxstyle": "circle", "facecolor": "mistyrose" if is_red else "white"}
            ax.text(*spot, f"{text}", ha="center", va="center", bbox=circle)
    ax.set(xlim=(left - 1.0, -left), ylim=(-0.9, 2.0 * len(masks) + 0.9), title=title)
    ax.axis("off")


def dilations(ax: Any, layers: int, title: str = "") -> None:
    """Causal layers that look 1, 2, 4, ... samples back. What the last sample hears of is coloured."""
    most, heard = 2**layers, {0}
    for layer in reversed(range(layers)):
        for t in range(-most, 1):
            for before in (t - 2**layer, t):
                color, lw = ("C3", 3.0) if t in heard else ("0.85", 1.0)
                ax.plot([before, t], [layer, layer + 1], color=color, lw=lw, zorder=lw)
        heard |= {t - 2**layer for t in heard}
    ax.set(xlim=(0.5 - most, 0.5), yticks=range(layers + 1), yticklabels=["sound", *range(1, layers + 1)], title=title)
    ax.set(xlabel="samples back from the last", ylabel="layer")


def grid(ax: Any, images: Sequence[Sequence[Any]], rows: Sequence[str] = (), columns: Sequence[str] = ()) -> None:
    """Rows of square images side by side, each with a grey scale of its own, and names for rows and columns."""
    side = len(images[0][0])
    step = side * 1.06
    for i, row in enumerate(images):
        for j, image in enumerate(row):
            extent = (j * step, j * step + side, -i * step - side, -i * step)
            ax.imshow(image, extent=extent, vmin=0.0, vmax=float(numpy.quantile(image, 0.998)))
            ax.add_patch(_frame(extent))
    for j, name in enumerate(columns):
        ax.text(j * step + side / 2, 0.04 * side, name, ha="center", va="bottom")
    for i, name in enumerate(rows):
        ax.text(-0.05 * side, -i * step - side / 2, name, ha="right", va="center", rotation=90)
    ax.set(xlim=(-0.02 * side, len(images[0]) * step), ylim=(-len(images) * step, 0.02 * side), aspect="equal")
    ax.axis("off")


def densities(
    ax: Any, log_probs: Sequence[Sequence[Any]], rows: Sequence[str], columns: Sequence[str], reach: float = 4.0
) -> None:
    """A :func:`grid` of densities over [-reach, reach]^2."""
    grid(ax, [[density(log_prob, reach) for log_prob in row] for row in log_probs], rows, columns)


def _frame(extent: tuple[float, float, float, float]) -> Any:
    from matplotlib.patches import Rectangle

    left, right, low, high = extent
    return Rectangle((left, low), right - left, high - low, fill=False, lw=0.8, color="0.6")
