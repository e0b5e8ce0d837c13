"""How the documentation is built: `make docs`."""

from importlib.metadata import version as _version

project = "natless"
author = "The natless authors"
copyright = "2026, The natless authors"  # noqa: A001  the name is Sphinx's
version = release = _version("natless")
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "natless"
nitpicky = True
