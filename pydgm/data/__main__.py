"""``python -m pydgm.data mnist``: put real data into the user's cache, once, with its hash checked."""

from __future__ import annotations

import argparse
import sys

from .files import cache

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


def main(argv: list[str] | None = None) -> int:
    """Download what is missing. Exit status 0 when everything is there, 2 when it could not be had."""
    parser = argparse.ArgumentParser(prog="python -m pydgm.data", description=__doc__)
    parser.add_argument("name", choices=["mnist"], help="the data set")
    parser.add_argument("--mirror", default=MIRROR, help="where its files are (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        import pooch
    except ImportError:
        print('downloads need pooch: pip install -e ".[lessons]"', file=sys.stderr)
        return 2
    folder = cache() / options.name
    for file, sha256 in FILES.items():
        try:  # pooch writes to a temporary file and moves it into place once its hash is right
            pooch.retrieve(options.mirror + file, known_hash=sha256, fname=file, path=folder, progressbar=True)
        except (OSError, ValueError) as error:  # what requests and pooch raise
            print(f"{file} could not be had from {options.mirror}: {str(error).splitlines()[0]}", file=sys.stderr)
            return 2
    print(f"{options.name} is in {folder}; lessons find it there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
