"""The site: ``pip install -e '.[docs]'``, then ``python -m sphinx docs site``, and open site/index.html.

Every lesson is run for its page, as by default; ``-D lesson_options=--quick`` takes two minutes in place of ten. Pages are
made again only where their lesson or the library has changed.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # lessons run side by side
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

project = "pydgm"
copyright = "the authors of pydgm; MIT licence"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "myst_parser",
    "lesson_pages",
    "lecture_formulas",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "made",
    "walks",
    "teaching",
    "slides",
    "extensions",
    "tests",
    "**/*.ipynb",
    "**/GALLERY_HEADER.rst",
    "**/sg_execution_times.rst",
]
suppress_warnings = ["ref.python"]  # two classes are named Generator
html_theme = "pydata_sphinx_theme"
html_title = "pydgm"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_theme_options = {"show_prev_next": True, "navbar_align": "left", "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {page: [] for page in ("index", "guide", "lessons/**", "walked/**", "lectures/**")}  # pictures need the room

viewcode_follow_imported_members = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
myst_enable_extensions = ["dollarmath", "colon_fence", "amsmath"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": ["made/scripts", "walks"],
    "gallery_dirs": ["lessons", "walked"],
    "filename_pattern": "",
    "image_scrapers": ("lesson_pages.pictures",),
    "capture_repr": ("_repr_html_", "__repr__"),
    "ignore_repr_types": r"pictures\.Picture|graph\.Graph",
    "reset_modules": (),
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "within_subsection_order": "FileNameSortKey",
    "min_reported_time": 0,
    "parallel": os.cpu_count() or 1,
    "abort_on_example_error": True,
    "show_signature": False,
    "write_computation_times": False,
}
