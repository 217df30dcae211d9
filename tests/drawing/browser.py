"""A browser without a window, driven through pipes in the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATH = next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of a browser; a context manager.

    Parameters
    ----------
    width, height : of the window, in pixels
    dark : whether the user prefers dark pages
    """

    def __init__(self, width: int, height: int, dark: bool = False) -> None:
        assert PATH is not None
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self._to_write = os.pipe()
        self._to_read, to_write = os.pipe()

        def plumb() -> None:
            """Give the browser what it reads as descriptor 3, and what it writes as 4."""
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]
            for number, end in enumerate(ends, 3):
                os.dup2(end, number)

        command = [
            PATH, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--remote-debugging-pipe", f"--user-data-dir={self._folder.name}",
            f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, pass_fds=(3, 4), stdout=quiet, stderr=quiet, preexec_fn=plumb
        )
        os.close(to_read)
        os.close(to_write)
        self._number, self._rest, self._session = 0, b"", {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=width < 500,
        )  # fmt: skip
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Network.enable")
        self.requests: list[str] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *reason: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to_read)
        os.close(self._to_write)
        self._folder.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result; requests that the page makes are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        os.write(self._to_write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while True:
            while b"\0" not in self._rest:
                if not select.select([self._to_read], [], [], max(0, end - time.monotonic()))[0]:
                    raise TimeoutError(method)
                piece = os.read(self._to_read, 2**16)
                if not piece:
                    raise EOFError(f"the browser has ended in {method}")
                self._rest += piece
            line, _, self._rest = self._rest.partition(b"\0")
            found = json.loads(line)
            if found.get("method") == "Network.requestWillBeSent":
                self.requests.append(found["params"]["request"]["url"])
            if found.get("id") == self._number:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result

    def open(self, url: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 120) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not self.value(condition):
            assert time.monotonic() < end, f"after {seconds} s not yet: {condition}"
            time.sleep(0.05)

    def stroke(self, element: str, points: list[tuple[float, float]]) -> None:
        """Draw with the mouse on an element; points are shares of its width and height."""
        self.value(f"document.getElementById('{element}').scrollIntoView({{block: 'center'}})")
        x, y, width, height = self.value(
            f"(b => [b.x, b.y, b.width, b.height])"
            f"(document.getElementById('{element}').getBoundingClientRect())"
        )
        places = [(x + width * a, y + height * b) for a, b in points]
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 2), "mouseReleased"]
        for kind, (left, top) in zip(kinds, places, strict=True):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=left, y=top, button="left", buttons=1,
                clickCount=1,
            )  # fmt: skip

    def key(self, name: str, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=name, **extra)

    def screenshot(self, path: Path) -> None:
        """Save what the window shows, as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))
