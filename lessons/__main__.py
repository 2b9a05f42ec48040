"""``python -m lessons`` (or ``pydgm``, where it is installed) lists the lessons; ``python -m lessons run NAME...`` runs some,
each in a process of its own.

Without a name ``run`` is the tour: five lessons, one of each family.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pydgm as dgm
from pydgm import files
from pydgm.errors import to_install
from pydgm.files import closed_pipe
from pydgm.lesson import add_options, demo, exercise, gradescope, status
from pydgm.lesson.claims import as_markdown
from pydgm.lesson.notebook import notebook
from pydgm.lesson.run import seed
from pydgm.lesson.scripts import table, title

HERE = Path(__file__).parent
TOUR = ["rbm_contrastive_divergence", "vae_reparameterization", "planar_flow", "gan_vs_wgan", "rule_distillation"]


def scripts() -> dict[str, Path]:
    """Every lesson, ``family/name``, and its script."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(HERE.glob("*/*.py")) if not path.stem.startswith("_")}


def _settings(script: Path) -> dict[str, float]:
    """What the lesson itself says, ``settings={...}``."""
    calls = [node for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if isinstance(node, ast.keyword)]
    return next((ast.literal_eval(keyword.value) for keyword in calls if keyword.arg == "settings"), {})


def figures(known: dict[str, Path]) -> int:
    """Each lesson's figure and claims, from its report, between the marks in docs/figures.md. Exit status 2 for quick runs."""
    path, parts = HERE.parent / "docs" / "figures.md", []
    if not path.exists():
        print("error: figures are for a clone of the project", file=sys.stderr)
        return status.USAGE
    for name, script in known.items():
        short = name.rpartition("/")[2]
        report = json.loads((HERE.parent / "figures" / f"{short}.json").read_text(encoding="utf-8"))
        real = all(source["real"] for source in report["data"].values())
        changed = report["settings"] != _settings(script)
        if (report["mode"], report["seed"], real) != ("default", 0, True) or changed:
            print(
                f"figures/{short}.json is of another run: docs/figures.md shows seed 0, default, with real data",
                file=sys.stderr,
            )
            return 2
        where = f"`lessons/{name}.py`, {report['seconds']:.0f} s: {report['lecture']}, {report['figure']}."
        picture = f"![{title(script)}](../figures/{short}.png)"
        parts.append("\n\n".join([f"## {title(script)}", where, picture, as_markdown(report["claims"])]))
    text = path.read_text(encoding="utf-8")
    before, after = text.split("<!-- claims -->\n")[0], text.split("<!-- /claims -->")[1]
    between = "\n\n".join(parts)
    text = f"{before}<!-- claims -->\n{between}\n<!-- /claims -->{after}"
    files.write(path.parent, {path.name: lambda file: file.write(text.encode())})
    return 0


def written(out: Path, made: dict[str, bytes]) -> int:
    """Write files by name into ``out``, and say where they are. Exit status 2 where that cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        files.write(out, {name: lambda file, content=content: file.write(content) for name, content in made.items()})
    except OSError as error:
        print(f"error: cannot write into {out}: {error.strerror}", file=sys.stderr)
        return status.USAGE
    print("\n".join(str(out / name) for name in made))
    return status.HOLDS


def write_new(out: Path, made: dict[str, str], otherwise: str) -> int:
    """Write files by name into ``out``: all, or none where one is there already with other contents, maybe somebody's work.
    Exit status 2 then, with the advice ``otherwise``."""

    def is_new(path: Path, text: str) -> bool:
        try:
            return not path.exists() or path.read_text(encoding="utf-8") == text
        except (OSError, UnicodeDecodeError):
            return False

    there = [name for name, text in made.items() if not is_new(out / name, text)]
    if there:
        print(f"error: {out} has another {', '.join(there)}: {otherwise}", file=sys.stderr)
        return status.USAGE
    return written(out, {name: text.encode() for name, text in made.items()})


def notebooks(wanted: dict[str, Path], options: str, out: Path) -> int:
    """OUT/NAME.ipynb for each lesson."""
    made = {f"{path.stem}.ipynb": json.dumps(notebook(path, options), indent=1) + "\n" for path in wanted.values()}
    return write_new(out, made, "take another --out, or delete it (mode and seed can be changed in its first cell)")


def exercises(names: list[str], seed: int, out: Path) -> int:
    """OUT/NAME.py, where a student is to write, and OUT/test_NAME.py, which judges it."""
    tasks = [exercise.load(name, seed) for name in names]
    made = {f"{task.name}.py": task.stub for task in tasks} | {f"test_{task.name}.py": task.tests for task in tasks}
    code = write_new(out, made, "maybe with work in it; take another --out")
    if code == status.HOLDS:
        print(f"write where it says TODO, then: python -m pytest {out}")
    return code


def demos(names: list[str], seed: int, out: Path) -> int:
    """OUT/NAME.html for each, over what is there: a page is made, and nobody's work."""
    made = {f"{name}.html": demo.page(name, demo.make(name, seed)) for name in names}
    return written(out, {name: text.encode() for name, text in made.items()})


def autograder(folder: Path) -> int:
    """FOLDER/autograder.zip. Exit status 2 where the folder has no exercises."""
    wanted = gradescope.tasks_in(folder)
    unknown = sorted(set(wanted) - set(exercise.scripts()))
    if not wanted or unknown:
        there = f"no exercise {', '.join(unknown)}" if unknown else "no exercise's test_NAME.py"
        print(
            f"error: {folder} has {there}: python -m lessons exercise NAME --seed 7 --out {folder} writes one", file=sys.stderr
        )
        return status.USAGE
    return written(folder, {"autograder.zip": gradescope.archive(wanted)})


def outlast(command: list[str], live: bool = False) -> int:
    """The exit status of a lesson. Ctrl+C goes to the lesson too, which may have a use for it; if it ends badly, it is 130."""
    env = os.environ if live else {**os.environ, "MPLBACKEND": "Agg"}  # a picture in a file needs no screen
    child, interrupted = subprocess.Popen(command, env=env), False
    while True:
        try:
            code = child.wait()
        except KeyboardInterrupt:
            interrupted = True
            continue
        if interrupted and code:
            return status.INTERRUPT
        if code >= 0:
            return code
        print(f"the lesson was ended by {signal.Signals(-code).name}", file=sys.stderr)
        return status.INTERRUPT if -code == signal.SIGINT else status.CRASH


def side_by_side(commands: dict[str, list[str]], jobs: int) -> dict[str, int]:
    """The exit statuses of several lessons, ``jobs`` at a time; what each prints is shown when it has ended."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))  # of the matrix products, so that lessons do not wait for each other
    env = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, **os.environ, "MPLBACKEND": "Agg"}
    codes = {}
    with ThreadPoolExecutor(jobs) as pool:
        running = {
            pool.submit(subprocess.run, command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True): name
            for name, command in commands.items()
        }
        try:
            for ended in as_completed(running):
                done = ended.result()
                print(done.stdout, flush=True)
                codes[running[ended]] = done.returncode if done.returncode >= 0 else status.CRASH
                if codes[running[ended]] in (status.USAGE, status.INTERRUPT):
                    break
        finally:  # also after Ctrl+C, which the lessons have got as well
            pool.shutdown(cancel_futures=True)
    return codes


def _in_words(options: argparse.Namespace) -> list[str]:
    """Mode, seed, backend, data and settings, as a lesson takes them."""
    data = None if options.data is None else os.path.abspath(options.data)
    given = {"seed": options.seed, "backend": options.backend, "data": data}
    words = [f"--{option}={value}" for option, value in given.items() if value is not None]
    mode = [f"--{options.mode}"] if options.mode != "default" else []
    return [*mode, *words, *[f"--set={key}={value}" for key, value in options.set]]


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"wanted how many lessons at a time, 1 or more, got {text!r}")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """What :mod:`pydgm.lesson.status` says; of several lessons, a crash counts more than a claim that fails."""
    try:
        code = run(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return closed_pipe()
    except KeyboardInterrupt:
        return status.INTERRUPT


def run(argv: list[str] | None = None) -> int:
    """``python -m lessons``."""
    installed = Path(sys.argv[0]).stem == "pydgm"
    parser = argparse.ArgumentParser(prog="pydgm" if installed else "python -m lessons", description=__doc__)
    parser.add_argument("--version", action="store_true", help="which pydgm this is")
    commands = parser.add_subparsers(dest="command", metavar="run | notebook | demo | exercise | gradescope | figures")
    runner = commands.add_parser("run", help="run lessons, check their claims, write figures/NAME.png and .json")
    runner.add_argument("-j", dest="jobs", type=_jobs, default=1, metavar="N", help="so many lessons at a time")
    add_options(runner)
    writer = commands.add_parser("notebook", help="write lessons as Jupyter notebooks, notebooks/NAME.ipynb")
    add_options(writer, "notebooks", "where notebooks go")
    for each in (runner, writer):
        each.add_argument("names", nargs="*", metavar="NAME", help="gan_vs_wgan, or adversarial/gan_vs_wgan; none: the tour")
        each.add_argument("--all", action="store_true", help="every lesson")
    tasks = exercise.scripts()
    teacher = commands.add_parser(
        "exercise", help="write exercises that grade themselves, exercises/NAME.py; no name: list them"
    )
    teacher.add_argument("names", nargs="*", metavar="NAME", choices=[[], *tasks], help=", ".join(tasks))
    teacher.add_argument("--seed", type=seed, default=0, metavar="N", help="chooses the variant (default 0)")
    teacher.add_argument(
        "--out", type=Path, default=Path("exercises"), metavar="DIR", help="where they go (default exercises/)"
    )
    shows = demo.scripts()
    shower = commands.add_parser(
        "demo", help="write pages to drag and slide in front of a class, demos/NAME.html; no name: list them"
    )
    shower.add_argument("names", nargs="*", metavar="NAME", choices=[[], *shows], help=", ".join(shows))
    shower.add_argument("--seed", type=seed, default=0, metavar="N", help="of what it learns (default 0)")
    shower.add_argument("--out", type=Path, default=Path("demos"), metavar="DIR", help="where they go (default demos/)")
    grader = commands.add_parser("gradescope", help="write DIR/autograder.zip, which grades the exercises of DIR on Gradescope")
    grader.add_argument("folder", type=Path, metavar="DIR", help="what exercise --out DIR wrote")
    commands.add_parser("figures", help="put the claims of figures/*.json into docs/figures.md")
    argv = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(argv)
    if options.version:
        print(f"pydgm {dgm.__version__}")
        return status.HOLDS
    known = scripts()
    if options.command is None:
        print(table({name: title(path) for name, path in known.items()}))
        return status.HOLDS
    if options.command == "figures":
        return figures(known)
    if options.command == "exercise":
        if not options.names:
            print(table({name: exercise.summary(path) for name, path in tasks.items()}))
            return status.HOLDS
        return exercises(options.names, options.seed, options.out)
    if options.command == "demo":
        if not options.names:
            print(table({name: title(path) for name, path in shows.items()}))
            return status.HOLDS
        if importlib.util.find_spec("bokeh") is None:
            shower.error(f"demos are drawn by bokeh: {to_install('demos')}")
        return demos(options.names, options.seed, options.out)
    if options.command == "gradescope":
        return autograder(options.folder)
    own = runner if options.command == "run" else writer
    if options.all and options.names:
        own.error("name the lessons to run, or --all of them")
    short = {name.rpartition("/")[2]: name for name in known}
    wanted = list(known) if options.all else [short.get(name, name) for name in options.names or TOUR]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        own.error(f"no lesson {', '.join(unknown)}; there are {', '.join(known)}")
    passed_on = _in_words(options)
    if options.command == "notebook":
        if options.live or options.resume:
            writer.error("--live and --resume are for run: a notebook shows its pictures as it goes")
        if importlib.util.find_spec("sphinx_gallery") is None:
            writer.error(f"notebooks are made by sphinx-gallery: {to_install('notebook')}")
        if options.data and not Path(options.data).is_dir():
            writer.error(f"--data {options.data}: there is no such folder")
        for key, _ in options.set:
            strange = [name for name in wanted if key not in _settings(known[name])]
            if strange:
                writer.error(f"--set {key}: {', '.join(strange)} has no such setting")
        return notebooks({name: known[name] for name in wanted}, shlex.join(passed_on), Path(options.out))
    if options.jobs > 1 and options.live:
        runner.error("--live shows one lesson at a time: without -j")
    if importlib.util.find_spec("matplotlib") is None:
        runner.error(f"lessons draw with matplotlib: {to_install('lessons')}")
    passed_on += [f"--out={options.out}", *[f"--{option}" for option in ("live", "resume") if getattr(options, option)]]
    commands = {name: [sys.executable, "-m", "pydgm.lesson", str(known[name]), *passed_on] for name in wanted}
    codes = side_by_side(commands, options.jobs) if options.jobs > 1 else {}
    for name in wanted if options.jobs == 1 else []:
        codes[name] = outlast(commands[name], options.live)
        if codes[name] in (status.USAGE, status.INTERRUPT, status.CLOSED_PIPE):
            break
        print(flush=True)
    for code in (status.USAGE, status.INTERRUPT, status.CLOSED_PIPE):  # bad usage is bad for every lesson
        if code in codes.values():
            return code
    failed = {name: code for name, code in codes.items() if code}
    for name, code in failed.items():
        print(f"not so: {name}: {status.NAMES.get(code, f'exit status {code}')}")
    if not failed:
        print(f"all claims hold in {len(codes)} lesson{'' if len(codes) == 1 else 's'}")
    return max(failed.values(), default=status.HOLDS)


def program() -> int:
    """The command ``pydgm``."""
    status.guard()
    return main()


if __name__ == "__main__":
    sys.exit(program())
