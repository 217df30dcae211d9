"""The picture of the house is what the imports say."""

import re
import xml.etree.ElementTree as ET

import make_house
from rooms import ROOT, rooms, used_rooms

NUMBER = re.compile(r"\d[\d,]*(?= lines)")


def test_the_picture_is_what_the_imports_say() -> None:
    """Every room and arrow is as it would be drawn today; lengths are right to a tenth."""
    drawn, today = make_house.PICTURE.read_text(encoding="utf-8"), make_house.picture()
    message = "run python docs/make_house.py"
    assert NUMBER.sub("N", drawn) == NUMBER.sub("N", today), message
    for old, new in zip(NUMBER.findall(drawn), NUMBER.findall(today), strict=True):
        stated, true = (int(text.replace(",", "")) for text in (old, new))
        assert abs(stated - true) <= 20 + true // 10, message


def test_the_picture_has_every_room_once_and_is_well_formed() -> None:
    texts = [node.text for node in ET.fromstring(make_house.picture()).iter() if node.text]
    for room in rooms():
        assert texts.count(room.split(".")[1]) == 1 + (room.endswith(".pictures"))


def test_an_arrow_is_left_out_only_where_a_way_through_other_rooms_is_drawn() -> None:
    for package in ("yashe", "nn"):
        names = [room for room in rooms() if room.startswith(package + ".")]
        uses = {room: {other for other in used_rooms(room) if other in names} for room in names}
        reduced = make_house.reduced(uses)
        assert make_house.reachable(reduced) == make_house.reachable(uses)
        for room, others in reduced.items():
            assert others <= uses[room]


def test_the_pages_show_the_picture() -> None:
    assert "(docs/images/house.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert "(images/house.svg)" in page


def test_a_reduction_by_hand() -> None:
    uses = {"a": set(), "b": {"a"}, "c": {"a", "b"}, "d": {"a"}}
    assert make_house.reduced(uses) == {"a": set(), "b": {"a"}, "c": {"b"}, "d": {"a"}}
    assert make_house.floors(uses) == {"a": 0, "b": 1, "c": 2, "d": 1}
