"""How Sphinx makes the book. notebooks/site/build.py lays out the sources and calls it."""

import os

from sphinx.ext.napoleon.docstring import GoogleDocstring

project = "hypkit"
author = "The hypkit authors"
copyright = "the hypkit authors; text and pictures CC BY 4.0, code MIT"
release = os.environ["HYPKIT_VERSION"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

# The notebooks are there, run; nothing is run again, and nothing comes from another server.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_render_markdown_format = "myst"  # with tables
myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 4
suppress_warnings = [
    "misc.highlighting_failure",  # a lexer that knows no arm64 leaves such a block in one colour
    "mystnb.unknown_mime_type",  # an output's data for the handout
    "myst.xref_missing",  # what leads out of the book is told apart by build.py
]
default_role = "code"  # docstrings have code between single backquotes


def without_type(consume):
    """Have Napoleon take a colon in what is returned for a colon: the types are in the signatures."""

    def consumed(self, *more):
        self._partition_field_on_colon = lambda line: (line, "", "")
        try:
            return consume(self, *more)
        finally:
            del self._partition_field_on_colon

    return consumed


for name in ("_consume_returns_section", "_consume_inline_attribute"):
    setattr(GoogleDocstring, name, without_type(getattr(GoogleDocstring, name)))
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = "hypkit"
html_static_path = ["static"]
html_extra_path = ["extra"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it is fetched, which a browser allows no page from a disk
html_show_sphinx = False
html_theme_options = {
    "navigation_with_keys": False,  # the arrow keys step the steppers
    "light_css_variables": {
        "color-brand-primary": "#0b4a8f",
        "color-brand-content": "#0b4a8f",
        "color-brand-visited": "#6b2a86",
        "color-foreground-muted": "#53585f",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8ec5ff",
        "color-brand-content": "#8ec5ff",
        "color-brand-visited": "#d3a6ef",
        "color-foreground-muted": "#b4b8be",
    },
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
