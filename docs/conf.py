"""The site: python tools/build_site.py, with what `pip install '.[docs]'` brings."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS / "_extensions"), str(ROOT / "benchmarks"), str(ROOT / "tools")]

import numpy as np  # noqa: E402
from inventories import read_inventories  # noqa: E402

import sigmax  # noqa: E402

project = "sigmax"
author = "the authors of sigmax"
project_copyright = author
version = release = sigmax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "mathml",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "measurements",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py"]
templates_path = ["_templates"]
nitpicky = False  # types such as "array_like of real numbers" are sentences
default_role = "code"
smartquotes = False

# ---------------------------------------------------------------- pages

myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

# ---------------------------------------------------------------- docstrings

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections say it in words
add_module_names = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but what the aliases name: types are sentences here
numpydoc_xref_aliases = {
    "AxisError": "numpy.exceptions.AxisError",
    "Path": "pathlib.Path",
    "array_like": ":term:`numpy:array_like`",
    "dtype": "numpy.dtype",
    "ndarray": "numpy.ndarray",
    "ufunc": "numpy.ufunc",
}
doctest_global_setup = "import numpy as np, sigmax"
intersphinx_mapping = read_inventories(DOCS / "inventories", DOCS / "_build")
intersphinx_timeout = 1

# ---------------------------------------------------------------- gallery

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": r"(distil_digits|make_demo_logits)\.py",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "api/backreferences",
    "doc_module": ("sigmax",),
    "reference_url": {"sigmax": None},
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "abort_on_example_error": True,
}

# ---------------------------------------------------------------- HTML

html_theme = "pydata_sphinx_theme"
html_favicon = "../src/sigmax/lesson/static/icon.svg"
html_context = {"default_mode": "auto"}
html_math_renderer = "mathml"
html_title = "sigmax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_build/extra"]  # the lesson as static pages, exported by tools/build_site.py
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "sigmax"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "start": []}


def leave_ufuncs(_app, _kind, _name, thing, *_):
    """The first answer counts: numpydoc gives one where Sphinx 9.0 has none to put it over, and fails."""
    return () if isinstance(thing, np.ufunc) else None


def setup(app):
    app.connect("autodoc-process-signature", leave_ufuncs, priority=100)
