"""Write the reading order into docs/architecture.md: every module, what it is about, its length.

python docs/make_reading_order.py
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- reading order -->\n", "<!-- end of the reading order -->\n"

sys.path.insert(0, str(ROOT / "tests"))
from test_layers import NN, YASHE  # noqa: E402


def row(package: str, name: str, level: int) -> str | None:
    """Return the line of one module, or None for a package's empty door."""
    path = ROOT / package / Path(*name.split(".")).with_suffix(".py")
    if not path.is_file():
        path = ROOT / package / Path(*name.split(".")) / "__init__.py"
    text = path.read_text(encoding="utf-8")
    about = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].replace("\n", " ")
    relative = path.relative_to(ROOT).as_posix()
    return f"| {level} | [`{relative}`](../{relative}) | {about} | {len(text.splitlines())} |"


def reading_order() -> str:
    """Return the two tables, from the bottom up."""
    parts = []
    for package, levels in (("yashe", YASHE), ("nn", NN)):
        order = sorted(levels, key=lambda name: (levels[name], name))
        rows = [row(package, name, levels[name]) for name in order if not name.startswith("__")]
        parts.append(
            f"\n### `{package}/`\n\n| level | module | what it is about | lines |\n"
            "|---|---|---|---|\n" + "\n".join(filter(None, rows)) + "\n"
        )
    return "\n".join(parts) + "\n"


def main() -> None:
    """Replace what stands between the marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + reading_order() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
