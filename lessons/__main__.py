"""``python -m lessons`` lists the lessons; ``python -m lessons run NAME...`` runs some, each in a process of its own."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from pydgm.lesson import add_options
from pydgm.lesson.claims import as_markdown

HERE = Path(__file__).parent
REAL = ("MNIST", "Omniglot", "SST2")  # how the sources of real data begin


def scripts() -> dict[str, Path]:
    """Every lesson, ``family/name``, and its script."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(HERE.glob("*/*.py")) if not path.stem.startswith("_")}


def summary(path: Path) -> str:
    """The first line of a lesson's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def readme(known: dict[str, Path]) -> int:
    """Each lesson's figure and claims, from its report, between the marks in README.md. Exit status 2 for quick runs."""
    path, parts = HERE.parent / "README.md", []
    for name, script in known.items():
        short = name.rpartition("/")[2]
        report = json.loads((HERE.parent / "figures" / f"{short}.json").read_text(encoding="utf-8"))
        real = report["numbers"].get("source", REAL[0]).startswith(REAL)
        if (report["mode"], report["seed"], real) != ("default", 0, True):
            print(f"figures/{short}.json is of another run: the README shows seed 0, default, with real data", file=sys.stderr)
            return 2
        where = f"`lessons/{name}.py`, {report['seconds']:.0f} s: {report['lecture']}, {report['figure']}."
        picture = f"![{summary(script)}](figures/{short}.png)"
        parts.append("\n\n".join([f"### {summary(script)}", where, picture, as_markdown(report["claims"])]))
    text = path.read_text(encoding="utf-8")
    before, after = text.split("<!-- claims -->\n")[0], text.split("<!-- /claims -->")[1]
    between = "\n\n".join(parts)
    path.write_text(f"{before}<!-- claims -->\n{between}\n<!-- /claims -->{after}", encoding="utf-8")
    return 0


def outlast(command: list[str]) -> tuple[int, bool]:
    """The exit status of a program, and whether Ctrl+C was pressed: it went to the program too, which may have a use for it."""
    child, interrupted = subprocess.Popen(command), False
    while True:
        try:
            return child.wait(), interrupted
        except KeyboardInterrupt:
            interrupted = True


def main(argv: list[str] | None = None) -> int:
    """Exit status 0: every claim holds; 1: one fails, or a lesson ends with an error; 2: bad usage."""
    parser = argparse.ArgumentParser(prog="python -m lessons", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="run | readme")
    commands.add_parser("readme", help="put the claims of figures/*.json into README.md")
    runner = commands.add_parser("run", help="run lessons, check their claims, write figures/NAME.png and .json")
    runner.add_argument("names", nargs="*", metavar="NAME", help="gan_vs_wgan, or adversarial/gan_vs_wgan")
    runner.add_argument("--all", action="store_true", help="every lesson")
    add_options(runner)
    argv = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(argv)
    known = scripts()
    if options.command is None:
        width = max(map(len, known))
        for name, path in known.items():
            print(f"{name:<{width}}  {summary(path)}")
        return 0
    if options.command == "readme":
        return readme(known)
    if options.all == bool(options.names):
        runner.error("name the lessons to run, or --all of them")
    if importlib.util.find_spec("matplotlib") is None:
        runner.error('lessons draw with matplotlib: pip install -e ".[lessons]"')
    short = {name.rpartition("/")[2]: name for name in known}
    wanted = list(known) if options.all else [short.get(name, name) for name in options.names]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        runner.error(f"no lesson {', '.join(unknown)}; there are {', '.join(known)}")
    passed_on = [f"--{options.mode}"] if options.mode != "default" else []
    for option in ("seed", "backend", "data", "out"):
        value = getattr(options, option)
        passed_on += [] if value is None else [f"--{option}", str(value)]
    passed_on += ["--live"] if options.live else []
    codes = {}
    for name in wanted:
        codes[name], interrupted = outlast([sys.executable, str(known[name]), *passed_on])
        if codes[name] == 2 or (interrupted and codes[name]):  # bad usage is bad for every lesson
            return codes[name] if codes[name] > 0 else 1
        print(flush=True)
    failed = [name for name, code in codes.items() if code]
    print(f"all claims hold in {len(codes)} lessons" if not failed else f"not so: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
