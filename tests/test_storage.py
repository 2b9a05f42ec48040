"""Trees in files: what was saved is loaded, to the last bit, and nothing else is taken for it."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given

import pydgm as dgm
from pydgm import nn, storage, testing, trees
from pydgm.errors import ArgumentError, DataError
from pydgm.models.autoregressive import MADE, random_orders


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


@given(testing.trees())
def test_any_tree_comes_back(tmp_path_factory, tree) -> None:
    path = tmp_path_factory.mktemp("trees") / "tree.npz"
    dgm.save(path, tree)
    back = dgm.load(path, like=trees.map(lambda x: np.zeros_like(x) if isinstance(x, np.ndarray) else 0.0, tree))
    (a, s), (b, t) = trees.flatten(tree), trees.flatten(back)
    assert s == t
    for x, y in zip(a, b, strict=True):
        assert type(x) is type(y)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_numpy_reads_the_file_by_the_paths(tmp_path) -> None:
    model = nn.MLP.init(random(), [2, 3, 1])
    dgm.save(tmp_path / "model.npz", {"model": model, "rate": 0.5})
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["['model'].layers[0].weight"], model.layers[0].weight)
        assert float(file["['rate']"]) == 0.5
    back = dgm.load(str(tmp_path / "model.npz"), like={"model": nn.MLP.init(random(1), [2, 3, 1]), "rate": 0.0})
    assert back["rate"] == 0.5
    assert type(back["rate"]) is float
    x = random(2).normal((5, 2))
    np.testing.assert_array_equal(back["model"](x), model(x))


def test_dtypes_and_shapes_of_all_kinds(tmp_path) -> None:
    tree = [np.zeros((0, 3)), np.float32(2.0), np.array(7), np.array([True]), np.arange(6).reshape(2, 3).T, np.ones(2, ">f4")]
    dgm.save(tmp_path / "x.npz", tree)
    for x, y in zip(tree, dgm.load(tmp_path / "x.npz", like=tree), strict=True):
        np.testing.assert_array_equal(x, y)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)


class Small(dgm.Module):
    w: np.ndarray
    rate: float = 0.1
    mask: np.ndarray = nn.static(None)


OTHERS = {
    "another width": (nn.MLP.init(random(), [2, 4, 1]), "layers[0].weight is (2, 3) float32 there, not (2, 4) float32"),
    "another depth": (nn.MLP.init(random(), [2, 3, 3, 1]), "layers[2] is nothing there, and Linear here"),
    "another activation": (nn.MLP.init(random(), [2, 3, 1], dgm.tanh), "activation is"),
    "another class": (Small(np.zeros((2, 3), "float32")), "it is MLP there, and Small here"),
    "another dtype": (nn.double(nn.MLP.init(random(), [2, 3, 1])), "float32 there, not (2, 3) float64"),
    "an array": (np.zeros((2, 3)), "it is MLP there, and nothing here"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_model_is_refused(tmp_path, name) -> None:
    other, said = OTHERS[name]
    dgm.save(tmp_path / "m.npz", nn.MLP.init(random(), [2, 3, 1]))
    kept = trees.map(np.copy, other)
    with pytest.raises(DataError) as error:
        dgm.load(tmp_path / "m.npz", like=other)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert all((a == b).all() for a, b in zip(trees.leaves(kept), trees.leaves(other), strict=True))


def test_a_function_is_known_by_its_name_alone(tmp_path) -> None:
    """Another version of it, or of Python, does not make a saved model unreadable."""

    def swish(x):
        return x * dgm.sigmoid(x)

    old = swish

    def swish(x):  # type: ignore[no-redef]
        """The same, with a docstring and another line."""
        y = dgm.sigmoid(x)
        return x * y

    dgm.save(tmp_path / "m.npz", nn.MLP.init(random(), [2, 3, 1], old))
    assert dgm.load(tmp_path / "m.npz", like=nn.MLP.init(random(1), [2, 3, 1], swish)).activation is swish


def test_other_files_of_the_folder_are_left_alone(tmp_path) -> None:
    for name in (".model.backup", ".model.npz.mine"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".model.npz.folder.tmp").mkdir()
    (tmp_path / ".model.npz.abc.tmp").write_text("left of a process that was killed")
    dgm.save(tmp_path / "model.npz", np.ones(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".model.backup",
        ".model.npz.folder.tmp",
        ".model.npz.mine",
        "model.npz",
    ]


def test_settings_are_compared(tmp_path) -> None:
    w = np.zeros(2)
    dgm.save(tmp_path / "s.npz", Small(w, 0.2, np.ones(3)))
    assert dgm.load(tmp_path / "s.npz", like=Small(w + 1.0, 0.2, np.ones(3))).rate == 0.2
    for other, said in ((Small(w, 0.1, np.ones(3)), "rate is 0.2 there"), (Small(w, 0.2, np.zeros(4)), "mask is (3,)")):
        with pytest.raises(DataError) as error:
            dgm.load(tmp_path / "s.npz", like=other)
        assert said in str(error.value)


class Pair(dgm.Module):
    parts: tuple[Small, ...]
    rows: tuple[np.ndarray, ...] = nn.static(())


def test_arrays_among_the_settings_are_those_of_the_file(tmp_path) -> None:
    def pair(x: float) -> Pair:
        return Pair((Small(np.zeros(2), 0.1, np.full(3, x)), Small(np.ones(1), 0.1, None)), (np.full(2, x + 1), np.arange(4)))

    dgm.save(tmp_path / "p.npz", pair(5.0))
    like = pair(0.0)
    loaded = dgm.load(tmp_path / "p.npz", like=like)
    np.testing.assert_array_equal(loaded.parts[0].mask, np.full(3, 5.0))
    np.testing.assert_array_equal(loaded.rows[0], np.full(2, 6.0))
    assert trees.flatten(loaded)[1] == trees.flatten(pair(5.0))[1] != trees.flatten(like)[1]
    np.testing.assert_array_equal(like.parts[0].mask, np.zeros(3))


class Kept(NamedTuple):
    mask: np.ndarray


def test_settings_are_looked_through_to_their_arrays(tmp_path) -> None:
    """A tuple with names, a dict: what is in the file, or an error; never the other tree's in silence."""

    def holder(x: float, setting: Any) -> Any:
        return Pair((), setting(np.full(2000, x)))

    for setting in (Kept, lambda x: {"a": x, "b": [x, 3]}, lambda x: [(x,), x]):
        dgm.save(tmp_path / "k.npz", holder(5.0, setting))
        loaded = dgm.load(tmp_path / "k.npz", like=holder(0.0, setting))
        assert storage.describe(trees.flatten(loaded)[1]) == storage.describe(trees.flatten(holder(5.0, setting))[1])
    assert storage.describe(trees.flatten(holder(5.0, setting))[1]) != storage.describe(trees.flatten(holder(0.0, setting))[1])


