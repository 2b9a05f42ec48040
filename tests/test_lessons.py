"""The harness and the lessons: results on disk, exit statuses, bad usage."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import matplotlib
import matplotlib.figure
import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from PIL import Image

import pydgm as dgm
from lessons.__main__ import main
from pydgm import files, lesson
from pydgm.lesson import film
from pydgm.lesson.claims import Claim, table

ROOT = Path(__file__).parents[1]
TINY = '''
"""A tiny lesson."""
import pydgm as dgm
from pydgm import lesson
run = lesson.start("family/tiny", __doc__, lecture="L0", figure="none", live={live}, settings={{"K": 4, "rate": 0.5}})
axes = run.panels("ab")["a"]
for _ in run.progress(3, "steps"):
    pass
axes.plot([0, run.settings["K"]], [0, run.settings["rate"]])
run.picture("a")
run.claim("the first number is small", run.rng.uniform(), "<=", {bound})
if run.live:
    run.film(*lesson.screen(), [("frame", [[dgm.xp.asarray([[0.0, i], [1.0, 0.0]])]]) for i in range(4)])
run.finish({{"mode": run.pick(quick=1, default=2, full=3), "seed": run.seed, "nan": float("nan")}})
'''


def program(*arguments: object, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), **env})


@pytest.fixture
def tiny(tmp_path):
    def write(bound: float = 1.0, live: bool = False) -> Path:
        path = tmp_path / "tiny.py"
        path.write_text(TINY.format(bound=bound, live=live))
        return path

    return write


def test_a_copy_of_a_lesson_takes_options_under_any_name(tiny, tmp_path) -> None:
    copy = tiny(bound=-1.0).rename(tmp_path / "my_own.py")
    done = program(copy.name, "--seed", 7, "--quick", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "FAILS" in done.stdout
    assert json.loads((tmp_path / "out" / "tiny.json").read_text())["numbers"]["mode"] == 1


def test_a_lesson_writes_its_picture_and_its_numbers(tiny, tmp_path) -> None:
    out = tmp_path / "deep" / "out"
    done = program(tiny(), "--seed", 7, "--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "holds" in done.stdout
    assert (out / "tiny.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((out / "tiny.json").read_text())
    wanted = ["lesson", "lecture", "figure", "seed", "mode", "settings", "backend", "data", "seconds"]
    wanted += ["smallest_text", "picture_sha256", "versions", "claims", "numbers"]
    assert list(report) == wanted
    assert report["lesson"] == "family/tiny"
    assert (report["seed"], report["mode"], report["backend"]) == (7, "quick", "numpy")
    (claim,) = report["claims"]
    assert list(claim) == ["claim", "measured", "relation", "bound", "holds"]
    assert claim["holds"] is True
    assert report["numbers"] == {"mode": 1, "seed": 7, "nan": "nan"}
    assert sorted(p.name for p in out.iterdir()) == ["tiny.json", "tiny.png"]


def test_settings_are_turned_and_reported(tiny, tmp_path) -> None:
    for options, K, rate in (([], 4, 0.5), (["--set", "K=9", "--set", "rate=2"], 9, 2.0)):
        done = program(tiny(), "--quick", "--out", tmp_path, *options)
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "tiny.json").read_text())["settings"] == {"K": K, "rate": rate}


def test_several_lessons_run_side_by_side(tmp_path) -> None:
    """What each prints comes in one piece; the exit status is that of the worst."""
    names = ["posterior_regularization", "rbm_contrastive_divergence"]
    done = program("-m", "lessons", "run", *names, "--quick", "-j", 2, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all claims hold in 2 lessons" in done.stdout
    for name in names:
        part = done.stdout.split(f"/{name}: ")[1]
        assert f"{name}.png, .json" in part.split("/rbm_" if name.startswith("p") else "/posterior_")[0]
    done = program("-m", "lessons", "run", *names, "--quick", "-j", 2, "--out", tmp_path, "--set", "known=0.55")
    assert done.returncode == 2  # which the other lesson does not know
    done = program("-m", "lessons", "run", names[0], "--quick", "-j", 2, "--out", tmp_path, "--set", "known=0.55")
    assert done.returncode == 1
    assert "not so: constraints/posterior_regularization: a claim fails" in done.stdout


def test_modes_are_three(tiny, tmp_path) -> None:
    for option, number in ((None, 2), ("--full", 3)):
        done = program(tiny(), *([option] if option else []), "--out", tmp_path)
        assert done.returncode == 0
        assert json.loads((tmp_path / "tiny.json").read_text())["numbers"]["mode"] == number


TWICE = '''
"""Two trainings that are called the same."""
import sys
import numpy as np
import pydgm as dgm
from pydgm import lesson, optim, train
run = lesson.start("family/twice", __doc__, lecture="L0", figure="none")
step = train.minimise(lambda w, x, rng: dgm.sum((w - rng.normal((2,), "float64")) ** 2), optim.sgd(0.1))
ends = []
for i in range(2):
    if i and "--stop" in sys.argv[0]:
        raise SystemExit(3)
    ends.append(run.train(step, step.init(np.full(2, float(i)), run.rng), 20, "some steps").model)
run.panels("a")
run.finish({"ends": ends})
'''


def test_trainings_of_one_name_have_files_of_their_own(tmp_path) -> None:
    """With --full; interrupted after the first, resumed: the same bits."""
    script, stopped, ends = tmp_path / "twice.py", tmp_path / "--stop" / "twice.py", []
    stopped.parent.mkdir()
    for path in (script, stopped):
        path.write_text(TWICE)
    for out in ("whole", "parts"):
        if out == "parts":
            assert program(stopped, "--full", "--out", tmp_path / out).returncode == 3
            assert program(script, "--full", "--out", tmp_path / out).returncode == 2  # of a run that was interrupted
        done = program(script, "--full", *(["--resume"] if out == "parts" else []), "--out", tmp_path / out)
        assert done.returncode == 0, done.stderr
        ends.append(json.loads((tmp_path / out / "twice.json").read_text())["numbers"]["ends"])
        assert not list((tmp_path / out).glob(".*.npz"))
    assert ends[0] == ends[1]


def test_a_film_is_kept_as_gif_and_as_a_page_that_needs_nothing_else(tiny, tmp_path) -> None:
    done = program(tiny(live=True), "--live", "--out", tmp_path / "out", MPLBACKEND="agg")
    assert done.returncode == 0, done.stderr
    assert "no window can be opened here" in done.stdout
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["tiny.gif", "tiny.html", "tiny.json", "tiny.png"]
    with Image.open(tmp_path / "out" / "tiny.gif") as film:
        assert film.n_frames == 4
    page = (tmp_path / "out" / "tiny.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64") == 4
    assert 'type="range"' in page
    assert "http" not in page
    assert "fa-" not in page
    without = program(tiny(live=True), "--out", tmp_path / "none")
    assert without.returncode == 0
    assert sorted(p.name for p in (tmp_path / "none").iterdir()) == ["tiny.json", "tiny.png"]


def test_ctrl_c_is_the_lessons_own_affair(tmp_path) -> None:
    """A browser's window is closed so. The runner waits for what the lesson makes of it, and stops where that is an error."""
    code = """
import signal, sys, time
got = []
signal.signal(signal.SIGINT, lambda *_: got.append(1) if sys.argv[1] == "0" else sys.exit(7))
print("ready", flush=True)
while not got:
    time.sleep(0.01)
"""
    runner = """
import signal, sys
from lessons.__main__ import outlast
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have switched it off for what runs in the background
print(outlast([sys.executable, *sys.argv[1:]]), flush=True)
"""
    (tmp_path / "lesson.py").write_text(code)
    for end, said in (("0", "0"), ("7", "130")):
        run = [sys.executable, "-c", runner, str(tmp_path / "lesson.py"), end]
        with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            os.killpg(child.pid, signal.SIGINT)
            assert child.stdout.read().strip() == said
        assert child.returncode == 0


