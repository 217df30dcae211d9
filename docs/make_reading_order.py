"""Write the reading order into docs/architecture.md: every room, its modules, their lengths.

python docs/make_reading_order.py
"""

from rooms import ROOT, card, lines, members, path_of, rooms, summary

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- reading order -->\n", "<!-- end of the reading order -->\n"


def row(name: str) -> str:
    """Return the line of one module."""
    path = path_of(name).relative_to(ROOT).as_posix()
    return f"| [`{path}`](../{path}) | {summary(name)} | {lines(name)} |"


def reading_order() -> str:
    """Return a table for each room, from the ground up."""
    parts = []
    for room in rooms():
        folder = path_of(room).stem == "__init__"
        parts += [f"### `{room.replace('.', '/')}{'/' if folder else '.py'}`"]
        if folder:
            parts += [card(room).question]
        rows = "\n".join(map(row, members(room)))
        parts += ["| module | what it is about | lines |\n|---|---|---|\n" + rows]
    return "\n" + "\n\n".join(parts) + "\n\n"


def main() -> None:
    """Replace what stands between the marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + reading_order() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