def test_a_file_that_lost_a_setting_is_refused(tmp_path) -> None:
    dgm.save(tmp_path / "s.npz", Small(np.zeros(2), 0.2, np.ones(3)))
    with zipfile.ZipFile(tmp_path / "s.npz") as whole, zipfile.ZipFile(tmp_path / "part.npz", "w") as part:
        for name in whole.namelist():
            if name != "mask.npy":
                part.writestr(name, whole.read(name))
    with pytest.raises(DataError, match="it holds no mask"):
        dgm.load(tmp_path / "part.npz", like=Small(np.zeros(2), 0.2, np.zeros(3)))


def test_a_made_brings_its_orders_and_masks(tmp_path) -> None:
    made, other = (MADE.init(random(seed), 6, [9], random_orders(random(seed), 6, 3)) for seed in (1, 2))
    x = np.array([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]], "float32")
    dgm.save(tmp_path / "m.npz", made)
    loaded = dgm.load(tmp_path / "m.npz", like=other)
    np.testing.assert_array_equal(loaded.places, made.places)
    np.testing.assert_array_equal(loaded.log_prob(x), made.log_prob(x))


def test_a_file_of_before_has_fingerprints_of_such_arrays(tmp_path) -> None:
    """It is read where they are the same, and refused where not."""
    model = Small(np.array([1.0, 2.0]), 0.2, np.ones(3))
    dgm.save(tmp_path / "new.npz", model)
    with zipfile.ZipFile(tmp_path / "new.npz") as new, zipfile.ZipFile(tmp_path / "old.npz", "w") as old:
        old.writestr("w.npy", new.read("w.npy"))
        old.writestr("structure.json", json.dumps(storage.describe(trees.flatten(model)[1])))
    np.testing.assert_array_equal(dgm.load(tmp_path / "old.npz", like=Small(np.zeros(2), 0.2, np.ones(3))).w, model.w)
    with pytest.raises(DataError, match=r"mask is \(3,\) float64 .* there"):
        dgm.load(tmp_path / "old.npz", like=Small(np.zeros(2), 0.2, np.zeros(3)))


