"""What a reader of the processor's source meets of the GPU: docs/gpu.md says how many lines.

python tests/project/test_gpu_lines.py prints them.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "yashe" / "arithmetic"
DEVICES = ROOM / "devices.py"
FOR_GPUS = {  # which nobody reads who does not care about GPUs
    *(ROOM / name for name in ("places.py", "large.py", "gpu.py")),
    ROOT / "nn" / "bench" / "gpu.py",
    ROOT / "nn" / "inference" / "batches.py",
}
HELPERS = {f"yashe.arithmetic.{name}" for name in ("devices", "places", "large")}
MOST = 150


def lines_with_helpers(path: Path) -> dict[int, str]:
    """Return the lines that import or name something from the modules about places, by number."""
    source = path.read_text("utf-8")
    names = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module in HELPERS
        for alias in node.names
    }
    found, inside = dict[int, str](), 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        # From Python 3.12 on what stands in an f-string are tokens, too; before it is text.
        kind = tokenize.tok_name[token.type]
        inside += (kind == "FSTRING_START") - (kind == "FSTRING_END")
        if not inside and token.type == tokenize.NAME and token.string in names:
            found[token.start[0]] = token.line
    return found


def count() -> tuple[int, int]:
    """Return the lines elsewhere that name a helper, and those of devices.py that are not empty."""
    sources = {path for room in ("yashe", "nn") for path in (ROOT / room).rglob("*.py")}
    named = [lines_with_helpers(path) for path in sources - FOR_GPUS - {DEVICES}]
    own = [line for line in DEVICES.read_text("utf-8").splitlines() if line.strip()]
    return sum(map(len, named)), len(own)


def test_a_reader_of_the_processors_source_meets_as_few_lines_as_are_said() -> None:
    named, own = count()
    said = re.search(
        r"meets (\d+) lines: (\d+) that\s+name .* (\d+) of",
        (ROOT / "docs" / "gpu.md").read_text("utf-8"),
    )
    assert said is not None
    assert tuple(map(int, said.groups())) == (named + own, named, own)
    assert named + own <= MOST


if __name__ == "__main__":
    for path in sorted(ROOT.glob("yashe/**/*.py")) + sorted(ROOT.glob("nn/**/*.py")):
        if path not in FOR_GPUS | {DEVICES}:
            for number, line in lines_with_helpers(path).items():
                print(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    print(*count())
