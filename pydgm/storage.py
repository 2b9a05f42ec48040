"""Trees in files: ``dgm.save(path, tree)`` and ``dgm.load(path, like=tree)``.

A file is an npz archive, so NumPy alone reads it, too: one array for each leaf, under its path in the tree
(``encoder.layers[0].weight``), and one for each array among the settings, a mask say. Beside them is a text that says what the
tree is made of: its classes, and the other settings. Nothing in a file is ever executed: no pickle.
"""

from __future__ import annotations

import functools
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy

from . import backend, files, trees
from .errors import ArgumentError, DataError, kind_text, shape_text

Tree = TypeVar("Tree")
_STRUCTURE = "structure.json"


def save(path: str | os.PathLike[str], tree: Any) -> None:
    """Write the arrays of ``tree`` to ``path``, whole or not at all: an interrupted call leaves the file that was there.

    Raises :class:`~pydgm.errors.ArgumentError` for leaves that are no numbers, or that belong to a gradient in the making;
    ``OSError`` where the folder cannot be written.
    """
    leaves, structure = trees.flatten(tree)
    arrays = {name: _host(x, name) for name, x in zip(_names(structure), leaves, strict=True)}
    arrays |= {name: _host(x, name) for name, x in _settings(structure, "")}

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(_STRUCTURE, json.dumps(describe(structure, kept=True)))
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    numpy.lib.format.write_array(member, array, allow_pickle=False)

    target = Path(path)
    files.write(target.parent, {target.name: write})


def load(path: str | os.PathLike[str], like: Tree) -> Tree:
    """The tree that was saved at ``path``. ``like`` is one of the same kind: it says what to expect, and is not changed.

    Arrays among the settings, a mask or the orders of a MADE, are those of the file, too. Raises
    :class:`~pydgm.errors.DataError` for a file that is missing, damaged or foreign, and where it holds another tree: other
    classes, other settings, shapes or dtypes, each named by its path.
    """
    return load_beside(path, like, "tree", None)[0]


def load_beside(
    path: str | os.PathLike[str], like: Tree, kind: str, more: str | None
) -> tuple[Tree, dict[str, numpy.ndarray[Any, Any]]]:
    """What :func:`load` does, and beside it the arrays of the dict at the path ``more``, which ``like`` does not know."""
    leaves, structure = trees.flatten(like)
    expected = {name: _host(x, name) for name, x in zip(_names(structure), leaves, strict=True)}
    settings = {name: _host(x, name) for name, x in _settings(structure, "")}
    try:
        with open(path, "rb") as raw, zipfile.ZipFile(raw) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if _STRUCTURE not in members or members[_STRUCTURE].file_size > 1 << 24:
                raise DataError(f"{path} was not written by dgm.save: it holds no {_STRUCTURE}")
            saved, arrays = json.loads(archive.read(_STRUCTURE)), {}
            if saved == describe(structure):  # an older file: it holds no arrays of settings, but their fingerprints, all equal
                settings = {}
            else:
                _compare(path, saved, describe(structure, kept=True), kind)
            for name, wanted in (expected | settings).items():
                if f"{name}.npy" not in members:
                    raise DataError(f"{path} is of another {kind}: it holds no {name}")
                if not 0 < members[f"{name}.npy"].file_size - wanted.nbytes < 1 << 16:
                    raise DataError(f"{path} is of another {kind}: {name} is not {shape_text(wanted)} there")
                array = _read(archive, f"{name}.npy")
                if array.shape != wanted.shape or array.dtype != wanted.dtype:
                    raise DataError(
                        f"{path} is of another {kind}: {name} is {shape_text(array)} there, not {shape_text(wanted)}"
                    )
                arrays[name] = array
            begin, end = f"{more}['", "'].npy"
            inside = [n for n in members if more is not None and n.startswith(begin) and n.endswith(end)]
            beside = {name[len(begin) : -len(end)]: _read(archive, name) for name in inside}
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except DataError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(f"{path} is damaged, or no file of dgm.save: {error}") from None
    new = [_placed(arrays[name], old) for name, old in zip(expected, leaves, strict=True)]
    return trees.unflatten(_exchanged(structure, {name: arrays[name] for name in settings}, ""), new), beside


def _read(archive: zipfile.ZipFile, name: str) -> numpy.ndarray[Any, Any]:
    content = io.BytesIO(archive.read(name))  # to its end, where the checksum is compared
    array: numpy.ndarray[Any, Any] = numpy.lib.format.read_array(content, allow_pickle=False)
    return array


def _names(structure: trees.Structure) -> list[str]:
    return [path or "tree" for path in trees.paths(structure)]


