"""The process of a submission: it runs the cells, and then answers calls of what they define.

It knows no points, no student and no file; there is nothing in it that could be forged but its own
answers, and those are what is judged, in another process (`yashe.checks.grade`). Requests come as
lines on its standard input, answers go to what was its standard output; the submission's own
`print` and `input` meet an empty device.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NoReturn

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from yashe.checks.compare import MUTABLE, error_text
from yashe.checks.values import read, written

LARGEST_FILE = 64 << 20  # that a submission may write


class TimeLimitExceeded(BaseException):
    """Something took too long; no `except Exception` of a submission can stop it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the body after some seconds, where the system has alarms."""
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return

    def stop(*_: object) -> NoReturn:
        raise TimeLimitExceeded

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Run a submission and answer, until nobody asks any more."""
    requests, answers = _lines()
    start = json.loads(requests.readline())
    limit_resources(start["megabytes"], start["processes"])
    namespace: dict[str, Any] = {"__name__": "submission"}
    troubles = run_cells(start["programs"], namespace, start["seconds"])
    defined = [name for name in start["names"] if callable(namespace.get(name))]
    _send(answers, {"defined": defined, "troubles": troubles})
    desk = Desk(namespace)
    for line in requests:
        _send(answers, desk.answer(json.loads(line)))


def _lines() -> tuple[BinaryIO, BinaryIO]:
    """Return standard input and output, and put an empty device in their place."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    empty = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(empty, standard)
    return requests, answers


def _send(answers: BinaryIO, reply: dict[str, Any]) -> None:
    answers.write(json.dumps(reply).encode() + b"\n")
    answers.flush()


def limit_resources(megabytes: int, processes: int | None) -> None:
    """Limit memory, files, and the user's processes if they count, where the system can."""
    if resource is not None:
        if processes is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def run_cells(programs: list[str], namespace: dict[str, Any], seconds: float) -> list[list[str]]:
    """Run cells; return those that failed, as pairs of a cell's text and what happened.

    A cell that fails is passed over, so that one mistake does not cost everything behind it.
    """
    troubles = []
    try:
        with time_limit(seconds):
            for number, program in enumerate(programs):
                try:
                    exec(compile(program, f"cell {number}", "exec"), namespace)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a cell may raise anything
                    troubles.append([program, f"cell {number}: {error_text(error)}"])
    except TimeLimitExceeded:
        rest = "\n".join(programs[number:])
        troubles.append([rest, f"cell {number} was stopped after {seconds:g} seconds"])
    return troubles


class Desk:
    """Where calls are answered.

    A request is {"of", "name", "arguments"}: `of` is a name of the submission or the number of an
    object that it made before, `name` one of its attributes or empty, and `arguments` a list of
    values, or null if the attribute itself is asked for. The answer is {"value"} and {"changed"},
    the arguments that are not what they were; or {"callable"}, {"missing"}, or {"wrong"}.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}  # of objects, by their identity

    def keep(self, thing: Any) -> int:
        """Return the number of an object, which lives on here."""
        if id(thing) not in self.numbers:
            self.numbers[id(thing)] = len(self.objects)
            self.objects.append(thing)
        return self.numbers[id(thing)]

    def find(self, number: int, name: str) -> Any:
        """Return the object with a number."""
        return self.objects[number]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what a call gives, or what is wrong with it."""
        of, name = request["of"], request["name"]
        try:
            target = self.namespace[of] if isinstance(of, str) else self.objects[of]
            if name and not hasattr(target, name):
                return {"missing": True}
            target = getattr(target, name) if name else target
            if request["arguments"] is None:
                if callable(target):
                    return {"callable": True}
                return {"value": written(target, self.keep)}
            arguments = read(request["arguments"], self.find)
            mutable = [i for i, x in enumerate(arguments) if isinstance(x, MUTABLE)]
            before = [written(arguments[i], self.keep) for i in mutable]
            value = written(target(*arguments), self.keep)
            after = [written(arguments[i], self.keep) for i in mutable]
            pairs = zip(mutable, before, after, strict=True)
            changed = {str(i): new for i, old, new in pairs if old != new}
        except BaseException as error:  # noqa: BLE001 - and SystemExit: it is this call's affair
            return {"wrong": error_text(error)}
        return {"value": value, "changed": changed}


if __name__ == "__main__":
    main()
