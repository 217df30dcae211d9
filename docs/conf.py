"""Settings of the documentation site.

    pip install ".[docs]" && sphinx-build -W docs docs/_build/html

The site needs no network, neither while it is built nor while it is read: formulas become MathML,
which browsers draw themselves with a font that is shipped, and notebooks are shown as they are
committed. Pages lead to Binder and Colab if `url` in setup.cfg says where the project is public.
"""

import json
import re
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from fontTools.ttLib import TTFont
from latex2mathml.converter import convert
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
NOTEBOOKS = DOCS.parent / "notebooks"
sys.path[:0] = [str(DOCS), str(DOCS.parent), str(NOTEBOOKS)]

import make_api
from build import repository

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
html_js_files = ["tables.js"]
html_math_renderer = "mathml"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}


# What browsers would stretch, or surround with the space of an operator, and should not.
TIDY = {
    '<mo stretchy="false">&#x0007C;</mo>': '<mo stretchy="false" lspace="0" rspace="0">|</mo>',
    "<mo>&#x0007C;</mo>": '<mo stretchy="false" lspace="0" rspace="0">|</mo>',
    "<mo>&#x02016;</mo>": '<mo stretchy="false" lspace="0" rspace="0">&#x02016;</mo>',
    "<mo>&#x00028;</mo>": '<mo stretchy="false">(</mo>',  # of "(mod q)"
    "<mo>&#x00029;</mo>": '<mo stretchy="false">)</mo>',
}


def mathml(formula: str, display: str) -> str:
    """Return a formula of TeX as MathML."""
    found = convert(formula, display=display)
    for written, meant in TIDY.items():
        found = found.replace(written, meant)
    return found


def inline_math(translator: Any, node: Any) -> None:
    """Write $...$ as MathML."""
    translator.body.append(mathml(node.astext(), "inline"))
    raise SkipNode


def display_math(translator: Any, node: Any) -> None:
    """Write $$...$$ as MathML on lines of its own."""
    translator.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise SkipNode


def copy_notebooks() -> None:
    """Put the notebooks where Sphinx looks, inside of docs: as students get them, and solved."""
    for kind, folder in (("student", "notebooks"), ("solutions", "solutions")):
        shutil.rmtree(DOCS / folder, ignore_errors=True)
        (DOCS / folder).mkdir()
        for path in sorted((NOTEBOOKS / kind).glob("*.ipynb")):
            found = json.loads(path.read_text(encoding="utf-8"))
            cell = {"cell_type": "markdown", "id": "ways", "metadata": {}, "source": ways(path)}
            found["cells"].insert(1, cell)
            (DOCS / folder / path.name).write_text(json.dumps(found), encoding="utf-8")


def ways(path: Path) -> str:
    """Return the line below the title of a notebook: the ways to open it."""
    kind, name = path.parent.name, path.name
    found = [f"{{download}}`Download <../../notebooks/{kind}/{name}>`"]
    place = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", repository())
    if place and kind == "student":
        file = f"notebooks/student/{name}"
        found += [
            f"[Open in Binder](https://mybinder.org/v2/gh/{place[1]}/HEAD?labpath={file})",
            f"[Open in Colab](https://colab.research.google.com/github/{place[1]}/blob/HEAD/{file})",
        ]
    other = ("../solutions", "Solution, with outputs"), ("../notebooks", "For students")
    folder, text = other[kind == "solutions"]
    return " · ".join([*found, f"[{text}]({folder}/{name})"])


def study_page() -> str:
    """Return the list of the page `study`: notebooks with their goals, needs and minutes."""
    parts, names = [], []
    for path in sorted((NOTEBOOKS / "student").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title = first.splitlines()[0].removeprefix("# ")
        facts = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", first, re.MULTILINE))
        names.append(path.stem)
        needs = facts["Read before"].replace("](", "](notebooks/")
        parts += [
            f"**[{path.stem.lstrip('0')}. {title}](notebooks/{path.name})**",
            f"You will be able to {facts['You will be able to']}.",
            f"*Read before:* {needs}. *Time:* {facts['Time']}. "
            f"{{download}}`Download <../notebooks/student/{path.name}>` · "
            f"[solution](solutions/{path.name})",
        ]
    for folder, caption in (("notebooks", "Notebooks"), ("solutions", "Solutions")):
        tree = [f"{folder}/{name}" for name in names]
        parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", *tree, "```"]))
    return "\n\n".join(parts)


def prepare(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the notebooks into their page; files outside of docs that are Markdown are downloads."""
    text = re.sub(r"\[([^\]`]+)\]\((\.\./[^)#]+\.md)\)", r"{download}`\1 <\2>`", source[0])
    source[0] = text.replace("<!-- notebooks -->", study_page()) if page == "study" else text


def door(page: str) -> str:
    """Return behind which door of the first page a page stands; Prev and Next stay there."""
    folder = page.partition("/")[0]
    others = {"index": "", "study": "notebooks", "teaching": "teach"}
    if page.startswith(("cookbook", "own-data", "example-")):
        return "use"
    return others.get(page, folder if "/" in page else "read")


def stay_behind_the_door(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """Leave out Prev and Next where they would lead somewhere else."""
    around = app.builder.relations.get(page, (None, None, None))
    for name, other in zip(("prev", "next"), around[1:], strict=True):
        if other and door(other) != door(page):
            context[name] = None


def ship_font(app: Sphinx, error: Exception | None) -> None:
    """Put the font for formulas beside the styles: STIX Two Math, from the package ziamath.

    Without a font that has a table for mathematics, browsers stretch no bracket.
    """
    target = Path(app.outdir) / "_static" / "fonts"
    if error or app.builder.format != "html":
        return
    target.mkdir(parents=True, exist_ok=True)
    with as_file(files("ziamath.fonts") / "STIXTwoMath-Regular.ttf") as path:
        font = TTFont(path)
    says = [font["name"].getDebugName(number) for number in (4, 5, 0, 7, 13, 14)]
    font.flavor = "woff"
    font.save(target / "STIXTwoMath.woff")
    (target / "LICENCE.txt").write_text("\n".join(filter(None, says)) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the above, and write the pages that are made from the sources."""
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
    app.add_lexer("output", TextLexer)
    app.connect("source-read", prepare)
    app.connect("html-page-context", stay_behind_the_door)
    app.connect("build-finished", ship_font)
    copy_notebooks()
    make_api.write(DOCS / "api")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