def _host(x: Any, name: str) -> numpy.ndarray[Any, Any]:
    if hasattr(x, "value"):
        raise ArgumentError(f"save and load take arrays: {name} is part of a gradient or a recording, {shape_text(x)}")
    array = numpy.asarray(backend.to_numpy(x))
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"save and load take numbers: {name} is {shape_text(array)}")
    return array


def _placed(x: numpy.ndarray[Any, Any], like: Any) -> Any:
    """``x`` as what stands in the same place of the other tree: a number, an array of the host, or one of the device."""
    if isinstance(like, numpy.generic):
        return x[()]
    if isinstance(like, float):
        return float(x)
    return x if isinstance(like, numpy.ndarray) else backend.asarray(x, like=like)


def describe(structure: trees.Structure, kept: bool = False) -> dict[str, str]:
    """What is in a tree beside its leaves, by path: the classes of its containers, and settings as texts. Of an array among
    the settings its shape and a fingerprint, or its shape alone where it is ``kept`` beside."""
    return dict(_described(structure, "", kept))


def _described(structure: trees.Structure, path: str, kept: bool) -> Iterator[tuple[str, str]]:
    if structure.kind is trees.LEAF:
        return
    if structure.kind is trees.CONSTANT:
        yield path, text_of(structure.fixed)
        return
    yield path, structure.kind.__qualname__
    for name, value in _fixed(structure):
        yield _below(path, name), text_of(trees.bare(value), kept)
    for key, child in zip(structure.keys, structure.children, strict=True):
        yield from _described(child, _below(path, key), kept)


def _fixed(structure: trees.Structure) -> Any:
    """The settings that have names."""
    return structure.fixed if structure.kind in trees.by_attributes else ()


def _settings(structure: trees.Structure, path: str) -> Iterator[tuple[str, Any]]:
    """The arrays among the settings, by path."""
    for name, value in _fixed(structure):
        yield from _arrays(trees.bare(value), _below(path, name))
    for key, child in zip(structure.keys, structure.children, strict=True):
        yield from _settings(child, _below(path, key))


def _arrays(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if backend.is_array(value):
        yield path, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, each in pairs:
        yield from _arrays(each, _below(path, (key,)))


def _exchanged(structure: trees.Structure, arrays: dict[str, Any], path: str) -> trees.Structure:
    """The same with other arrays among its settings."""

    def other(value: Any, path: str) -> Any:
        if isinstance(value, trees.Setting):
            return type(value)(other(value.value, path))
        if path in arrays:
            return _placed(arrays[path], value)
        if isinstance(value, dict):
            return {key: other(each, _below(path, (key,))) for key, each in value.items()}
        if isinstance(value, list | tuple):
            parts = [other(each, _below(path, (i,))) for i, each in enumerate(value)]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return value

    fixed = tuple([(name, other(value, _below(path, name))) for name, value in _fixed(structure)]) or structure.fixed
    pairs = zip(structure.keys, structure.children, strict=True)
    return structure._replace(fixed=fixed, children=tuple([_exchanged(c, arrays, _below(path, key)) for key, c in pairs]))


def _below(path: str, key: Any) -> str:
    """``key``: the name of a field, or in a tuple of one what stands in brackets."""
    return f"{path}.{key}".lstrip(".") if isinstance(key, str) else f"{path}[{key[0] if isinstance(key, tuple) else key!r}]"


def text_of(x: Any, kept: bool = False) -> str:
    """A setting as a text that is the same in another process, under another Python: functions and classes by their names."""
    if isinstance(x, functools.partial):
        return f"partial({text_of(x.func)}, {text_of(x.args)}, {text_of(sorted(x.keywords.items()))})"
    if backend.is_array(x):
        return shape_text(x) if kept else f"{shape_text(x)} {backend.fingerprint(x):08x}"
    if isinstance(x, list | tuple):
        return f"{type(x).__name__}({', '.join([text_of(each, kept) for each in x])})"
    if isinstance(x, dict):
        return f"dict({', '.join([f'{key!r}: {text_of(each, kept)}' for key, each in x.items()])})"
    name = getattr(x, "__qualname__", None) or getattr(x, "__name__", None)
    if isinstance(name, str):
        return name
    text = repr(x)
    return kind_text(x) if " at 0x" in text else text


def _compare(path: Any, saved: Any, expected: dict[str, str], kind: str) -> None:
    if not isinstance(saved, dict):
        raise DataError(f"{path} was not written by dgm.save")
    for where in sorted({*saved, *expected}, key=lambda name: (len(name), name)):
        there, here = saved.get(where), expected.get(where)
        if there != here:
            raise DataError(
                f"{path} is of another {kind}: {where or 'it'} is {there or 'nothing'} there, and {here or 'nothing'} here"
            )
