"""Draw docs/images/house.svg: the rooms of both packages, and which of them use which.

python docs/make_house.py

A room stands one floor above the highest room that it imports. An arrow leads from a room to one
that it imports; it is left out where a way through other rooms leads there, too.
"""

from html import escape
from itertools import pairwise

from rooms import PACKAGES, ROOT, lines, members, rooms, used_rooms

PICTURE = ROOT / "docs" / "images" / "house.svg"
BOX, HEIGHT, GAP, FLOOR, BEND = 166, 50, 16, 92, 24  # pixels; FLOOR from floor to floor
MARGIN, TOP, LANE = 24, 64, 14  # LANE: room for an arrow that passes a floor
STYLE = """
  text { font-family: system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1b1f24 }
  .title { font-size: 19px; font-weight: 600 } .about { font-size: 14px; fill: #57606a }
  .name { font-size: 16px; font-weight: 600; text-anchor: middle }
  .size { font-size: 13px; fill: #57606a; text-anchor: middle }
  .paper { fill: #ffffff } .yashe { fill: #ddf0ff; stroke: #0072b2 }
  .nn { fill: #fff0d6; stroke: #b36b00 } .arrow { fill: none; stroke: #6e7781; stroke-width: 1.5 }
  .head { fill: #6e7781 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .about, .size { fill: #adbac7 } .paper { fill: #0d1117 }
    .yashe { fill: #10304a; stroke: #58a6ff } .nn { fill: #46300b; stroke: #e3a13a }
    .arrow { stroke: #8b949e } .head { fill: #8b949e }
  }
"""

Uses = dict[str, set[str]]


def reachable(uses: Uses) -> Uses:
    """Return for each room all that it stands on, directly or not."""
    found: Uses = {}
    for room in uses:  # in the order of reading: what a room uses has been met
        found[room] = uses[room].union(*(found[other] for other in uses[room]))
    return found


def reduced(uses: Uses) -> Uses:
    """Return the arrows that no way through other rooms replaces."""
    below = reachable(uses)
    return {
        room: {x for x in uses[room] if not any(x in below[other] for other in uses[room])}
        for room in uses
    }


def floors(uses: Uses) -> dict[str, int]:
    """Return the floor of each room."""
    found: dict[str, int] = {}
    for room in uses:
        found[room] = 1 + max((found[other] for other in uses[room]), default=-1)
    return found


def routes(arrows: Uses, floor: dict[str, int]) -> list[list[str]]:
    """Return each arrow as the places that it goes through, one on each floor on its way down."""
    return [
        [
            room,
            *(f"{room}>{other}:{level}" for level in range(floor[room] - 1, floor[other], -1)),
            other,
        ]
        for room, others in arrows.items()
        for other in sorted(others)
    ]


def arranged(uses: Uses, ways: list[list[str]], floor: dict[str, int]) -> list[list[str]]:
    """Return the places of each floor from left to right, near to what they are tied to."""
    levels: list[list[str]] = [[] for _ in range(max(floor.values()) + 1)]
    for room in uses:
        levels[floor[room]].append(room)
    neighbours: dict[str, set[str]] = {room: set() for room in uses}
    for way in ways:
        for level, place in zip(range(floor[way[0]] - 1, -1, -1), way[1:-1], strict=False):
            levels[level].append(place)
        for upper, lower in pairwise(way):
            neighbours.setdefault(upper, set()).add(lower)
            neighbours.setdefault(lower, set()).add(upper)
    for sweep in range(24):  # the mean of the neighbours on the floor before, up and down in turns
        order = range(1, len(levels)) if sweep % 2 == 0 else range(len(levels) - 2, -1, -1)
        for level in order:
            before = levels[level - 1 if sweep % 2 == 0 else level + 1]
            middle = {name: i - len(before) / 2 for i, name in enumerate(before)}
            position = {name: i - len(levels[level]) / 2 for i, name in enumerate(levels[level])}

            def pull(
                name: str, middle: dict[str, float] = middle, own: dict[str, float] = position
            ) -> float:
                ties = [middle[other] for other in neighbours[name] if other in middle]
                return sum(ties) / len(ties) if ties else own[name]

            levels[level].sort(key=pull)
    return levels


def positions(levels: list[list[str]], uses: Uses) -> tuple[dict[str, float], float]:
    """Return the middle of each place from the left, and the width of the house."""

    def size(name: str) -> int:
        return BOX if name in uses else LANE

    widths = [sum(size(name) + GAP for name in level) - GAP for level in levels]
    centres = {}
    for level, width in zip(levels, widths, strict=True):
        x = (max(widths) - width) / 2
        for name in level:
            centres[name] = x + size(name) / 2
            x += size(name) + GAP
    return centres, max(widths)


def house(package: str, left: float, ground: float) -> tuple[list[str], float]:
    """Return the drawing of one package, and its width."""
    names = [room for room in rooms() if room.startswith(package + ".")]
    uses = {room: {other for other in used_rooms(room) if other in names} for room in names}
    floor = floors(uses)
    ways = routes(reduced(uses), floor)
    levels = arranged(uses, ways, floor)
    x, width = positions(levels, uses)
    y = {name: ground - level * FLOOR for level, row in enumerate(levels) for name in row}
    out = []
    for way in ways:
        points = [(left + x[name], y[name]) for name in way]
        path = f"M{points[0][0]:.0f} {points[0][1] + HEIGHT:.0f}"
        for number, ((_, upper), (there, lower)) in enumerate(pairwise(points)):
            start = upper + HEIGHT
            last = number == len(points) - 2
            end = lower - (7 if last else 0)
            here = points[number][0]
            path += (
                f"C{here:.0f} {start + BEND:.0f} {there:.0f} {end - BEND:.0f} {there:.0f} {end:.0f}"
            )
            if not last:
                path += f"V{lower + HEIGHT:.0f}"
        out.append(f'<path class="arrow" marker-end="url(#head)" d="{path}"/>')
    for room in names:
        count, total = len(members(room)), sum(lines(name) for name in members(room))
        size = f"{count} modules, {total:,} lines" if count > 1 else f"{total:,} lines"
        out.append(
            f'<rect class="{package}" x="{left + x[room] - BOX / 2:.0f}" y="{y[room]:.0f}" '
            f'width="{BOX}" height="{HEIGHT}" rx="6"/>'
            f'<text class="name" x="{left + x[room]:.0f}" y="{y[room] + 21:.0f}">'
            f"{escape(room.split('.')[1])}</text>"
            f'<text class="size" x="{left + x[room]:.0f}" y="{y[room] + 40:.0f}">{size}</text>'
        )
    return out, width


def picture() -> str:
    """Return the picture as SVG."""
    heights = []
    for package in PACKAGES:
        names = [room for room in rooms() if room.startswith(package + ".")]
        uses = {room: {other for other in used_rooms(room) if other in names} for room in names}
        heights.append(max(floors(uses).values()))
    ground = TOP + max(heights) * FLOOR
    out, left = [], float(MARGIN)
    titles = {"yashe": "the cryptography", "nn": "the networks, which use all of yashe"}
    for package in PACKAGES:
        drawn, width = house(package, left, ground)
        out += [
            f'<text x="{left:.0f}" y="32"><tspan class="title">{package}/</tspan>'
            f'<tspan class="about" dx="8">{titles[package]}</tspan></text>',
            *drawn,
        ]
        left += width + 2 * MARGIN
    width, height = left - MARGIN, ground + HEIGHT + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">\n'
        "<title>The rooms of both packages; an arrow leads to a room that is imported</title>\n"
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>\n'
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="8"/>\n'
        + "\n".join(out)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
