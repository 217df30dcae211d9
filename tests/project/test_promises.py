"""The ledger docs/promises.md and the pages are in step, and the tests that it names are there.

A page is taken as plain text, one block for each paragraph, item of a list and row of a table. Not
read are headings, code, formulas on lines of their own, and what a program wrote between two
comments (other tests compare that with the program). In a quotation ` ... ` stands for words of the
same sentence, or cells of the same row, that are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from conftest import ROOT

LEDGER = ROOT / "docs" / "promises.md"
# The bibliography has titles of others; the notation is a list of definitions.
NO_PROMISES = {"promises.md", "bibliography.md", "notation.md"}
UNTESTED = "Promised, and not attacked by a test"

PROMISING = re.compile(
    r"\b(never|always|guarantee\w*|refus(?:e|es|ed|al)|cannot|whatever|exactly|bit for bit|"
    r"nothing (?:else|but|behind)|tells? nothing|no other|none of|without exception|in every|"
    r"every possible|promise[sd]?(?!\.md)|proved|hidden from)\b",
    re.IGNORECASE,
)

# Quotations with such a word that promise nothing of the software, and what they are instead.
EXCEPTIONS = [
    ("README.md", "docs/security.md says what is promised and what is not.", "a pointer"),
    ("README.md", "in every logit of all 10,000", "a measured figure, beside its command"),
    ("elsewhere.md", "never of the test data.", "advice"),
    ("gpu.md", "that floats cannot round it", "mathematics"),
    ("gpu.md", "Exact or refused.", "said again behind it"),
    ("gpu.md", "whatever the settings for TF32", "a measured figure"),
    ("gpu.md", "the check refused it", "a measured figure"),
    ("index.md", "A server classifies handwritten digits that it cannot see.", "what it is about"),
    ("index.md", "Security says what is promised and what is not.", "a pointer"),
    ("teaching.md", "the inputs of a check, which are the same in every run", "a warning"),
    ("laws.md", "Nothing is proved by that", "the contrary of a promise"),
    ("laws.md", "the text of a refusal; half of the modulus", "what a tester found"),
    ("laws.md", "a limit of 2^24 that an even number cannot reach", "mathematics"),
    ("noise.md", "whatever depends on whatever", "mathematics"),
    ("noise.md", "whatever the message is.", "mathematics"),
    ("noise.md", "are never there to be measured", "how it is computed"),
    ("performance.md", "1.5 GB of residues, never exist", "how it is computed; memory is measured"),
    ("scaling.md", "whole batches never lose", "read off the table above it"),
    ("scaling.md", "would do nothing but read for it", "about a machine that nobody has tried"),
    ("schemes.md", "whatever the phase was", "mathematics"),
    ("schemes.md", r"about $\log_2 t + \log_2 n$, always", "mathematics"),
    (
        "security.md",
        "the logits tell nothing about the weights ... no",
        "the contrary of a promise",
    ),
    ("security.md", "give a seed in tests and lessons, never for data.", "advice"),
    ("security.md", "Never tell anybody", "advice"),
    ("security.md", "is outside of what is promised", "the contrary of a promise"),
    ("security.md", "learns at which ones the network is refused", "what a stranger can learn"),
    ("teaching.md", "with nothing else to do", "how the times were measured"),
]

LEFT_OUT = re.compile(
    r"^```.*?^```$|^\$\$.*?\$\$|<!-- (?!end)[^>]*-->.*?<!-- [^>]*\bend\b[^>]*-->|</?\w[^>]*>"
    r"|^ {4}[^\n]*$|^#[^\n]*$|^\|[^\n]*\n(?=\|[ :|-]+$)|^\|[ :|-]+$|!\[[^\]]*\]\([^)]*\)",
    re.MULTILINE | re.DOTALL,
)
BLOCKS = re.compile(r"\n\s*\n|\n(?=\||\s*[-*] |\s*\d+\. )")
SENTENCES = re.compile(r"(?<=[.!?]) (?=[A-Z])")


def plain(text: str) -> str:
    """A text on one line, without the marks of Markdown and with its links as they are read."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^\s*>\s?", "", text, flags=re.MULTILINE)
    return " ".join(re.sub(r"[*`\\]", "", text).split())


def blocks(page: str) -> list[str]:
    """The paragraphs, items and rows of a page as plain text."""
    return [text for text in map(plain, BLOCKS.split(LEFT_OUT.sub("\n\n", page))) if text]


