"""Bad input gets one clear sentence: what, which shapes, and the caller's own line."""

from __future__ import annotations

import collections
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import pydgm as dgm
from pydgm import errors
from pydgm.errors import BackendError, NaNError, ShapeError, TreeError


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError) as error:
        dgm.add(np.ones((2, 3)), np.ones((4, 5)))  # the line that is named
    said = str(error.value)
    assert "add((2, 3) float64, (4, 5) float64): these shapes do not broadcast" in said
    assert "test_errors.py" in said
    assert "the line that is named" in said
    with pytest.raises(ShapeError, match=r"matmul\(\(2, 3\) float64, \(2, 3\) .*summed over differ"):
        dgm.grad(lambda x: dgm.sum(x @ x))(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dgm.sum(np.ones((2, 3)), axis=5), "sum.*axis"),
        (lambda: dgm.permute_dims(np.ones((2, 3)), (0, 0)), "not an order of the 2 axes"),
        (lambda: dgm.pad(np.ones(3), [(1, -1)]), "pad: shape"),
        (lambda: dgm.einsum("ij,jk->il", np.ones((2, 3)), np.ones((3, 4))), 'each letter after "->"'),
        (lambda: dgm.einsum("ij,jk", np.ones((2, 3)), np.ones((3, 4))), "write"),
        (lambda: dgm.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((2, 4))), 'axis "j" has length 3 and length 2'),
        (lambda: dgm.conv2d(np.ones((1, 2, 5, 5)), np.ones((3, 4, 2, 2))), "conv2d: input"),
        (lambda: dgm.conv1d(np.ones((1, 2, 2)), np.ones((3, 2, 5))), "does not fit"),
        (lambda: dgm.conv1d(np.ones((1, 2, 5)), np.ones((3, 2, 2)), stride=0), "stride must be"),
        (lambda: dgm.take_along_axis(np.ones((2, 2)), np.zeros(2, int)), "take_along_axis: indices of shape"),
        (lambda: dgm.getitem(np.ones((2, 2)), 7), "out of bounds"),
        (lambda: dgm.scatter_add(np.ones(3), (np.array([0, 5, -9]),), (4,)), "invalid entry"),
        (lambda: dgm.scatter_add(np.ones((3, 2)), (np.array([[0], [1]]), np.array([0, 1, 2])), (2, 3)), "do not broadcast"),
        (lambda: dgm.matrix_transpose(np.ones(3)), "no matrix"),
        (lambda: dgm.take(np.ones((2, 3)), np.array([0]), 5), "axis 5 does not exist"),
        (lambda: dgm.permute_dims(np.ones((2, 3)), (2, 3)), "axis 2 does not exist"),
        (lambda: dgm.take_along_axis(np.ones((2, 3)), np.zeros((2, 3), int), axis=5), "axis 5 does not exist"),
        (lambda: dgm.take_along_axis(np.ones((3, 2)), np.zeros((2, 1), int)), "take_along_axis: indices of shape"),
        (lambda: dgm.matmul(np.ones(5), np.ones((2, 3))), "do not fit"),
        (lambda: dgm.hvp(lambda x: dgm.sum(x**3), np.ones(3), np.ones((3, 1))), "hvp: a vector"),
    ],
)
def test_bad_arguments_of_operations(call, message) -> None:
    with pytest.raises(ShapeError, match=rf"(?s){message}.*at test_errors.py:\d+") as error:
        call()
    assert str(error.value).count(" at test_errors.py") == 1


def test_integers_have_no_derivative() -> None:
    with pytest.raises(TypeError, match=r"grad: argument 0 holds no floating-point array: it is the integer 3; write 3.0"):
        dgm.grad(lambda x: x * x)(3)
    with pytest.raises(
        TypeError, match=r"argument 0 at \['n'\] has dtype int64; only real floating-point arrays have derivatives"
    ):
        dgm.grad(lambda t: dgm.sum(t["w"]))({"w": np.ones(2), "n": np.arange(3)})
    with pytest.raises(TypeError, match=r"dtype complex128; only real"):
        dgm.grad(lambda x: dgm.sum(dgm.abs(x)))(np.ones(2) * 1j)
    with pytest.raises(TypeError, match=r"plain numbers in a Module are settings"):
        dgm.grad(lambda p: p.log_prob(1.0))(dgm.distributions.Normal(0.0, 1.0))
    with pytest.raises(TypeError, match="there is no argument 2"):
        dgm.grad(lambda x: x, argnums=2)(1.0)


def test_a_loss_is_one_number() -> None:
    with pytest.raises(ValueError, match=r"the loss must be one number, the function returned an array of shape \(3,\)"):
        dgm.grad(lambda x: x * x)(np.ones(3))
    with pytest.raises(ValueError, match="must be one number"):
        dgm.grad(lambda x: (x, x))(1.0)
    with pytest.raises(TypeError, match="must return a pair"):
        dgm.grad(lambda x: x, has_aux=True)(1.0)


