"""The documentation site: it builds without a warning and works in a browser without a network.

Slow, and for whoever has the extra `docs` and Chromium; the pages' programs are in test_readme.py.
"""

import ast
import functools
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

PLACE = "https://github.com/somebody/something"
HIDDEN = re.compile(r"<(pre|code|style|script)\b.*?</\1>", re.DOTALL)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


make_api = load(ROOT / "docs" / "make_api.py")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, from a copy of the project, so that nothing is left in the checkout."""
    for module in ("sphinx", "myst_nb", "furo", "latex2mathml", "ziamath"):
        pytest.importorskip(module)
    copy = tmp_path_factory.mktemp("project")
    for name in ("docs", "notebooks", "yashe", "nn", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("_build", "api"))
    shutil.copyfile(ROOT / "README.md", copy / "README.md")
    # As if the project had a place in the world, to which its pages lead.
    (copy / "setup.cfg").write_text(f"[metadata]\nurl = {PLACE}\n", encoding="utf-8")
    out = copy / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(out)]
    run = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return out


class Page(HTMLParser):
    """What a page points to, and the targets that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.targets: set[str] = set()
        self.loaded: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.formulas = 0
        self.around: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.targets.add(found.get("id") or "")
        if tag == "a" and found.get("class") in ("next-page", "prev-page"):
            self.around.append(found["href"] or "")
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        if tag in ("script", "img") and found.get("src"):
            self.loaded.append(found["src"] or "")
        if tag == "link" and found.get("rel") == "stylesheet":
            self.loaded.append(found.get("href") or "")
        if tag == "img":
            self.images.append(found)
        self.formulas += tag == "math"


def pages(site: Path) -> Iterator[Path]:
    yield from sorted(site.rglob("*.html"))


@pytest.mark.slow
def test_every_link_leads_somewhere(site: Path) -> None:
    known = {path: Page(path) for path in pages(site)}
    broken = []
    for path, page in known.items():
        for link in page.links:
            place, _, target = unquote(link).partition("#")
            if re.match(r"[a-z]+:", place):
                continue
            to = (path.parent / place).resolve() if place else path
            if not to.exists() or (target and to in known and target not in known[to].targets):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


@pytest.mark.slow
def test_nothing_is_loaded_from_the_network(site: Path) -> None:
    for path in pages(site):
        for source in Page(path).loaded:
            assert not re.match(r"(https?:)?//", source), f"{path.name} loads {source}"


@pytest.mark.slow
def test_every_image_has_a_text_alternative(site: Path) -> None:
    for path in pages(site):
        for image in Page(path).images:
            assert image.get("alt"), f"{path.name}: {image.get('src')}"


@pytest.mark.slow
def test_every_formula_has_become_mathml(site: Path) -> None:
    for source in sorted((ROOT / "notebooks" / "source").glob("*.py")):
        page = site / "notebooks" / f"{source.name.partition('_')[0]}.html"
        shown = re.sub(r"<[^>]+>", "", HIDDEN.sub("", page.read_text(encoding="utf-8")))
        assert "$" not in shown, f"{page.name} shows a formula's source"
        displayed = source.read_text(encoding="utf-8").count("$$") // 2
        assert Page(page).formulas >= displayed


@pytest.mark.slow
def test_notebooks_can_be_downloaded_opened_elsewhere_and_compared(site: Path) -> None:
    study = Page(site / "study.html").links
    for source in sorted((ROOT / "notebooks" / "student").glob("*.ipynb")):
        assert f"notebooks/{source.stem}.html" in study
        links = Page(site / "notebooks" / f"{source.stem}.html").links
        file = f"notebooks/student/{source.name}"
        binder, colab = "mybinder.org/v2/gh/", "colab.research.google.com/github/"
        repository = PLACE.removeprefix("https://github.com/")
        assert f"https://{binder}{repository}/HEAD?labpath={file}" in links
        assert f"https://{colab}{repository}/blob/HEAD/{file}" in links
        assert f"../solutions/{source.stem}.html" in links
        (place,) = [link for link in links if link.endswith(source.name) and "_downloads" in link]
        downloaded = (site / "notebooks" / place).resolve()
        assert downloaded.read_bytes() == source.read_bytes()  # the student's, as it is