def test_a_foreign_or_damaged_file_is_a_sentence(tmp_path) -> None:
    model, path = nn.MLP.init(random(), [2, 3, 1]), tmp_path / "m.npz"
    dgm.save(path, model)
    content = path.read_bytes()
    foreign = {"pickle": pickle.dumps(model.layers[0].weight), "text": b"hello", "empty": b"", "half": content[:300]}
    foreign["cut"] = content[:-1]
    with io.BytesIO() as file:
        np.savez(file, weight=np.zeros(3))
        foreign["NumPy's own"] = file.getvalue()
    with io.BytesIO() as file, zipfile.ZipFile(path) as old:
        with zipfile.ZipFile(file, "w") as new:
            for name in old.namelist():
                evil = io.BytesIO()
                np.save(evil, np.array([{"a": 1}], dtype=object), allow_pickle=True)
                new.writestr(name, evil.getvalue() if name.endswith(".npy") else old.read(name))
        foreign["pickles inside"] = file.getvalue()
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as new:
            new.writestr("structure.json", "[1, 2]")
        foreign["another json"] = file.getvalue()
    for name, raw in foreign.items():
        path.write_bytes(raw)
        with pytest.raises(DataError) as error:
            dgm.load(path, like=model)
        assert "\n" not in str(error.value), name
        assert str(path) in str(error.value)
    with pytest.raises(DataError, match="is missing"):
        dgm.load(tmp_path / "nothing.npz", like=model)


def test_a_wrong_bit_anywhere_never_gives_other_numbers(tmp_path) -> None:
    """Most are refused; some parts of an archive's headers are never looked at."""
    model, path = nn.MLP.init(random(), [2, 3, 1]), tmp_path / "m.npz"
    dgm.save(path, model)
    content, refused = path.read_bytes(), 0
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
        try:
            back = dgm.load(path, like=model)
        except DataError:
            refused += 1
            continue
        assert all((a == b).all() for a, b in zip(trees.leaves(model), trees.leaves(back), strict=True)), i
    assert refused > len(content) / 2


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "x.npz"
    dgm.save(path, np.ones(2))
    content = path.read_bytes()
    with pytest.raises(ArgumentError, match="take numbers"):
        dgm.save(path, np.array(["text"]))
    with pytest.raises(ArgumentError, match="part of a gradient"):
        dgm.grad(lambda x: dgm.save(path, x) or dgm.sum(x))(np.ones(2))
    with pytest.raises(OSError):
        dgm.save(tmp_path / "no" / "folder.npz", np.ones(2))
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["x.npz"]


def test_on_another_device(elsewhere, tmp_path) -> None:
    model = nn.MLP.init(random(), [2, 3, 1])
    dgm.save(tmp_path / "m.npz", model)
    back = dgm.load(tmp_path / "m.npz", like=nn.MLP.init(random(1), [2, 3, 1]))
    for a, b in zip(trees.leaves(model), trees.leaves(back), strict=True):
        assert type(a) is type(b)
        assert a.device == b.device
        np.testing.assert_array_equal(dgm.to_numpy(a), dgm.to_numpy(b))