def places(quotation: str, blocks: list[str]) -> list[tuple[int, int, int]]:
    """Where a quotation stands: the numbers of the blocks, with start and end in them."""
    pieces = (rf"(?<!\w){re.escape(piece)}(?!\w)" for piece in plain(quotation).split(" ... "))
    pattern = re.compile(r"(?:(?![.?!] ).)*?".join(pieces))
    found = ((i, pattern.search(block)) for i, block in enumerate(blocks))
    return [(i, match.start(), match.end()) for i, match in found if match]


def unlisted(page: str, quotations: list[str]) -> list[str]:
    """The sentences of a page with a promising word that no quotation holds; none are questions."""
    texts = blocks(page)
    listed = [place for quotation in quotations for place in places(quotation, texts)]
    sentences = []
    for i, text in enumerate(texts):
        edges = [0, *(match.end() for match in SENTENCES.finditer(text)), len(text)]
        for word in PROMISING.finditer(text):
            asked = re.match(r"[^.!?|]*\?", text[word.end() :])
            inside = any(i == j and a <= word.start() and word.end() <= b for j, a, b in listed)
            if not asked and not inside:
                start = max(edge for edge in edges if edge <= word.start())
                end = min(edge for edge in edges if edge >= word.end())
                sentences.append(text[start:end].strip())
    return list(dict.fromkeys(sentences))


@dataclass(frozen=True)
class Row:
    """A row of the ledger: a quotation of a page, and the test beside it (or a reason)."""

    page: str
    promise: str
    test: str
    path: str
    slow: bool


TEST = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)( \(slow\))?")


def rows_of(ledger: str) -> Iterator[Row]:
    """The rows of the ledger, in order; a row that is not of the form is an error."""
    section = ""
    for line in ledger.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith(("| promise |", "| page |")):
            first, second, *more = re.split(r"(?<!\\)\|", line.strip("|"))
            if section == UNTESTED:
                (reason,) = more
                assert len(reason.split()) > 3, f"say why: {line}"
                yield Row(first.strip(), second.strip(), "", "", False)
                continue
            test = TEST.fullmatch(second.strip())
            if not test or more:
                raise AssertionError(f"not a row of the ledger: {line}")
            yield Row(section, first.strip(), test[1], test[2], bool(test[3]))


def path_of(page: str) -> Path:
    """Where a page lies."""
    return ROOT / page if page == "README.md" else ROOT / "docs" / page


def marks_of(test: str, source: str) -> list[str] | None:
    """The decorators of a test, and the mark of its module; None if there is no such test."""
    return all_marks(source).get(test)


