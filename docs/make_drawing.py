"""Draw a digit on the page of `cryptonets draw`, and take the picture of it for the README.

python docs/make_drawing.py     needs Chromium, and writes docs/images/draw.png
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from drawing.browser import Browser  # noqa: E402

THREE = [
    (0.3, 0.22), (0.42, 0.15), (0.58, 0.15), (0.66, 0.25), (0.62, 0.38), (0.48, 0.47), (0.62, 0.52),
    (0.7, 0.65), (0.64, 0.79), (0.5, 0.86), (0.36, 0.84), (0.28, 0.76),
]  # fmt: skip


def main() -> None:
    """Draw twice, as the first image is always slower, and take the picture of the second."""
    command = [sys.executable, "-m", "nn", "draw", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent) as program:
        assert program.stdout is not None
        lines = program.stdout.readline() + program.stdout.readline()
        url = re.findall(r"http://\S+", lines)[0]
        with Browser(1150, 780) as browser:
            browser.open(url)
            for _ in range(2):
                browser.value("clear()")
                browser.stroke("board", THREE)
                browser.until("document.getElementById('answer').textContent === '3'")
            browser.screenshot(HERE / "images" / "draw.png")
        program.terminate()


if __name__ == "__main__":
    main()
