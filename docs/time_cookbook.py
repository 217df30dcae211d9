"""Run the programs of docs/cookbook.md, and print how many seconds of a core each takes.

python docs/time_cookbook.py            a table for the page
python docs/time_cookbook.py --fill     what the programs print is written into the page, too
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "cookbook.md"
PART = re.compile(r"^## (.+?)$|^```python\n(.*?)^```\n(```output\n.*?^```\n)?", re.M | re.S)


def main() -> None:
    """Print the table."""
    page, namespace, title = PAGE.read_text(encoding="utf-8"), {"__name__": "page"}, ""
    out, end = [], 0
    print("| program | seconds of a core |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for part in PART.finditer(page):
            title = part[1] or title
            if part[2] is None:
                continue
            start = time.process_time()
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(part[2], namespace)
            if title:
                print(f"| {title} | {time.process_time() - start:.1f} |", flush=True)
            if part[3] is not None:
                out += [page[end : part.start(3)], f"```output\n{printed.getvalue()}```\n"]
                end = part.end(3)
    if "--fill" in sys.argv[1:]:
        PAGE.write_text("".join([*out, page[end:]]), encoding="utf-8")


if __name__ == "__main__":
    main()
