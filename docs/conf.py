"""Sphinx: the markdown pages as they are, the examples as a gallery, a page for every public name.

python -m sphinx -W --keep-going docs build/site                     the whole site; runs the examples
python -m sphinx -W --keep-going -D plot_gallery=0 docs build/site   without running them
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the tests: a search brings threads of its own
sys.path.insert(0, str(Path(__file__).parent))

import matplotlib as mpl
import site_parts

import sknnopt

mpl.use("Agg")

project = "sknnopt"
author = "sknnopt developers"
copyright = "sknnopt developers, BSD-3-Clause"
version = release = sknnopt.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
default_role = "py:obj"
highlight_language = "none"

myst_heading_anchors = 4
suppress_warnings = ["config.cache"]  # a sort key and a function in sphinx_gallery_conf cannot be cached

autosummary_generate = True
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "site_parts.InOrder",
    "reset_modules": ("matplotlib", "site_parts.warnings_are_errors"),
    "reset_modules_order": "both",
    "abort_on_example_error": True,
    "default_thumb_file": str(Path(__file__).parent / "_static" / "way.svg"),
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "write_computation_times": False,
    "image_srcset": [],
}

html_theme = "pydata_sphinx_theme"
html_title = "sknnopt"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {page: [] for page in ("quickstart", "techniques", "how_it_works", "contributing")}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "sknnopt"},
    "header_links_before_dropdown": 9,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "use_edit_page_button": False,
    "show_toc_level": 2,
}


def setup(app):
    site_parts.setup(app)
