"""One run of a lesson, from its options to its picture and its numbers::

    run = lesson.start("adversarial/gan_vs_wgan", __doc__, lecture="L1, section 1.2", figure="Figure 1")
    panels = run.panels("ab")
    for step in run.progress(run.pick(quick=300, default=3000), "training"):
        ...
    panels["a"].plot(x, D)
    run.picture("a")  # what a notebook shows at this place
    run.claim("the critic's slope between the means is constant", variation, "<=", 0.1)
    run.finish(numbers)

``python -m lessons run NAME`` runs one of those in ``lessons/``, and gives it its options.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import math
import platform
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy

from .. import backend, data, files
from .. import train as training
from ..errors import BackendError, to_install
from ..random import Generator
from ..train import State, Step
from . import film
from .claims import Claim, Measured, check_relation, table
from .pictures import Picture, smallest_text
from .sound import Sound
from .status import FAILS, HOLDS, guard, refuse

T = TypeVar("T")
STYLE = Path(__file__).parent / "lecture.mplstyle"


def add_options(parser: argparse.ArgumentParser, out: str = "figures", to: str = "where picture and numbers go") -> None:
    """The options that every lesson takes. ``out`` is where results go unless one says otherwise, ``to`` what these are."""
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", dest="mode", action="store_const", const="quick", help="under 10 seconds, fewer claims")
    mode.add_argument("--full", dest="mode", action="store_const", const="full", help="the paper's own network, up to hours")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of all random numbers (default 0)")
    parser.add_argument("--backend", choices=["numpy", "cupy"], help="array library (default: PYDGM_BACKEND, else numpy)")
    parser.add_argument(
        "--data", metavar="DIR", type=_place, help="folder of data sets (default: PYDGM_DATA, else what is at hand)"
    )
    parser.add_argument("--out", metavar="DIR", type=_place, default=out, help=f"{to} (default {out}/)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        type=_setting,
        action="append",
        default=[],
        help="another value for one of a lesson's settings",
    )
    parser.add_argument("--resume", action="store_true", help="go on with a --full run that was interrupted")
    parser.add_argument("--live", action="store_true", help="show a training while it runs, and keep the film (GIF, HTML)")
    parser.set_defaults(mode="default")


def seed(text: str) -> int:
    """Of ``--seed``."""
    if not text.isdecimal() or len(text) > 100:
        shown = text if len(text) <= 20 else f"{text[:20]}... ({len(text)} characters)"
        raise argparse.ArgumentTypeError(f"a seed is an integer from 0, of at most 100 digits, not {shown!r}")
    return int(text)


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"wanted KEY=VALUE, got {text!r}")
    return key, value


def _changed(settings: dict[str, float], wanted: list[tuple[str, str]], name: str) -> dict[str, float]:
    """The lesson's settings with those of ``--set``, each a number of the kind that it was."""
    changed = dict(settings)
    for key, text in wanted:
        if key not in settings:
            known = ", ".join(f"{key}={value}" for key, value in settings.items()) or "none"
            refuse(f"--set {key}: {name} has no such setting; its settings are: {known}")
        kind = type(settings[key])
        try:
            changed[key] = kind(text)
        except ValueError:
            changed[key] = math.nan
        if not math.isfinite(changed[key]):
            refuse(f"--set {key}={text}: wanted {'an integer' if kind is int else 'a number'}, {settings[key]} say")
    return changed


def _place(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("wanted the name of a folder, got an empty text")
    return text


_chosen: list[str] = []


def options(text: str) -> None:
    """For a notebook: what stands after ``python -m lessons run NAME`` elsewhere, "--quick --seed 3" say. Before ``start``.

    Raises ``ValueError`` for what no lesson takes, or what needs a terminal.
    """
    parser = _Strict(prog="lesson.options", add_help=False)
    add_options(parser)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"lesson.options({text!r}): {error}") from None
    chosen = parser.parse_args(words)
    if chosen.live or chosen.resume:
        raise ValueError(
            "lesson.options: --live and --resume are for the command line: a notebook shows its pictures as it goes"
        )
    _chosen[:] = words


class _Strict(argparse.ArgumentParser):
    """Says what is wrong, and ends nothing."""

    def error(self, message: str) -> Any:
        raise ValueError(f"{self.prog}: {message}")


