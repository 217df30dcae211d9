"""The rooms of the house, read from their cards.

A card is the docstring of a package's `__init__.py`. It lists what is in the package, in the order
of reading, and says which other rooms are used:

    residues  numbers modulo small odd primes, kept as integer-valued float64

So there is one list, and it stands where a reader looks for it. tests/project/test_layers.py keeps
it true; the reading order (make_reading_order.py) and the picture (make_house.py) are made from it.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("yashe", "nn")  # in the order of reading, too
LIST = re.compile(
    r"^(?:Rooms|Modules), in the order of reading.*?:\n\n((?:    .+\n?)+)", re.MULTILINE
)
ENTRY = re.compile(r"^    (\w+)  +(.+)$", re.MULTILINE)
USES = re.compile(r"^Uses (.+?)\.$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes
    ----------
    question : the first sentence
    entries : what is in the package, and what it is about, in the order of reading
    uses : rooms that are imported, or None if the card says nothing about it
    """

    question: str
    entries: dict[str, str]
    uses: list[str] | None


def path_of(name: str) -> Path:
    """Return the file of a module by its dotted name; a package's is its __init__."""
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def source(name: str) -> str:
    """Return the text of a module."""
    return path_of(name).read_text(encoding="utf-8")


@cache
def docstring(name: str) -> str:
    """Return the docstring of a module."""
    return ast.get_docstring(ast.parse(source(name))) or ""


def summary(name: str) -> str:
    """Return the first sentence of a module's docstring."""
    return docstring(name).split("\n\n")[0].replace("\n", " ")


@cache
def card(name: str) -> Card:
    """Return the card of a package; what is no package, and what has no list, has no entries."""
    found, uses = LIST.search(docstring(name)), USES.search(docstring(name))
    entries = dict(ENTRY.findall(found[1])) if found and path_of(name).stem == "__init__" else {}
    used = None
    if uses:
        used = [] if uses[1] == "nothing of ours" else uses[1].replace("\n", " ").split(", ")
        package = name.split(".")[0]
        used = [room if "." in room else f"{package}.{room}" for room in used]
    return Card(summary(name), entries, used)


@cache
def modules() -> tuple[str, ...]:
    """Return every module that there is, by its dotted name."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts).removesuffix(".__init__"))
    return tuple(found)


@cache
def place(name: str) -> tuple[int, ...]:
    """Return where a module stands in the order of reading: package, room, place in the room.

    A package's own `__init__` stands behind all that is on its card.

    Raises
    ------
    LookupError
        If it is on no card.
    """
    parts = name.split(".")
    found = [PACKAGES.index(parts[0])]
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        entries = list(card(package).entries)
        if parts[length] not in entries:
            where = path_of(package).relative_to(ROOT)
            raise LookupError(f"{name} is on no card: add a line for {parts[length]} to {where}")
        found.append(entries.index(parts[length]))
    return (*found, len(card(name).entries)) if card(name).entries else tuple(found)


@cache
def imported(text: str) -> frozenset[str]:
    """Return the modules of ours that a source imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `from yashe.arithmetic import rings` names a module, `... import Ring` does not.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(owner(name) for name in names if name.split(".")[0] in PACKAGES)


@cache
def owner(name: str) -> str:
    """Return the module that a dotted name belongs to: the longest beginning of it that is one."""
    parts = name.split(".")
    beginnings = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(beginning for beginning in beginnings if beginning in modules())


def room_of(name: str) -> str:
    """Return the room of a module: the first two parts of its name."""
    return ".".join(name.split(".")[:2])


def rooms() -> list[str]:
    """Return the rooms in the order of reading; a module that stands alone is a room of its own."""
    names = [f"{package}.{room}" for package in PACKAGES for room in card(package).entries]
    return [name for name in names if "__" not in name]


@cache
def is_card(name: str) -> bool:
    """Return whether a module is nothing but its docstring."""
    return len(ast.parse(source(name)).body) == 1


def members(room: str) -> list[str]:
    """Return the modules of a room in the order of reading, without what is only a card."""
    names = (name for name in modules() if room_of(name) == room and not is_card(name))
    return sorted(names, key=place)


def used_rooms(room: str) -> list[str]:
    """Return the rooms that the modules of a room import, in the order of reading."""
    names = set().union(*(imported(source(name)) for name in members(room)))
    found = {room_of(name) for name in names} - {room}
    return [name for name in rooms() if name in found]


def lines(name: str) -> int:
    """Return how many lines a module has."""
    return len(source(name).splitlines())