@cache
def all_marks(source: str) -> dict[str, list[str]]:
    """The marks of every test of a source."""
    tree = ast.parse(source)
    marks = [
        ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            first = [ast.unparse(line) for line in node.body[:2]]
            skips = [line for line in first if line.startswith("pytest.skip(")]
            decorators = [ast.unparse(mark) for mark in node.decorator_list]
            found.setdefault(node.name, decorators + marks + skips)
    return found


def is_skipped(marks: list[str]) -> bool:
    """Whether a test with these marks never runs."""
    return any(
        re.search(r"\bskip\b|\bskipif\((True|1)\b|\bxfail\b.*run=False", mark) for mark in marks
    )


ROWS = list(rows_of(LEDGER.read_text(encoding="utf-8")))
TESTS = sorted({(row.test, row.path, row.slow) for row in ROWS if row.test})
PAGES = [
    "README.md",
    *sorted(p.name for p in (ROOT / "docs").glob("*.md") if p.name not in NO_PROMISES),
]


@pytest.mark.parametrize("page", PAGES)
def test_a_promise_stands_in_its_page_word_for_word(page: str) -> None:
    texts = blocks(path_of(page).read_text(encoding="utf-8"))
    promises = [row.promise for row in ROWS if row.page == page]
    assert not [promise for promise in promises if len(promise) < 20], "too short to find again"
    assert not [promise for promise in promises if not places(promise, texts)], "it does not say so"


@pytest.mark.parametrize("path", sorted({path for _, path, _ in TESTS}))
def test_the_test_beside_a_promise_is_there_and_runs(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    for test, slow in ((test, slow) for test, where, slow in TESTS if where == path):
        marks = marks_of(test, source)
        assert marks is not None, f"{path} has no {test}"
        assert not is_skipped(marks), f"{path}: {test} never runs"
        assert slow == any("mark.slow" in mark for mark in marks), f"{test}: (slow) or not"


@pytest.mark.parametrize("page", PAGES)
def test_a_sentence_that_promises_something_is_in_the_ledger(page: str) -> None:
    listed = [row.promise for row in ROWS if row.page == page]
    listed += [quotation for name, quotation, _ in EXCEPTIONS if name == page]
    missing = unlisted(path_of(page).read_text(encoding="utf-8"), listed)
    assert not missing, (
        f"{page}: put these into docs/promises.md, each beside the test that attacks it, or, if "
        "they promise nothing, among the exceptions here:\n" + "\n".join(missing)
    )


@pytest.mark.parametrize(("page", "quotation", "reason"), EXCEPTIONS)
def test_an_exception_is_still_one(page: str, quotation: str, reason: str) -> None:
    assert places(quotation, blocks(path_of(page).read_text(encoding="utf-8"))), "it is gone"
    assert PROMISING.search(plain(quotation)), "it has no promising word: it need not be here"
    assert reason


def test_a_page_has_one_section_and_no_promise_stands_there_twice() -> None:
    sections = re.findall(r"^## (.+)$", LEDGER.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(sections)) == len(sections)
    assert {*sections, *(row.page for row in ROWS)} <= {*PAGES, UNTESTED}
    assert len({(row.page, plain(row.promise)) for row in ROWS}) == len(ROWS)


# That these tests can fail

PAGE = """# It never fails

It *never* [rounds](x.md), and it
**always** ends. Can it always? `Never` mind.

| what | promised |
|---|---|
| sums | never wrong |

```python
cannot("be", "read")
```

<!-- table -->
always
<!-- end -->

1. Two are refused.
2. Zero is refused, too.
"""


def test_a_made_up_page_by_hand() -> None:
    assert blocks(PAGE) == [
        "It never rounds, and it always ends. Can it always? Never mind.",
        "| sums | never wrong |",
        "1. Two are refused.",
        "2. Zero is refused, too.",
    ]
    assert unlisted(PAGE, []) == [
        "It never rounds, and it always ends.",
        "Never mind.",
        "| sums | never wrong |",
        "Two are refused.",
        "Zero is refused, too.",
    ]
    listed = ["Two are refused", "`sums` ... wrong", "Never ... mind", "Zero is refused"]
    assert unlisted(PAGE, listed) == ["It never rounds, and it always ends."]
    assert unlisted(PAGE, [*listed, "it **never** rounds"]) == unlisted(PAGE, listed)  # It, not it
    assert unlisted(PAGE, [*listed, "It never rounds"]) == ["It never rounds, and it always ends."]
    assert unlisted(PAGE, [*listed, "never ... always ends"]) == []


def test_a_changed_sentence_is_not_found() -> None:
    texts = blocks(PAGE)
    assert places("It never rounds, and it always ends.", texts) == [(0, 0, 36)]
    assert places("It [never](y.md) ... always\nends", texts)
    for changed in ("It never round", "It rounds ... always", "Two ... Zero", "ends. ... Never"):
        assert places(changed, texts) == []


def test_a_row_that_is_none_is_an_error() -> None:
    good = (
        "## README.md\n\n| promise | test |\n|---|---|\n| It \\| ends | [`test_a`](../tests/a.py) |"
    )
    assert list(rows_of(good)) == [Row("README.md", "It \\| ends", "test_a", "tests/a.py", False)]
    (slow,) = rows_of(good.replace(".py)", ".py) (slow)"))
    assert slow.slow
    for bad in (
        good.replace("test_a", "check_a"),
        good.replace("../tests", "../nn"),
        good.replace(" |\n|", " | more |\n|").replace(".py) |", ".py) | more |"),
        good.replace("[`test_a`](../tests/a.py)", "none yet"),
    ):
        with pytest.raises(AssertionError, match="not a row of the ledger"):
            list(rows_of(bad))
    untested = f"## {UNTESTED}\n\n| page | promise | why |\n|---|---|---|\n| a.md | It ends | WHY |"
    (row,) = rows_of(untested.replace("WHY", "time cannot be tested"))
    assert (row.page, row.promise, row.test) == ("a.md", "It ends", "")
    with pytest.raises(AssertionError, match="say why"):
        list(rows_of(untested))


SOURCE = """
@pytest.mark.skip(reason="later")
def test_skipped(): ...

@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_slow(): ...

def test_empty():
    pytest.skip("later")

class TestClass:
    def test_inside(self):
        assert True
"""


def test_a_missing_and_a_skipped_test_are_noticed() -> None:
    found = {
        name: marks_of(f"test_{name}", SOURCE) for name in ("skipped", "slow", "empty", "inside")
    }
    assert found["slow"] == [
        "pytest.mark.slow",
        "pytest.mark.skipif(os.name != 'posix', reason='modes')",
    ]
    assert [name for name, marks in found.items() if is_skipped(marks or [])] == [
        "skipped",
        "empty",
    ]
    assert found["inside"] == []
    assert marks_of("test_gone", SOURCE) is None
    everything = SOURCE + "pytestmark = pytest.mark.skip\n"
    assert is_skipped(marks_of("test_inside", everything) or [])
