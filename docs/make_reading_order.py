"""Write the reading order into docs/architecture.md: every room, its modules, their lengths.

python docs/make_reading_order.py

A room is folded, so that a page on a phone shows the house and not 160 modules.
"""

import re
from html import escape

from rooms import ROOT, card, lines, members, path_of, rooms, summary

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- reading order -->\n", "<!-- end of the reading order -->\n"


def row(name: str) -> str:
    """Return the line of one module."""
    path = path_of(name).relative_to(ROOT).as_posix()
    return f"| [{path_of(name).name}](../{path}) | {summary(name)} | {lines(name)} |"


def reading_order() -> str:
    """Return a table for each room, from the ground up."""
    parts = []
    for room in rooms():
        folder = path_of(room).stem == "__init__"
        name = f"<code>{room.replace('.', '/')}{'/' if folder else '.py'}</code>"
        question = f" {html(card(room).question)}" if folder else ""
        rows = "\n".join(map(row, members(room)))
        parts += [
            f"<details>\n<summary>{name}{question}</summary>",
            f"| module | what it is about | lines |\n|---|---|---|\n{rows}",
            "</details>",
        ]
    return "\n" + "\n\n".join(parts) + "\n\n"


def html(text: str) -> str:
    """Return the text of a docstring for HTML, with its code marked."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def main() -> None:
    """Replace what stands between the marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + reading_order() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
