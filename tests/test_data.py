"""Readers: right files are read right, wrong ones are refused in one sentence. Toys and glyphs are what they say."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pydgm as dgm
from pydgm import data, divergences, errors
from pydgm.data import DataError, files, published, toys
from pydgm.models.latent import KernelDensity


@pytest.fixture(autouse=True)
def tiny(monkeypatch, request) -> None:
    """Small files in the places of published ones: only tests of real data compare what they read with what is published."""
    if "real_data" not in request.keywords:
        monkeypatch.setattr(published, "CONTENT", {})
        monkeypatch.setattr(published, "DRAWINGS", {})


def idx(shape: tuple[int, ...], body: bytes | None = None, kind: int = 8) -> bytes:
    size = int(np.prod(shape))
    content = bytes(i % 10 for i in range(size)) if body is None else body
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def write_mnist(folder: Path, n: int = 5, zipped: bool = True, **wrong: bytes) -> Path:
    """A tiny MNIST; ``wrong`` replaces a file's bytes: ``train_images=b"..."``."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "t10k"):
        for kind, shape in (("images", (n, 28, 28)), ("labels", (n,))):
            raw = wrong.get(f"{split}_{kind}", idx(shape))
            name = f"{split}-{kind}-idx{len(shape)}-ubyte"
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
            else:
                (folder / name).write_bytes(raw)
    return folder


@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_is_read(tmp_path, zipped) -> None:
    result = data.mnist(write_mnist(tmp_path, zipped=zipped))
    assert result.train.x.shape == result.test.x.shape == (5, 784)
    assert result.train.x.dtype == np.float32
    assert result.train.x[0, 9] == np.float32(9 / 255)
    assert result.test.labels.tolist() == [0, 1, 2, 3, 4]
    assert (result.shape, result.real, len(result.valid)) == ((28, 28), True, 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (idx((5, 28, 28))[:-7], "promises 3920 bytes of data, it holds only 3913"),
        (idx((5, 28, 28)) + b"x", "promises 3920 bytes of data, it holds more"),
        (idx((5, 28, 28), kind=9), "starts with 00000903, an idx file of 3 axes with 00000803"),
        (idx((5, 784)), "starts with 00000802"),
        (idx((5, 28, 28))[:9], "truncated: its header ends after 9 bytes"),
        (b"", "starts with"),
        (idx((5, 20, 28)), "not (n, 28, 28) and (n,)"),
        (idx((4, 28, 28)), "not (n, 28, 28) and (n,)"),
        (idx((0, 28, 28)), "not (n, 28, 28) and (n,)"),
        (idx((2**31, 2**31, 2**31), b"x"), "is damaged: its header promises"),
    ],
)
def test_damaged_images_are_refused(tmp_path, content, said) -> None:
    with pytest.raises(DataError) as error:
        data.mnist(write_mnist(tmp_path, train_images=content))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_other_damage_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz is missing"):
        data.mnist(tmp_path)
    folder = write_mnist(tmp_path / "labels", train_labels=idx((5,), bytes([0, 1, 2, 3, 77])))
    with pytest.raises(DataError, match="holds the label 77"):
        data.mnist(folder)
    for i, cut in enumerate((lambda b: b[:-20], lambda b: b"not gzip", lambda b: b[:40] + b"zzzz" + b[44:])):
        folder = write_mnist(tmp_path / str(i))
        file = folder / "train-images-idx3-ubyte.gz"
        file.write_bytes(cut(file.read_bytes()))
        with pytest.raises(DataError, match=r"cannot be read|damaged"):
            data.mnist(folder)


def test_binarised_mnist(tmp_path) -> None:
    path = tmp_path / "binarized_mnist.npz"
    bits = np.random.default_rng(0).integers(0, 2, (3, 784)).astype("uint8")
    good = {"train": bits, "valid": bits, "test": bits}
    np.savez_compressed(path, **good)
    np.testing.assert_array_equal(data.binarized_mnist(tmp_path).valid.x, bits)
    wrong = {
        "no array .*valid": {"train": bits, "test": bits},
        "train has shape": {**good, "train": bits[:, :5]},
        "test holds uint8 up to 2": {**good, "test": 2 * bits},
        "test holds float64": {**good, "test": bits.astype("float64")},
    }
    for said, arrays in wrong.items():
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=said):
            data.binarized_mnist(tmp_path)
    np.savez(path, **good, allow_pickle=True)
    evil = np.array([{"a": 1}], dtype=object)
    np.savez(path, train=evil, valid=evil, test=evil)
    with pytest.raises(DataError, match="no readable npz"):  # an object array is a pickle
        data.binarized_mnist(tmp_path)
    path.write_bytes(b"PK damaged")
    with pytest.raises(DataError, match="no readable npz"):
        data.binarized_mnist(tmp_path)
    np.savez(path, **good)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="no readable npz"):
        data.binarized_mnist(tmp_path)
    with pytest.raises(DataError, match="is missing"):
        data.binarized_mnist(tmp_path / "nowhere")


