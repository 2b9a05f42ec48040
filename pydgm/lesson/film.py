"""A film of a training: in a window while it goes on, then as NAME.gif, and as NAME.html with a slider."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy

RATE = 12  # frames a second
_NO_WINDOW = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")
_SIGNS = {
    "minus": "-",
    "plus": "+",
    "fast-backward": "|&lt;",
    "step-backward": "&lt;",
    "play fa-flip-horizontal": "&#9664;",
    "pause": "||",
    "play": "&#9654;",
    "step-forward": "&gt;",
    "fast-forward": "&gt;|",
}


def show(figure: Any, draw: Callable[[Any], Any], frames: Iterable[Any]) -> list[Any]:
    """Each frame drawn into the window of ``figure`` as it comes, until all have come and the window is closed.

    Where no window can be opened that is said, and the frames are only collected. All of them are returned.
    """
    import matplotlib.pyplot as plt
    from matplotlib.animation import FuncAnimation

    frames_shown: list[Any] = []

    def each() -> Iterator[Any]:
        for frame in frames:
            frames_shown.append(frame)
            yield frame

    coming = each()
    if plt.get_backend().lower() in _NO_WINDOW:
        print("no window can be opened here: the film is written to files alone", flush=True)
    else:
        film = FuncAnimation(figure, draw, frames=coming, init_func=list, repeat=False, interval=1, cache_frame_data=False)
        plt.show()
        del film  # lived as long as its window
    for _ in coming:  # what a window closed early did not wait for
        pass
    return frames_shown


def write_gif(file: Any, figure: Any, draw: Callable[[Any], Any], frames: list[Any]) -> None:
    """All frames, again and again."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)
    pictures = []
    for frame in frames:
        draw(frame)
        canvas.draw()
        pictures.append(Image.fromarray(numpy.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256))
    pictures[0].save(file, format="GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / RATE), loop=0)


def as_html(figure: Any, draw: Callable[[Any], Any], frames: list[Any]) -> str:
    """A page with a slider that needs nothing else: matplotlib's, with signs in place of icons from the network."""
    import matplotlib
    from matplotlib.animation import FuncAnimation

    with matplotlib.rc_context({"animation.embed_limit": 200.0}):
        page = FuncAnimation(figure, draw, frames=frames, init_func=list).to_jshtml(fps=RATE, default_mode="once")
    page = re.sub(r"<link[^>]*>", "", page)
    for name, sign in _SIGNS.items():
        page = page.replace(f'<i class="fa fa-{name}"></i>', sign)
    return f'<!DOCTYPE html>\n<meta charset="utf-8">\n{page}'


def screen() -> tuple[Any, Callable[[Any], None]]:
    """A figure, and how it shows a frame (title, rows of pictures): for films of densities."""
    import matplotlib.pyplot as plt

    from .pictures import grid

    figure, ax = plt.subplots()

    def draw(frame: tuple[str, Any]) -> None:
        ax.clear()
        grid(ax, frame[1])
        ax.set_title(frame[0])

    return figure, draw
