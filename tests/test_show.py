"""A compiled program as a page: every line stands there beside the lines it came from, and looking at it changes nothing."""

import html.parser
import inspect
import linecache
import re
from pathlib import Path

import numpy as np
import pytest

import pydgm as dgm
from pydgm import nn, optim, train
from pydgm.compile import TraceError, show
from pydgm.compile.show import microseconds, page


class Page(html.parser.HTMLParser):
    """The lines of both sides: functions with their lines on the left, what NumPy does on the right."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.left, self.right, self.heads = [], [], []
        self.side = self.within = ""
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        given = dict(attrs)
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        if tag in ("aside", "main"):
            self.side = tag
        if tag == "div" and self.side == "aside" and "id" in given:
            self.left.append({"id": given["id"], "head": self.heads[-1]})
        if tag == "div" and self.side == "main" and "data-of" in given:
            self.right.append({"kind": given["class"].split()[1], "of": given["data-of"].split()})
        self.within = given.get("class", tag) if tag != "code" else "code"

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag
        self.within = ""

    def handle_data(self, text) -> None:
        if self.within == "h2":
            self.heads.append(text)
        elif self.side == "aside" and self.within in ("number", "code"):
            self.left[-1][self.within] = text
        elif self.side == "main" and self.within in ("time", "shape", "size", "code"):
            self.right[-1][self.within] = text


rng = np.random.default_rng(0)
X, Y = rng.normal(size=(50, 3)).astype("float32"), (rng.normal(size=50) < 0.0).astype("float32")


def loss(w, b):
    logits = X @ w + b
    return dgm.mean(dgm.softplus(logits) - Y * logits)


def descend(w, b):
    gw, gb = dgm.grad(loss, argnums=(0, 1))(w, b)
    return w - 0.1 * gw, b - 0.1 * gb


@pytest.fixture
def logistic():
    step = dgm.compile(descend)
    step(np.zeros(3, "float32"), np.zeros((), "float32"))
    return step


def of_source(f) -> dict[str, int]:
    lines, first = inspect.getsourcelines(f)
    return {line.strip(): first + i for i, line in enumerate(lines)}


def test_each_line_stands_beside_where_it_came_from(logistic, tmp_path) -> None:
    logistic.show(tmp_path / "step.html")
    seen = Page((tmp_path / "step.html").read_text(encoding="utf-8"))
    program = [line.strip() for line in logistic.source.split(":\n", 1)[1].splitlines()]
    assert [row["code"] for row in seen.right] == [line for line in program if line and line[0] != "#"]
    places = {line["id"]: (line["head"], int(line["number"]), line["code"].strip()) for line in seen.left}
    assert len(places) == len(seen.left)
    here = Path(__file__).name
    for name, f in (("loss", loss), ("descend", descend)):
        for code, number in of_source(f).items():
            assert (f"{here}: {name}", number, code) in places.values()
    came_from = {row["code"].split(" = ")[0]: [places[mark] for mark in row["of"]][-1][2] for row in seen.right if row["of"]}
    assert came_from["matmul"] == came_from["w_grad"] == came_from["b_grad"] == "logits = X @ w + b"
    assert came_from["new_0"] == "return w - 0.1 * gw, b - 0.1 * gb"
    kinds = {row["code"].split(" = ")[0]: row["kind"] for row in seen.right}
    assert (kinds["matmul"], kinds["w_grad"], kinds["new_0"]) == ("value", "gradient", "update")
    (product,) = [row for row in seen.right if row["code"].startswith("matmul =")]
    assert (product["shape"], product["size"]) == ("50 × 1 float32", "200 B")
    assert not re.search(r"https?:|src=|@import|url\(", (tmp_path / "step.html").read_text(encoding="utf-8"))


def test_layers_are_unfolded_to_their_own_lines() -> None:
    """A forward pass is no single line of the user's: each product has the line of its layer, and the way to it."""
    noise = dgm.random.Generator(0)
    step = train.minimise(lambda net, x, rng: dgm.mean((net(x) - rng.normal(x.shape)) ** 2), optim.adam(1e-3))
    train.run(step, step.init(nn.MLP.init(noise, [3, 5, 3], dgm.tanh), noise), [X] * 2)
    seen = Page(page(step.compiled._program, "step"))
    places = {line["id"]: (line["head"], line["code"].strip()) for line in seen.left}
    ways = [[places[mark] for mark in row["of"]] for row in seen.right]
    products = [way for row, way in zip(seen.right, ways, strict=True) if "np.matmul" in row["code"] and row["kind"] == "value"]
    assert len(products) == 2
    for way in products:
        assert way[-1][1].startswith("return x @ self.weight")
        assert [head.rpartition(".")[0].rpartition(" ")[2] or head for head, _ in way[-2:]] == ["MLP", "Linear"]
        assert "dgm.mean((net(x)" in way[0][1]
    assert {row["kind"] for row in seen.right} == {"value", "gradient", "update", "noise", "end"}
    assert all("optim.py" in way[-1][0] for row, way in zip(seen.right, ways, strict=True) if row["kind"] == "update")
    assert not any("autodiff" in head or "transforms" in head for head in seen.heads)
    assert len({line["id"] for line in seen.left}) == len(seen.left)
    assert step._repr_html_().startswith("<iframe ")


