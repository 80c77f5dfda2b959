"""Settings of the site. `build.py` gathers its pages, and then has Sphinx build them."""

import os
import re

from docutils import nodes

import procrustes_lab

project = "Procrustes Lab"
author = "The Procrustes Lab developers"
copyright = author
version = release = procrustes_lab.__version__
html_title = project

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
default_role = "py:obj"
smartquotes_action = "D"  # dashes; quotation marks are often Python's
toc_object_entries_show_parents = "hide"

nb_execution_mode = "off"  # the outputs are the committed ones
nb_render_markdown_format = "myst"
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
suppress_warnings = [
    "mystnb.unknown_mime_type",  # the claims' own, which the ledger reads
    "myst.header",  # an output may have headings of its own
]

autodoc_typehints = "none"  # the docstrings give types, with shapes
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# MathJax stands beside the pages, formulas as SVG: one file, no fonts.
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}

html_theme = "sphinx_book_theme"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["search.js"]
html_favicon = "_static/logo.svg"
html_copy_source = True
html_show_sphinx = False
html_last_updated_fmt = None

# Where the project is published: without it the site has no links to its files, and no buttons.
repository = os.environ.get("REPOSITORY_URL", "").rstrip("/")
html_theme_options = {
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo.svg", "text": project},
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": True,
    "use_fullscreen_button": False,
    "footer_content_items": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
if repository:
    html_theme_options |= {
        "repository_url": repository,
        "repository_branch": "main",
        "path_to_docs": "",  # notebooks/NAME here is notebooks/NAME there
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def setup(app):
    """Let a docstring describe ``a, b : type`` at once, and no full stop begin a line."""

    def join_names(app, what, name, object, options, lines):
        # Sphinx takes what stands before a space for a type: a space without width is none.
        lines[:] = [
            re.sub(r"^\w+(, \w+)+(?= : )", lambda m: m[0].replace(", ", ",\u200b"), line)
            for line in lines
        ]

    def keep_marks(app, doctree, name):
        # A browser may break a line after any formula, and so before the full stop behind it.
        for formula in list(doctree.findall(nodes.math)):
            place = formula.parent.index(formula)
            after = formula.parent[place + 1 : place + 2]
            if after and isinstance(after[0], nodes.Text) and after[0][:1] in ".,;:)!?":
                text, parent = str(after[0]), formula.parent
                kind = ["unbroken", "long"] if len(formula.astext()) > 24 else ["unbroken"]
                together = nodes.inline("", "", formula, nodes.Text(text[0]), classes=kind)
                parent[place : place + 2] = [together, nodes.Text(text[1:])]

    app.connect("autodoc-process-docstring", join_names, priority=1)
    app.connect("doctree-resolved", keep_marks)