def test_a_tree_that_changed() -> None:
    opt = dgm.optim.adam()
    model = {"w": np.ones(2), "b": np.ones(1)}
    state = opt.init(model)
    with pytest.raises(TreeError, match="structure of its model"):
        opt.update(model, {"w": np.ones(2)}, state)
    with pytest.raises(TreeError, match=r"gradient of \['w'\] is \(1,\) float64, the model \(2,\) float64"):
        opt.update(model, {"w": np.ones(1), "b": np.ones(1)}, state)
    _, pull = dgm.vjp(lambda x: {"y": x}, np.ones(2))
    with pytest.raises(TreeError, match="cotangent has the structure"):
        pull(np.ones(2))
    with pytest.raises(ValueError, match=r"cotangent \(3,\) float64 for a result \(2,\) float64"):
        pull({"y": np.ones(3)})


def test_nan_is_named_where_it_is_made() -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        with (
            dgm.debug_nans(),
            pytest.raises(NaNError, match=r"log made NaN in 1 of 2 .* at test_errors.py"),
        ):
            dgm.log(np.array([-1.0, 1.0]))
        with dgm.debug_nans(), pytest.raises(NaNError, match="add was given NaN and passed it on"):
            dgm.add(np.array([np.nan]), 1.0)
        with dgm.debug_nans(), pytest.raises(NaNError, match="the derivative of sqrt made NaN"):
            dgm.grad(lambda x: dgm.sum(0.0 * dgm.sqrt(x)))(np.zeros(2))
        assert np.isnan(dgm.log(np.array([-1.0]))).all()  # off again


@pytest.mark.parametrize("f", [float, int, math.sin, lambda x: dgm.sum(np.array([1.0]) * x) * float(x)])
def test_a_tensor_does_not_become_a_number_unseen(f) -> None:
    with pytest.raises(TypeError, match="its derivative would be lost"):
        dgm.grad(lambda x: x * f(x))(0.3)
    assert f"{dgm.stop_gradient(np.array(0.25)):.2f}" == "0.25"


def test_a_tensor_is_not_written_into_an_array_unseen() -> None:
    def f(x):
        out = np.zeros(3)
        out[0] = x[0] ** 2
        return np.sum(out)

    with pytest.raises((TypeError, ValueError), match=r"derivative would be lost|setting an array element"):
        dgm.grad(f)(np.ones(3))

    def g(x):
        x[0] = 1.0
        return dgm.sum(x)

    with pytest.raises(TypeError, match="not changed in place"):
        dgm.grad(g)(np.ones(3))

    def h(x):
        out = np.zeros(3)
        out += x
        return dgm.sum(out)

    with pytest.raises(TypeError, match="write x = x"):
        dgm.grad(h)(np.ones(3))


def test_other_containers_are_refused_not_lost() -> None:
    with pytest.raises(TypeError, match="OrderedDict is no container that pydgm knows"):
        dgm.grad(lambda t: dgm.sum(t["a"]["w"]) * t["b"])({"a": collections.OrderedDict(w=np.ones(2)), "b": 1.0})


def test_tuple_argnums_where_one_is_meant() -> None:
    with pytest.raises(TypeError, match="take one argument number"):
        dgm.jacobian(lambda a, b: a * b, argnums=(0, 1))


def test_a_singular_matrix_is_not_a_shape() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        dgm.inv(np.zeros((2, 2)))


def test_the_line_is_the_programs_not_numpys() -> None:
    with pytest.raises(TypeError, match=r"at test_errors\.py"):
        dgm.grad(lambda x: np.linalg.qr(x))(np.ones((2, 2)))
    space = {"dgm": dgm, "np": np}
    with pytest.raises(ShapeError, match="at <stdin>:1"):
        exec(compile("dgm.add(np.ones(2), np.ones(3))", "<stdin>", "exec"), space)


def test_long_arguments_are_shortened() -> None:
    with pytest.raises(ShapeError) as error:
        dgm.getitem(np.ones(3), (np.arange(1000), np.arange(1000)))
    assert len(str(error.value)) < 400


def test_a_tensor_does_not_become_a_numpy_array_unseen() -> None:
    with pytest.raises(TypeError, match="its derivative would be lost"):
        dgm.grad(lambda x: np.asarray(x).sum())(np.ones(2))
    with pytest.raises(TypeError, match=r"np.sort has no derivative in pydgm"):
        dgm.grad(lambda x: dgm.sum(np.sort(x)))(np.ones(2))


def test_missing_backends_say_what_to_do() -> None:
    with pytest.raises(BackendError, match='choose "numpy", "cupy" or "array_api_strict"'):
        dgm.use("torch")
    assert dgm.to_numpy(dgm.exp(np.zeros(1))) == 1.0  # the library in use stays in use
    run = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['cupy'] = None; import pydgm; pydgm.use('cupy')"],
        capture_output=True,
        text=True,
    )
    assert re.search(r"cupy is not installed .*: pip install -e .\.\[cuda12\]., or pass .numpy.", run.stderr)


def test_import_is_light() -> None:
    code = "import sys, pydgm; print(sorted({'matplotlib', 'hypothesis', 'scipy', 'tqdm', 'pooch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_installed_lessons_are_programs_whose_lines_are_named() -> None:
    own = errors._OWN
    assert not errors._is_library(f"{own}lessons{os.sep}flows{os.sep}planar_flow.py")
    assert errors._is_library(f"{own}lesson{os.sep}run.py")
    assert errors._is_library(f"{own}nn.py")