def start(
    name: str, doc: str | None, lecture: str, figure: str, live: bool = False, settings: dict[str, float] | None = None
) -> Run:
    """Read the options, choose the backend, make sure that the results can be written, seed the noise.

    ``live`` says that the lesson has a film to show. The others refuse ``--live``. ``settings`` are the numbers that
    ``--set KEY=VALUE`` changes, with the values that the claims are made for.

    Options are read from the command line when the lesson is the program that runs; in a notebook they are those of
    :func:`options`. A wrong one, a missing backend or an unwritable folder ends the program with a sentence and status 2.
    """
    script = sys._getframe(1).f_globals.get("__file__")
    program = script is not None and Path(script).resolve() == Path(sys.argv[0]).resolve()
    if program:
        guard()
    parser = argparse.ArgumentParser(description=(doc or "").strip().split("\n\n")[0])
    add_options(parser)
    options = parser.parse_args(sys.argv[1:] if program else _chosen)
    options.settings = _changed(settings or {}, options.set, name)
    if options.live and not live:
        refuse(f"{name} has no live view")
    if options.resume and options.mode != "full":
        refuse("--resume goes on with an interrupted --full run: the others take a minute")
    if options.data and not Path(options.data).is_dir():
        refuse(f"--data {options.data}: there is no such folder")
    try:
        if options.backend:
            backend.use(options.backend)
        elif backend.xp.name == "none":
            raise BackendError(backend.xp.missing)
        import matplotlib.style
        import tqdm  # noqa: F401
    except BackendError as error:
        refuse(error)
    except ImportError as error:
        refuse(f"lessons need {error.name}: {to_install('lessons')}")
    if program and not options.live:
        matplotlib.use("Agg")  # a picture in a file, also where there is no screen
    matplotlib.style.use(STYLE)
    backend.keep_freed_memory()
    out = Path(options.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        refuse(f"cannot write into {out}: {error.strerror}")
    return Run(name, lecture, figure, options, out, program)


class Run:
    """A lesson while it runs. ``rng`` is its noise, ``mode`` is quick, default or full."""

    def __init__(self, name: str, lecture: str, figure: str, options: argparse.Namespace, out: Path, program: bool) -> None:
        self.name, self.lecture, self.figure = name, lecture, figure
        self.seed: int = options.seed
        self.mode: str = options.mode
        self.live: bool = options.live
        self.settings: dict[str, float] = options.settings
        self.rng = Generator(options.seed)
        self.claims: list[Claim] = []
        self._data, self._out, self._program = options.data, out, program
        self._looked_for_data = False
        self.sources: dict[str, dict[str, Any]] = {}
        self.resume: bool = options.resume
        self._trained: Counter[str] = Counter()
        self._saved: list[Path] = []  # of trainings that could still be interrupted
        self._started = time.perf_counter()
        print(f"{name}: {lecture}, {figure} (seed {self.seed}, {self.mode}, {backend.xp.name})", flush=True)

    def pick(self, *, quick: T, default: T, full: T | None = None) -> T:
        """One value for each mode; ``full`` is the default's unless it is given."""
        return {"quick": quick, "default": default, "full": default if full is None else full}[self.mode]

    def progress(self, steps: int | Iterable[T], what: str) -> Iterable[Any]:
        """``steps``, with a bar on a terminal."""
        from tqdm import tqdm

        bar: Iterable[Any] = tqdm(range(steps) if isinstance(steps, int) else steps, desc=what, disable=None, leave=False)
        return bar

    def load(self, name: str, **options: Any) -> data.Dataset:
        """:func:`pydgm.data.load` with this run's folder and seed; says what was found. Missing or damaged: status 2."""
        self._looked_for_data = True
        try:
            dataset = data.load(name, self._data, self.seed, **options)
        except data.DataError as error:
            refuse(error)
        print(f"data: {dataset.source}", flush=True)
        self.sources[name] = {"source": dataset.source, "real": dataset.real}
        return dataset

    def at_hand(self, name: str) -> bool:
        """Whether the data set's files are here, for what a lesson can leave out; where not, it says how to get them."""
        folder = data.SETS[name].folder
        with contextlib.suppress(data.DataError):  # --data or PYDGM_DATA names a folder that lacks it
            if data.find(folder, self._data) is not None:
                return True
        print(f"{name} is not at hand, and left out: python -m pydgm.data fetch {folder}", flush=True)
        return False

    def train(self, step: Step, state: State, batches: Any, what: str, **options: Any) -> State:
        """:func:`pydgm.train.run`, with a progress bar; with ``--full`` it saves itself every minute, for ``--resume``."""
        self._trained[what] += 1  # several trainings may be called the same, and have files of their own
        name = f"{self.name.rpartition('/')[2]} {what} {self._trained[what]}".removesuffix(" 1").replace(" ", "-")
        save = None if self.mode != "full" else self._out / f".{name}.npz"
        if save is not None:
            self._saved.append(save)
            if save.exists() and not self.resume:
                refuse(f"{save} is of a run that was interrupted: go on with --resume, or delete it")
        try:
            return training.run(step, state, batches, what=what, save=save, **options)
        except data.DataError as error:
            raise refuse(error) from None

    def film(self, figure: Any, draw: Callable[[Any], Any], frames: Iterable[Any]) -> None:
        """``draw(frame)`` changes ``figure``: shown as frames come, then kept as NAME.gif and NAME.html. For ``--live``."""
        shown = film.show(figure, draw, frames)
        path = self._out / self.name.rpartition("/")[2]
        print(f"the film: {path}.gif, .html", flush=True)
        self._write(
            {
                f"{path.name}.gif": lambda file: film.write_gif(file, figure, draw, shown),
                f"{path.name}.html": lambda file: file.write(film.as_html(figure, draw, shown).encode()),
            }
        )

    def sound(self, samples: Any, rate: int) -> Sound:
        """Numbers between -1 and 1, ``rate`` a second, kept as NAME.wav, one a lesson; a notebook plays what is returned."""
        sound, name = Sound(samples, rate), f"{self.name.rpartition('/')[2]}.wav"
        self._write({name: lambda file: file.write(sound.wav)})
        print(f"to be heard: {self._out / name}", flush=True)
        return sound

    def _write(self, results: dict[str, Callable[[Any], Any]]) -> None:
        try:
            files.write(self._out, results)
        except OSError as error:
            refuse(f"cannot write {', '.join(results)} into {self._out}: {error.strerror}")

    def panels(self, layout: str, **options: Any) -> dict[str, Any]:
        """The axes of the lesson's figure by their letters, as :func:`matplotlib.pyplot.subplot_mosaic` has them.

        16 x 9 inches. Ideas are drawn into their panels one after the other: the figure is all of them.
        """
        from matplotlib.figure import Figure

        self.drawing = Figure(figsize=(16.0, 9.0))  # not pyplot's, whose notebooks would show it half empty
        self._panels = self.drawing.subplot_mosaic(layout, **options)
        return self._panels

    def picture(self, *panels: str) -> Picture:
        """One panel, or some, as a picture of its own: what a notebook or a page shows at this place."""
        return Picture(self.drawing, [self._panels[panel] for panel in panels])

    def claim(self, claim: str, measured: Any, relation: str, bound: Any) -> None:
        """A sentence about the figure: ``measured`` keeps ``bound``, by ``<= >= < > ==`` or ``within`` (two bounds)."""
        check_relation(relation)
        self.claims.append(Claim(claim, float(measured), relation, bound))

    def finish(self, numbers: dict[str, Any]) -> Measured:
        """Write NAME.png and NAME.json, and show the claims: a program prints them, and ends with status 1 where one fails; a
        notebook shows what is returned.

        Both files are of one run, also where two runs write into one folder; ``picture_sha256`` says which picture belongs, and
        ``smallest_text`` how high its smallest letters are, as a share of its height.
        """
        seconds = time.perf_counter() - self._started
        short = self.name.rpartition("/")[2]
        picture = io.BytesIO()
        self.drawing.draw_without_rendering()  # the layout reckons with panels as they stand: those of a fixed shape move once
        self.drawing.savefig(picture, format="png", metadata={"Software": None})
        report = {
            "lesson": self.name,
            "lecture": self.lecture,
            "figure": self.figure,
            "seed": self.seed,
            "mode": self.mode,
            "settings": self.settings,
            "backend": backend.xp.name,
            "data": self.sources,
            "seconds": round(seconds, 2),
            "smallest_text": smallest_text(self.drawing)[0],
            "picture_sha256": hashlib.sha256(picture.getvalue()).hexdigest(),
            "versions": _versions(),
            "claims": [c.as_json() for c in self.claims],
            "numbers": numbers,
        }
        text = json.dumps(_plain(report), indent=1, allow_nan=False, ensure_ascii=False)
        self._write(
            {
                f"{short}.png": lambda file: file.write(picture.getvalue()),
                f"{short}.json": lambda file: file.write(f"{text}\n".encode()),
            }
        )
        for path in self._saved:
            path.unlink(missing_ok=True)
        if self._data and not self._looked_for_data:
            print(f"--data {self._data} was not used: in this mode the lesson reads no data")
        if self._program:
            print(table(self.claims))
        failed = sum(not c.holds for c in self.claims)
        print(f"{len(self.claims) - failed} of {len(self.claims)} claims hold; {self._out / short}.png, .json; {seconds:.1f} s")
        if self._program:
            raise SystemExit(FAILS if failed else HOLDS)
        return Measured(self.claims)


def _plain(x: Any) -> Any:
    """Numbers and arrays as JSON has them, rounded to six digits; NaN and infinity as text."""
    if isinstance(x, dict):
        return {str(key): _plain(value) for key, value in x.items()}
    if isinstance(x, str | bool | int | None):
        return x
    if isinstance(x, list | tuple):
        return [_plain(value) for value in x]
    array = backend.to_numpy(x)
    if array.ndim:
        return [_plain(value) for value in array]
    number = float(array)
    return float(f"{number:.6g}") if numpy.isfinite(number) else str(number)


def _versions() -> dict[str, str]:
    from importlib import metadata

    import matplotlib

    try:
        own = metadata.version("pydgm")
    except metadata.PackageNotFoundError:
        own = "not installed"
    return {"pydgm": own, "python": platform.python_version(), "numpy": numpy.__version__, "matplotlib": matplotlib.__version__}