def test_a_film_is_drawn_while_its_frames_come() -> None:
    """In the window's event loop; what a window that was closed early did not show is collected all the same."""
    import matplotlib.pyplot as plt

    drawn: list[int] = []

    def window(figure) -> None:
        film = animations.pop()
        for _ in range(2):
            film._step()

    animations: list[FuncAnimation] = []

    class Watched(FuncAnimation):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            animations.append(self)

    figure = plt.figure()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "get_backend", lambda: "window")
        patch.setattr(plt, "show", lambda: window(figure))
        patch.setattr("matplotlib.animation.FuncAnimation", Watched)
        assert film.show(figure, drawn.append, iter(range(5))) == [0, 1, 2, 3, 4]
    assert drawn[:2] == [0, 1]
    plt.close(figure)


def test_a_claim_that_fails_is_exit_status_1(tiny, tmp_path) -> None:
    done = program(tiny(bound=-1.0), "--out", tmp_path)
    assert done.returncode == 1
    assert "FAILS" in done.stdout
    assert "0 of 1 claims hold" in done.stdout
    assert json.loads((tmp_path / "tiny.json").read_text())["claims"][0]["holds"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-1"], "a seed is an integer from 0"),
        (["--quick", "--full"], "not allowed with"),
        (["--backend", "torch"], "invalid choice"),
        (["--backend", "cupy"], "cupy"),
        (["--nonsense"], "unrecognized arguments"),
        (["--live"], "family/tiny has no live view"),
        (["--resume"], "--resume goes on with an interrupted --full run"),
        (["--out", "/proc/none"], "cannot write into /proc/none"),
        (["--data", "nowhere"], "--data nowhere: there is no such folder"),
        (["--set", "L=3"], "--set L: family/tiny has no such setting; its settings are: K=4, rate=0.5"),
        (["--set", "K"], "wanted KEY=VALUE, got 'K'"),
        (["--set", "K=2.5"], "--set K=2.5: wanted an integer, 4 say"),
        (["--set", "rate=nan"], "--set rate=nan: wanted a number, 0.5 say"),
    ],
)
def test_bad_usage_is_a_sentence_and_exit_status_2(tiny, tmp_path, options, said) -> None:
    done = program(tiny(), "--out", tmp_path / "out", *options, PYDGM_BACKEND="numpy")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*"))


