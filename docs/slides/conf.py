"""Slides of every lesson: ``pip install -e '.[docs]'``, then ``python -m sphinx -b revealjs docs/slides slides``, and open
slides/index.html. They show the figures and the numbers that are in figures/, and run nothing."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "extensions"), str(HERE.parent.parent)]

project = "pydgm"
extensions = ["sphinx.ext.mathjax", "sphinx-mathjax-offline", "sphinx_revealjs", "lesson_slides"]
revealjs_style_theme = "white"
revealjs_static_path = ["static"]
revealjs_css_files = ["slides.css"]
revealjs_script_conf = {"hash": True, "transition": "none", "width": 1280, "height": 800}
