"""Settings of the documentation site.

    pip install ".[docs]" && sphinx-build -W docs docs/_build/html

The site needs no network, neither while it is built nor while it is read: formulas become MathML,
which browsers draw themselves, and the executed solution notebooks are shown as they are committed.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import make_api

project = "CryptoNets to read"
author = "The YASHE-nn authors"
copyright = "2026, the authors; MIT licence"
extensions = ["myst_nb"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks/build.py executes them, and the tests say when they are stale
html_theme = "furo"
html_title = "CryptoNets to read"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}


# Between bars, as in |x|, browsers would leave the space of an operator.
BAR = '<mo stretchy="false">&#x0007C;</mo>'
TIGHT_BAR = '<mo stretchy="false" lspace="0" rspace="0">&#x0007C;</mo>'


def inline_math(translator: Any, node: Any) -> None:
    """Write $...$ as MathML."""
    translator.body.append(convert(node.astext()).replace(BAR, TIGHT_BAR))
    raise SkipNode


def display_math(translator: Any, node: Any) -> None:
    """Write $$...$$ as MathML on lines of its own."""
    formula = convert(node.astext(), display="block").replace(BAR, TIGHT_BAR)
    translator.body.append(f'<div class="formula">{formula}</div>')
    raise SkipNode


def copy_notebooks() -> None:
    """Put the executed solutions where Sphinx looks: inside of docs."""
    target = DOCS / "notebooks"
    target.mkdir(exist_ok=True)
    for path in sorted((DOCS.parent / "notebooks" / "solutions").glob("*.ipynb")):
        shutil.copyfile(path, target / path.name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the above, and write the pages that are made from the sources."""
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
    app.add_lexer("output", TextLexer)
    copy_notebooks()
    make_api.write(DOCS / "api")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