def test_a_file_in_the_way_of_the_folder(tiny, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    done = program(tiny(), "--out", tmp_path / "file")
    assert done.returncode == 2
    assert "cannot write into" in done.stderr


def test_a_missing_or_corrupt_data_file_is_a_sentence_and_exit_status_2(tmp_path) -> None:
    script = ROOT / "lessons" / "latent" / "vae_reparameterization.py"
    done = program(script, "--quick", "--out", tmp_path / "out", "--data", tmp_path)
    assert done.returncode == 2
    assert "there is no folder" in done.stderr
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"damaged")
    done = program("-m", "lessons", "run", "vae_reparameterization", "--quick", "--out", tmp_path / "out", "--data", tmp_path)
    assert done.returncode == 2
    assert "starts with 64616d61" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*"))


def test_nothing_half_written_when_drawing_fails(tmp_path) -> None:
    def breaks(file) -> None:
        file.write(b"half")
        raise RuntimeError("disk on fire")

    (tmp_path / "a.png").write_bytes(b"old")
    (tmp_path / ".a.png.left.tmp").write_bytes(b"of a run that was killed")
    with pytest.raises(RuntimeError, match="on fire"):
        files.write(tmp_path, {"a.png": lambda file: file.write(b"new"), "a.json": breaks})
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_two_runs_into_one_folder_leave_the_files_of_one(tmp_path) -> None:
    """Slow writers that take turns in every order: picture and numbers are always of one run."""

    def run(number: int) -> None:
        def content(file) -> None:
            file.write(str(number).encode())
            time.sleep(0.001 * (number % 3))

        files.write(tmp_path, {"a.png": content, "a.json": content})

    for first in range(0, 40, 8):
        threads = [threading.Thread(target=run, args=(first + i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "a.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.png"]


def test_the_report_names_its_picture(tiny, tmp_path) -> None:
    assert program(tiny(), "--out", tmp_path / "out").returncode == 0
    picture = (tmp_path / "out" / "tiny.png").read_bytes()
    report = json.loads((tmp_path / "out" / "tiny.json").read_text())
    assert report["picture_sha256"] == hashlib.sha256(picture).hexdigest()


ENDS = {
    "a claim fails": ("", 1, ""),
    "a crash": ("raise ValueError('boom')", 3, "ValueError: boom"),
    "no memory": ("raise MemoryError", 3, "MemoryError"),
    "Ctrl+C": ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", 130, "interrupted"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 3, "ended by SIGKILL"),
    "usage": ("raise SystemExit(2)", 2, ""),
    "a broken import": ("import no_such_module", 3, "ModuleNotFoundError"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_failed_claim_is_told_apart_from_all_else(tiny, tmp_path, how) -> None:
    line, code, said = ENDS[how]
    script = tiny(bound=-1.0)
    script.write_text(script.read_text().replace("for _ in run.progress", f"{line}\nfor _ in run.progress"))
    run = "outlast([sys.executable, '-m', 'pydgm.lesson', *sys.argv[1:]])"
    runner = f"import sys; from lessons.__main__ import outlast; sys.exit({run})"
    through = program("-c", runner, script, "--out", tmp_path / "out")
    assert through.returncode == code, through.stderr
    assert said in through.stderr
    if how != "killed":
        alone = program(script, "--out", tmp_path / "out")
        assert alone.returncode == code
        assert ("Traceback" in alone.stderr) == (code == 3)


@pytest.mark.parametrize(
    ("env", "options", "code"),
    [
        ({"PYDGM_BACKEND": "foo"}, [], 2),
        ({"PYDGM_BACKEND": "cupy"}, [], 2),
        ({"PYDGM_BACKEND": ""}, [], 0),
        ({"PYDGM_BACKEND": "numpy "}, [], 0),
        ({"PYDGM_BACKEND": "foo"}, ["--backend", "numpy"], 0),
        ({"MPLBACKEND": "nonsense"}, [], 0),
        ({}, ["--out", ""], 2),
        ({}, ["--data", ""], 2),
        ({}, ["--seed", "9" * 5000], 2),
    ],
)
def test_what_the_surroundings_ask_for(tmp_path, env, options, code) -> None:
    done = program("-m", "lessons", "run", "posterior_regularization", "--quick", "--out", tmp_path, *options, **env)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 1000


@pytest.mark.parametrize("arguments", [["-m", "lessons"], ["-m", "lessons", "run", "posterior_regularization", "--quick"]])
def test_a_closed_pipe_is_no_failed_claim(tmp_path, arguments) -> None:
    more = ["--out", str(tmp_path)] if "run" in arguments else []
    command = [sys.executable, *arguments, *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    reader, writer = os.pipe()
    os.close(reader)  # before anything is written: the first line finds nobody
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env, check=False)
    assert done.stderr == ""
    assert done.returncode == 141


def test_a_full_disk_is_no_failed_claim(tmp_path) -> None:
    """Standard output that takes nothing: a crash of the lesson, and of the runner."""
    command = [sys.executable, "-m", "lessons", "run", "posterior_regularization", "--quick", "--out", str(tmp_path)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert done.returncode == 3
    assert "No space left" in done.stderr


def test_data_that_are_not_used_are_not_ignored_in_silence(tmp_path) -> None:
    done = program("-m", "lessons", "run", "gan_vs_wgan", "--quick", "--out", tmp_path, "--data", tmp_path)
    assert done.returncode == 0
    assert f"--data {tmp_path} was not used" in done.stdout


def test_a_notebook_has_the_defaults(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    run = lesson.start("family/tiny", "doc", lecture="L0", figure="none")
    assert (run.mode, run.seed) == ("default", 0)
    import matplotlib.pyplot as plt

    run.claim("fails", 1.0, "<", 0.0)
    run.panels("a")["a"].plot([0, 1])
    picture = run.picture("a")
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert "data:image/png;base64," in picture._repr_html_()
    shown = run.finish({})  # no exit: the notebook goes on
    assert "FAILS" in repr(shown)
    assert "<td>FAILS</td>" in shown._repr_html_()
    assert shown.alt == "fails: 1"
    plt.close("all")


def test_an_ellipse_is_one_deviation() -> None:
    """Its points are L u + loc for unit vectors u."""
    ax = matplotlib.figure.Figure().subplots()
    loc, L = np.array([1.0, 2.0]), np.array([[2.0, 0.0], [1.0, 0.5]])
    lesson.ellipse(ax, loc, L, "q")
    for line in ax.get_lines():
        unit = np.linalg.solve(L, line.get_xydata().T - loc[:, None])
        np.testing.assert_allclose(np.linalg.norm(unit, axis=0), 1.0)
    assert ax.get_lines()[-1].get_label() == "q"


def test_a_picture_is_its_panels_and_no_neighbour(monkeypatch, tmp_path) -> None:
    """Blue beside red: each alone, whole; both; and the figure is as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sphinx"])
    from matplotlib.image import imread

    run = lesson.start("family/tiny", "doc", lecture="L0", figure="none")
    panels = run.panels("abc")
    for name, color in (("a", "blue"), ("b", "red")):
        panels[name].imshow([[0.0]], cmap=matplotlib.colors.ListedColormap([color]))
        panels[name].set_title(f"({name}) {color},\nand a headline that reaches into both neighbours")
    panels["a"].twinx().set_ylabel("right")

    def count(png: bytes) -> list[int]:
        pixels = imread(io.BytesIO(png))[:, :, :3]
        return [int(np.all(pixels == colour, axis=-1).sum()) for colour in ([0, 0, 1], [1, 0, 0])]

    def whole() -> bytes:
        file = io.BytesIO()
        run.drawing.savefig(file, format="png")
        return file.getvalue()

    before = whole()
    blue, red = count(before)
    near = functools.partial(pytest.approx, rel=0.01)  # edges fall between pixels in another way
    assert count(run.picture("a")._repr_png_()) == near([blue, 0])
    assert count(run.picture("b")._repr_png_()) == near([0, red])
    assert count(run.picture("b", "a")._repr_png_()) == near([blue, red])
    assert run.picture("a", "c").alt == "(a) blue, and a headline that reaches into both neighbours; panel c"
    assert whole() == before


def test_relations() -> None:
    for relation, bound, holds in [("<=", 1, True), (">=", 1, True), ("<", 1, False), (">", 0, True), ("==", 1, True)]:
        assert Claim("", 1.0, relation, bound).holds is holds
    assert Claim("", 1.0, "within", (0, 1)).holds
    assert not Claim("", 1.1, "within", (0, 1)).holds
    for relation in ("<=", ">=", "<", ">", "=="):
        assert not Claim("", float("nan"), relation, 0.0).holds
    assert not Claim("", float("nan"), "within", (0, 1)).holds
    assert "FAILS  1.1 within 0 to 1" in table([Claim("too far", 1.1, "within", (0, 1))])


def test_the_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pydgm {dgm.__version__}\n"


def test_the_runner_lists_and_refuses() -> None:
    done = program("-m", "lessons")
    assert done.returncode == 0
    assert "adversarial/gan_vs_wgan" in done.stdout
    assert "latent/vae_reparameterization" in done.stdout
    for arguments, said in [
        (["run", "gan_vs_wgan", "--all"], "name the lessons to run"),
        (["run", "--all", "-j", "0"], "wanted how many lessons at a time"),
        (["run", "planar_flow", "-j", "2", "--live"], "--live shows one lesson at a time"),
        (["run", "planar_flow", "--set", "L=3"], "flows/planar_flow has no such setting"),
        (["run", "nothing"], "no lesson nothing; there are adversarial/clipping_vs_penalty"),
        (["walk"], "invalid choice"),
    ]:
        done = program("-m", "lessons", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_demos_are_listed_and_need_bokeh(capsys, monkeypatch) -> None:
    assert main(["demo"]) == 0
    assert "planar_maps" in capsys.readouterr().out
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bokeh" else found(name))
    with pytest.raises(SystemExit):
        main(["demo", "planar_maps"])
    assert "demos are drawn by bokeh" in capsys.readouterr().err


def test_data_that_a_lesson_can_leave_out(tmp_path, monkeypatch, capsys) -> None:
    """They are named where they are missing, also where a folder that is named has others."""
    run = lesson.start("family/tiny", "A tiny lesson.", lecture="L0", figure="none")
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("PYDGM_DATA", str(tmp_path))
    assert run.at_hand("mnist")
    assert not run.at_hand("dna")
    assert "dna is not at hand, and left out: python -m pydgm.data fetch uci_binary" in capsys.readouterr().out
