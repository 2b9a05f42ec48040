"""``python -m pydgm.lesson SCRIPT [OPTIONS]``: a lesson's script, with the exit statuses of :mod:`pydgm.lesson.status` from the
first import on."""

import runpy
import sys

from .status import guard

if __name__ == "__main__":
    guard()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