@pytest.mark.slow
def test_previous_and_next_stay_behind_their_door(site: Path) -> None:
    begin = {
        "read": "architecture.html",
        "use": "cookbook.html",
        "study": "study.html",
        "teach": "teaching.html",
    }
    assert Page(site / "index.html").around == []
    for door, first in begin.items():
        place, seen = first, []
        while place not in seen:
            seen.append(place)
            onward = [link for link in Page(site / place).around if not link.endswith("#")][:1]
            if not onward or (len(seen) > 1 and len(Page(site / place).around) == 1):
                break
            place = (Path(place).parent / onward[0]).as_posix().replace("notebooks/../", "")
        allowed = {
            "study": ("study.html", "notebooks/"),
            "use": ("cookbook", "own-data", "example-"),
        }.get(door, ("",))
        assert all(page.startswith(allowed) and "api" not in page for page in seen), seen
        assert len(seen) > {"read": 10, "use": 3, "study": 10, "teach": 0}[door]


@pytest.mark.slow
def test_formulas_have_a_font_whose_licence_lies_beside_it(site: Path) -> None:
    fonts, font_tools = site / "_static" / "fonts", pytest.importorskip("fontTools.ttLib")
    assert "MATH" in font_tools.TTFont(
        fonts / "STIXTwoMath.woff"
    )  # how far brackets stretch, and the like
    assert "SIL Open Font License" in (fonts / "LICENCE.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_public_module_has_a_page_with_its_names(site: Path) -> None:
    copy = load(site.parent / "docs" / "make_api.py")  # names of the sources that were built
    for name, path in copy.modules().items():
        targets = {normal(target) for target in Page(site / "api" / f"{name}.html").targets}
        for entry in make_api.entries(ast.parse(path.read_text(encoding="utf-8"))):
            assert normal(make_api.label(f"{name}.{entry.name}")) in targets, entry.name


def normal(target: str) -> str:
    """A label as Sphinx writes it into a page."""
    return re.sub(r"[^a-z0-9]+", "-", target.lower()).strip("-")


WALK = """<!doctype html>
<body><pre id="out"></pre><script>
async function walk(pages, width) {
  const found = [];
  for (const page of pages) {
    const frame = document.createElement("iframe");
    frame.width = width;
    frame.height = 844;
    const loaded = new Promise((resolve) => (frame.onload = resolve));
    frame.src = page;
    document.body.append(frame);
    await loaded;
    const inside = frame.contentDocument, root = inside.documentElement;
    const formulas = [...inside.querySelectorAll("article math")].filter(
      (formula) => !formula.closest(".folded thead"), // shown beside each cell instead
    );
    await inside.fonts.ready;
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (formulas.length && ![...inside.fonts].some((f) => f.status === "loaded"))
      found.push(`${page} has no font for its formulas`);
    for (const table of inside.querySelectorAll("article table"))
      if (table.scrollWidth > table.parentElement.clientWidth + 1)
        found.push(`${page} has a table that is cut off: ${table.innerText.slice(0, 40)}`);
    if (page === "architecture.html" && root.scrollHeight > HIGHEST)
      found.push(`${page} is ${root.scrollHeight} pixels long`);
    if (root.scrollWidth > root.clientWidth + 1) found.push(`${page} is wider than ${width}`);
    if (formulas.some((f) => f.getBoundingClientRect().height === 0))
      found.push(`${page} has a formula that is not drawn`);
    if ([...inside.images].some((i) => i.complete && i.naturalWidth === 0))
      found.push(`${page} has an image that is not there`);
    frame.remove();
  }
  document.getElementById("out").textContent = JSON.stringify([pages.length, found]);
}
walk(PAGES, WIDTH);
</script>"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and tells nobody."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
def test_every_page_is_right_in_a_browser(site: Path, tmp_path: Path, width: int) -> None:
    names = [path.relative_to(site).as_posix() for path in pages(site)]
    walker = WALK.replace("PAGES", json.dumps(names)).replace("WIDTH", str(width))
    walker = walker.replace("HIGHEST", "13000")  # eight pages of a book, on a phone
    (site / "walk.htm").write_text(walker, encoding="utf-8")
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run = subprocess.run(
            [
                str(CHROMIUM),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--enable-logging=stderr",
                "--virtual-time-budget=600000",
                "--dump-dom",
                f"http://127.0.0.1:{server.server_port}/walk.htm",
            ],
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        server.shutdown()
    assert not [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    out = re.search(r'<pre id="out">(.+?)</pre>', run.stdout, re.DOTALL)
    assert out is not None, run.stdout
    assert json.loads(html.unescape(out[1])) == [len(names), []]


DOCSTRING = """Multiply by two, as in `yashe.arithmetic.rings`.

    double(x) = 2 x_1

Parameters
----------
x : Ring of a_1
    What to double; see `other`.

Examples
--------
>>> double(2)
4
"""


def test_a_docstring_by_hand() -> None:
    names = {
        "yashe.arithmetic.rings": "yashe.arithmetic.rings",
        "Ring": "yashe.arithmetic.rings.Ring",
        "other": "here.other",
    }
    assert make_api.markdown(DOCSTRING, make_api.Linker(names), "here") == (
        "Multiply by two, as in {ref}`yashe.arithmetic.rings <yashe.arithmetic.rings>`.\n\n"
        "```text\ndouble(x) = 2 x_1\n```\n\n"
        "**Parameters**\n\n"
        "- `x`: {ref}`Ring <yashe.arithmetic.rings.Ring-c>` of a\\_1\n"
        "  What to double; see {ref}`other <here.other>`.\n\n"
        "**Examples**\n\n"
        "```pycon\n>>> double(2)\n4\n```\n"
    )


CLASSES = """class Base:
    def verb(self, x: int) -> int:
        \"\"\"Do it. In one line.\"\"\"

    def other(self) -> None:
        \"\"\"Do something else.\"\"\"

class Derived(Base):
    \"\"\"A class.\"\"\"

    def other(self) -> None:
        \"\"\"Do it differently.\"\"\"

    @property
    def size(self) -> int:
        \"\"\"How many.\"\"\"

    @classmethod
    def of(cls, x: int) -> None:
        \"\"\"Make one.\"\"\"
"""


def test_a_class_lists_what_it_inherits_and_what_is_a_property() -> None:
    tree = ast.parse(CLASSES)
    found = {entry.name: entry.signature for entry in make_api.entries(tree)}
    assert found["Derived.size"] == "property size: int"
    assert found["Derived.of"] == "classmethod of(x: int) -> None"
    assert found["Derived.other"] == "def other() -> None"
    inherited = make_api.Classes({"m": tree}).inherited("m.Derived", make_api.Linker({}))
    assert inherited == [
        "**Inherited from** {ref}`Base <m.Base-c>`",
        "",
        "- {ref}`verb <m.Base.verb-c>`: Do it. In one line",
        "",
    ]


def test_the_page_of_a_scheme_has_the_verbs_that_it_inherits(tmp_path: Path) -> None:
    make_api.write(tmp_path / "api", "yashe.schemes.bgv")
    page = (tmp_path / "api" / "yashe.schemes.bgv.md").read_text(encoding="utf-8")
    for verb in ("keygen", "encrypt", "decrypt", "relinearize", "encode"):
        assert f"- {{ref}}`{verb} <yashe.schemes." in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*one two* and **three**", "*one two* and **three**"),
        ("*over\nlines*", "*over\nlines*"),
        ("a * b * c", r"a \* b \* c"),
        ("f(*args, **kw)", r"f(\*args, \*\*kw)"),
        ("(count, *shape)", r"(count, \*shape)"),
    ],
)
def test_stress_is_stress_and_a_product_is_a_product(text: str, shown: str) -> None:
    assert make_api.Linker({}).text(text, "here") == shown


def test_a_long_signature_is_cut_at_its_commas() -> None:
    source = f"def f(a: dict[str, int], {'b' * 25}: int = 3, {'c' * 21}: str = ''):\n"
    (entry,) = make_api.entries(ast.parse(source + '    """Do it."""\n'))
    assert entry.signature == (
        "def f(\n    a: dict[str, int],\n    bbbbbbbbbbbbbbbbbbbbbbbbb: int=3,\n"
        "    ccccccccccccccccccccc: str='',\n)"
    )


def test_private_names_are_left_out() -> None:
    source = 'class _A:\n    """a"""\n\ndef _b():\n    """b"""\n\ndef c():\n    """c"""\n'
    assert [entry.name for entry in make_api.entries(ast.parse(source))] == ["c"]


def test_every_page_of_the_documentation_is_in_the_table_of_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.stem == "index" or page.stem in index, f"add {page.stem} to docs/index.md"