def test_data_are_looked_for_where_they_are_said_to_be(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("PYDGM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(files, "__file__", str(tmp_path / "here" / "pydgm" / "data" / "files.py"))
    assert data.find("mnist") is None
    (tmp_path / "pydgm" / "mnist").mkdir(parents=True)
    assert data.find("mnist") is None  # empty: a download that failed
    (tmp_path / "pydgm" / "mnist" / "file").touch()
    assert data.find("mnist") == tmp_path / "pydgm" / "mnist"
    (tmp_path / "shared" / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "shared" / "data" / "mnist" / "file").touch()
    assert data.find("mnist") == tmp_path / "shared" / "data" / "mnist"
    with pytest.raises(DataError, match=r"there is no folder .*nowhere.mnist"):
        data.find("mnist", tmp_path / "nowhere")
    monkeypatch.setenv("PYDGM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="PYDGM_DATA"):
        data.find("mnist")


def test_glyphs_are_repeatable_and_of_mnists_kind() -> None:
    a, b = data.glyphs(200, 50, seed=3), data.glyphs(200, 50, seed=3)
    train = a.train.x
    assert (train == b.train.x).all()
    assert (train != data.glyphs(200, 50, seed=4).train.x).any()
    assert (train.shape, a.valid.x.shape, a.test.x.shape) == ((180, 784), (20, 784), (50, 784))
    assert not a.real
    assert train.dtype == np.float32
    assert train.min() >= 0
    assert train.max() <= 1
    assert train.max(axis=1).min() > 0.5  # every image has ink
    edge = train.reshape(-1, 28, 28)[:, [0, -1]]
    assert (edge > 0.5).mean() < 0.02  # and it is in the middle
    many = data.glyphs(8000, 1)
    assert len(set(many.train.labels.tolist())) == sum(map(len, data.ALPHABETS.values()))  # every character has a typeface
    only = data.glyphs(300, 1, alphabets=["digits"])
    assert set(only.train.labels.tolist()) == set(range(10))
    with pytest.raises(ValueError, match=r"unknown alphabets \['klingon'\]"):
        data.glyphs(alphabets=["klingon"])


def test_glyphs_of_a_class_are_alike() -> None:
    """The nearest mean image names a drawn digit far more often than chance: labels belong to images."""
    d = data.glyphs(3000, 500, alphabets=["digits"])
    means = np.stack([d.train.x[d.train.labels == k].mean(axis=0) for k in range(10)])
    nearest = ((d.test.x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == d.test.labels).mean() > 0.6


def test_toys_have_their_shapes() -> None:
    rng = dgm.random.Generator(0)
    n = 4000
    for make in (data.swiss_roll, data.moons, data.rings, data.checkerboard):
        x = make(rng, n)
        assert x.shape == (n, 2)
        assert x.dtype == np.float32
    radius = np.linalg.norm(data.rings(rng, n, noise=0.0), axis=1)
    np.testing.assert_allclose(np.minimum(abs(radius - 1), abs(radius - 2)), 0, atol=1e-5)
    squares = np.floor(data.checkerboard(rng, n) + 2.0).astype(int)
    assert set((squares.sum(axis=1) % 2).tolist()) == {0}
    assert len({tuple(s) for s in squares}) == 8
    ring = data.ring_of_gaussians()
    x = ring.sample(rng, (n,))
    assert x.dtype == np.float32
    nearest = np.linalg.norm(x[:, None] - ring.components.base.loc, axis=2)
    assert (nearest.min(axis=1) < 0.02 * 5).all()
    counts = np.bincount(nearest.argmin(axis=1), minlength=8)
    assert abs(counts - n / 8).max() < 5 * np.sqrt(n / 8)
    assert data.grid_of_gaussians().components.shape == (25, 2)


def test_fresh_batches_can_be_entered_in_the_middle() -> None:
    """Batch s is a function of the seed and of s; another generator gives others; the name says what they are."""
    rng = dgm.random.Generator(3)
    batches = data.Fresh(data.moons, rng, 8, 5)
    every = list(batches)
    assert len(every) == len(batches) == 5
    assert all(x.shape == (8, 2) for x in every)
    np.testing.assert_array_equal(batches[3], every[3])
    np.testing.assert_array_equal(batches[-1], every[4])
    np.testing.assert_array_equal(batches[1:3][1], every[2])
    assert not np.array_equal(every[0], every[1])
    same, other = data.Fresh(data.moons, dgm.random.Generator(3), 8, 5), data.Fresh(data.moons, rng, 8, 5)
    assert same.name() == batches.name() != other.name()
    assert data.Fresh(data.rings, dgm.random.Generator(3), 8, 5).name() != batches.name()
    assert data.Fresh(data.ring_of_gaussians().sample, rng, 4, 2)[0].shape == (4, 2)
    with pytest.raises(IndexError, match="batch 5 of 5"):
        batches[5]
    with pytest.raises(errors.DomainError):
        data.Fresh(data.moons, rng, 0, 5)


def test_the_toys_densities_are_those_they_are_drawn_from() -> None:
    """Share of draws, and integral of the density, in a part of the plane."""
    rng = dgm.random.Generator(0)
    points, area = divergences.lattice(3.0, 57_000)
    for draw, log_prob in (
        (data.moons, KernelDensity.init(toys.moons_curve(300).astype("float64"), 0.1).log_prob),
        (data.rings, KernelDensity.init(toys.rings_curve(300).astype("float64"), 0.08).log_prob),
        (data.checkerboard, toys.checkerboard_log_prob),
    ):
        p, x = np.exp(log_prob(points)), draw(rng, 20_000)
        assert p.sum() * area == pytest.approx(1.0, abs=0.01)
        for part in (lambda x: x[:, 0] > 0.6, lambda x: (x[:, 1] > 0.0) & (x[:, 0] < -0.5)):
            assert p[part(points)].sum() * area == pytest.approx(part(x).mean(), abs=0.015)


@pytest.mark.real_data
def test_the_real_mnist(real_data) -> None:
    d = data.mnist(real_data("mnist"))
    assert [len(part) for part in (d.train, d.valid, d.test)] == [50_000, 10_000, 10_000]
    labels, images = (np.concatenate([getattr(d.train, part), getattr(d.valid, part)]) for part in ("labels", "x"))
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(d.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert images.mean(dtype="float64") == pytest.approx(0.1307, abs=5e-5)
    assert images.std(dtype="float64") == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.real_data
def test_the_real_binarised_mnist(real_data) -> None:
    d = data.binarized_mnist(real_data("binarized_mnist"))
    parts = d.train, d.valid, d.test
    assert [len(part) for part in parts] == [50_000, 10_000, 10_000]
    assert [round(float(part.x.mean(dtype="float64")), 6) for part in parts] == [0.130562, 0.131127, 0.132512]


def omniglot_zip(path, drawings=2, size=105, damage=None, parts=("background", "evaluation")) -> None:
    """A small archive in Omniglot's layout: ink in the upper half of the first character, in the left half of the second."""
    from PIL import Image

    with zipfile.ZipFile(path, "w") as file:
        for part in parts:
            for k in (1, 2):
                for drawer in range(1, drawings + 1):
                    paper = np.ones((size, size), bool)
                    paper[(slice(0, size // 3), slice(None)) if k == 1 else (slice(None), slice(0, size // 3))] = False
                    png = io.BytesIO()
                    Image.fromarray(paper).save(png, format="PNG")
                    number = k + 10 * (part == "evaluation")
                    name = f"images_{part}/Alphabet/character0{k}/{number:04d}_{drawer:02d}.png"
                    file.writestr(name, png.getvalue() if damage is None else damage(png.getvalue()))
        file.writestr("images_background/README.txt", "no picture")


def test_omniglot(tmp_path) -> None:
    omniglot_zip(tmp_path / "all.zip")
    images = data.omniglot(tmp_path)
    assert images.train.x.shape == images.test.x.shape == (4, 784)
    assert images.train.x.dtype == np.float32
    np.testing.assert_array_equal(images.train.labels, [1, 1, 2, 2])
    np.testing.assert_array_equal(images.test.labels, [11, 11, 12, 12])
    upper = images.train.x[0].reshape(28, 28)
    np.testing.assert_array_equal(upper[:9], 1.0)
    np.testing.assert_allclose(upper[9], 1 / 3, atol=0.1)  # the 35th of 105 rows lies in the tenth of 28
    np.testing.assert_array_equal(upper[10:], 0.0)
    np.testing.assert_allclose(images.train.x[2].reshape(28, 28), upper.T)
    assert len(data.omniglot(tmp_path, per_character=1).train) == 2


def test_omniglot_in_two_archives(tmp_path) -> None:
    for part in ("background", "evaluation"):
        omniglot_zip(tmp_path / f"images_{part}.zip", parts=(part,))
    assert data.omniglot(tmp_path).train.x.shape == (4, 784)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "holds no zip file"),
        (lambda path: (path / "x.zip").write_bytes(b"PK"), "cannot be read"),
        (lambda path: omniglot_zip(path / "x.zip", size=28), "28 x 28, not 105 x 105"),
        (lambda path: omniglot_zip(path / "x.zip", damage=lambda png: png[:40]), "no readable PNG"),
        (lambda path: omniglot_zip(path / "x.zip", damage=lambda png: b"GIF89a" + png), "no readable PNG"),
        (lambda path: omniglot_zip(path / "x.zip", parts=("background",)), "no images_evaluation"),
    ],
)
def test_a_damaged_omniglot_is_named(tmp_path, make, said) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=said):
        data.omniglot(tmp_path)


@pytest.mark.real_data
def test_the_real_omniglot(real_data) -> None:
    images = data.omniglot(real_data("omniglot"), per_character=1)
    assert (len(images.train), len(images.valid), len(images.test)) == (868, 96, 659)
    assert 0.05 < images.train.x.mean() < 0.12


def test_bars_and_stripes() -> None:
    for side in (1, 2, 3, 4):
        images = data.bars_and_stripes(side)
        assert images.shape == (2 * 2**side - 2, side * side)
        squares = images.reshape(-1, side, side)
        rows, columns = (squares == squares[:, :, :1]).all(axis=(1, 2)), (squares == squares[:, :1]).all(axis=(1, 2))
        assert (rows | columns).all()
        assert len(np.unique(images, axis=0)) == len(images)


def test_uci_sets(tmp_path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 7)).astype("uint8")
    np.savez_compressed(tmp_path / "dna.npz", train=bits, valid=bits[:1], test=bits)
    assert data.uci_binary(tmp_path, "dna").valid.x.shape == (1, 7)
    np.savez_compressed(tmp_path / "dna.npz", train=bits, valid=bits[:, :2], test=bits)
    with pytest.raises(DataError, match=r"valid has shape \(3, 2\), wanted \(n, 7\)"):
        data.uci_binary(tmp_path, "dna")
    with pytest.raises(DataError, match=r"nips.npz is missing"):
        data.uci_binary(tmp_path, "nips")


@pytest.mark.real_data
def test_the_real_uci_sets(real_data) -> None:
    """Their sizes, and the likelihood of independent columns that their source gives."""
    for name, columns, nats in (("dna", 180, 100.39), ("mushrooms", 112, 34.23), ("nips", 500, 294.80)):
        result = data.uci_binary(real_data("uci_binary"), name)
        assert result.test.x.shape[1] == columns
        p = (result.train.x.sum(axis=0) + 1.0) / (len(result.train) + 2.0)
        own = -(result.test.x * np.log(p) + (1.0 - result.test.x) * np.log(1.0 - p)).sum(axis=1).mean()
        assert abs(own - nats) < 0.01


PUBLISHED = [("mnist", name) for name in published.CONTENT if "ubyte" in name and "train-images" not in name]
PUBLISHED += [("sst2", name) for name in published.CONTENT if name.startswith("stsa")]
PUBLISHED += [("mr", "rt-polarity.all"), ("cr", "custrev.all"), ("uci_binary", "dna")]
READERS = {"mnist": data.mnist, "sst2": lambda d: (data.sst2(d), data.sst2(d, phrases=True)), "mr": data.mr, "cr": data.cr}
READERS["uci_binary"] = lambda d: data.uci_binary(d, "dna")


def spoiled(content: bytes, how: str, at: int) -> bytes:
    """``content`` of an unpacked file, cut, zero-filled, one letter wrong, or a part of it missing."""
    return {
        "cut": content[:-at],
        "cut at a line": content[: content.rindex(b"\n", 0, -at) + 1] if b"\n" in content[:-at] else content[:-at],
        "filled with zeros": content[:-at] + bytes(at),
        "one bit": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
        "middle missing": content[:at] + content[2 * at :],
        "twice": content + content,
        "empty": b"",
    }[how]


SPOILED = ("cut", "cut at a line", "filled with zeros", "one bit", "middle missing", "twice", "empty")
CASES = [
    (name, file, how) for name, file in PUBLISHED for how in SPOILED if (file, how) != ("dna", "twice")
]  # a zip's end counts


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "file", "how"), CASES)
def test_a_published_file_that_is_not_whole_is_refused(real_data, tmp_path, name, file, how) -> None:
    folder = real_data(name)
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for suffix in ("", ".gz", ".npz"):
        path = tmp_path / f"{file}{suffix}"
        if not path.exists():
            continue
        content = gzip.decompress(path.read_bytes()) if suffix == ".gz" else path.read_bytes()
        path.unlink()
        content = spoiled(content, how, len(content) // 3)
        path.write_bytes(gzip.compress(content, 1) if suffix == ".gz" else content)
    with pytest.raises(DataError) as error:
        READERS[name](tmp_path)
    assert file in str(error.value)
    assert "\n" not in str(error.value)