def test_looking_changes_nothing() -> None:
    noise = dgm.random.Generator(0)
    step = dgm.compile(lambda x: x + noise.normal((3,)), donate=0)
    x = step(np.ones(3, "float32"))
    before = noise.state(), x.copy()
    times = microseconds(step._program)
    assert (noise.state() == before[0]).all()
    assert (x == before[1]).all()
    assert len(times) == len(step._program.written.rows)
    assert all(us >= 0.0 for us in times)
    assert sum(times) > 0.0


def test_times_are_those_of_the_lines(monkeypatch) -> None:
    """A product of large matrices takes longer than a sum of a few numbers, and gets the time."""
    step = dgm.compile(lambda x, y: (x @ x, y + 1.0))
    step(np.ones((300, 300), "float32"), np.ones(3, "float32"))
    times = {
        row.text.split(" = ")[0]: us for row, us in zip(step._program.written.rows, microseconds(step._program), strict=True)
    }
    assert times["new_0"] > 20.0 * times["new_1"]


def test_what_is_written_is_text(tmp_path) -> None:
    """Code with < and & in it, of a function that stands in no file that is there any more."""
    (tmp_path / "gone.py").write_text(
        "import pydgm as dgm\n\ndef f(x):\n    return dgm.where(x < 1.0, x & 1, 2) if 0 < 1 else 0\n"
    )
    space: dict = {}
    exec(compile((tmp_path / "gone.py").read_text().replace("x & 1", "x"), str(tmp_path / "gone.py"), "exec"), space)
    step = dgm.compile(space["f"])
    step(np.ones(3, "float32"))
    seen = Page(page(step._program, "<f> & co"))
    assert any("x < 1.0, x & 1, 2" in line["code"] for line in seen.left)
    (tmp_path / "gone.py").unlink()
    linecache.clearcache()
    assert Page(page(step._program, "f")).right


def in_a_comprehension(x):
    """Of which nothing is shown here."""

    parts = [
        dgm.exp(x * k)
        for k in (1.0, 2.0)
    ]  # fmt: skip
    return sum((dgm.sin(p) for p in parts), 0.0) + (lambda y: dgm.cos(y))(x)


def never_called():
    return "never called"


def test_comprehensions_and_lambdas_stand_in_their_function() -> None:
    step = dgm.compile(in_a_comprehension)
    step(X)
    seen = Page(page(step._program, "step"))
    assert seen.heads == [f"{Path(__file__).name}: in_a_comprehension"]
    assert len({line["id"] for line in seen.left}) == len(seen.left)
    assert [line["code"].strip() for line in seen.left if line["code"].strip()] == [
        line for line in of_source(in_a_comprehension) if line and not line.startswith('"""')
    ]
    assert not any("never" in line["code"] for line in seen.left)
    assert all(len(set(row["of"])) == len(row["of"]) >= 1 for row in seen.right[:-1])


@pytest.mark.parametrize("f", [lambda x: x, lambda x: None, lambda x: 2.0], ids=["itself", "nothing", "a number"])
def test_programs_without_a_line(f) -> None:
    step = dgm.compile(f)
    step(X)
    assert [row["kind"] for row in Page(page(step._program, "step")).right] == ["end"]


def test_a_program_that_fails_on_other_numbers_has_no_times() -> None:
    step = dgm.compile(dgm.cholesky)
    step(np.eye(3))
    text = page(step._program, "step")
    assert "not measured: LinAlgError on random numbers" in text
    assert "time" not in Page(text).right[0]


def test_code_that_stands_in_no_file(tmp_path) -> None:
    space: dict = {}
    exec("import pydgm as dgm\nf = dgm.compile(lambda x: dgm.exp(x))", space)
    space["f"](X)
    assert "(its source is not at hand)" in page(space["f"]._program, "f")


def test_without_compilation_there_is_nothing_to_show(tmp_path) -> None:
    step = dgm.compile(descend)
    with dgm.eager(), pytest.raises(TraceError, match="compilation is switched off"):
        step.show(tmp_path / "step.html")


def test_before_there_is_a_program(tmp_path) -> None:
    step = dgm.compile(descend)
    assert step._repr_html_() is None
    with pytest.raises(TraceError, match="no program yet"):
        step.show(tmp_path / "step.html")
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_part_of_the_package() -> None:
    assert show.PAGE.is_file()
    assert "compile/*.html" in (Path(__file__).parents[1] / "setup.cfg").read_text(encoding="utf-8")
