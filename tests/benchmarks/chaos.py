"""A service among clients, kills, full disks and attackers: is every accepted job answered?

    python tests/benchmarks/chaos.py [--seconds 300] [--clients 8] [--seed 1]

Everything is on loopback and ends by itself. `cryptonets serve` runs as a process of its own, with
its state on a small disk: a tmpfs where we may mount one, otherwise a folder with a quota that the
server's process is made to keep. Meanwhile

    clients     send jobs through a proxy, wait, and compare every logit with the plain network
    proxy       cuts connections in the middle, in both directions
    killer      SIGKILL at any moment, and a new server
    filler      fills the disk for some seconds
    clock       the server's wall clock jumps by years, in both directions
    attackers   half heads, bodies of one byte, answers that nobody reads

At the end all of that stops, and the script asks what became of every job that was accepted (202).
Exit code 0: every one right or reported as failed, none lost; memory and disk within their bounds;
no file without an owner; and the service says that it is well. Otherwise 1, and what was wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from nn.networks.base import Linear  # noqa: E402
from nn.networks.layers import Dense, Flatten, Square  # noqa: E402
from nn.networks.model import ModelInfo, Sequential  # noqa: E402
from nn.service import roles  # noqa: E402
from nn.service.card import ModelCard  # noqa: E402
from nn.service.client import Answer, Client, ServiceError  # noqa: E402
from nn.service.state import BODIES  # noqa: E402
from yashe.schemes.bgv import BGV  # noqa: E402

QUEUED = 8
DISK_BYTES = 128 * 2**20
MEMORY_BYTES = 512 * 2**20  # of a server; the interpreter and its libraries take a fourth
CALM_SECONDS = 60.0  # for what has been accepted, once all else has stopped
TALK = b" HTTP/1.1\r\nHost: localhost\r\n"
SLOW = (  # half a head, a body of one byte, an answer that is not read
    b"GET /model" + TALK[:20],
    b"POST /keys" + TALK + b"Content-Length: 99999\r\n\r\n1",
    b"GET /model" + TALK + b"\r\n",
)

# The server's process, whose clock follows a file, and which keeps a quota if the disk has none.
SERVER = """
import errno, os, shutil, sys, time
from pathlib import Path
real, offset, folder, quota = time.time, Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
time.time = lambda: real() + float(offset.read_text() or 0)
def free():
    return quota - sum(path.stat().st_size for path in folder.rglob("*") if path.exists())
def fsync(descriptor, sync=os.fsync):
    if free() < 0:
        raise OSError(errno.ENOSPC, "No space left on device")
    sync(descriptor)
if quota:
    os.fsync = fsync
    shutil.disk_usage = lambda path: type("Usage", (), {"free": max(free(), 0)})
from nn.commands.main import main
sys.exit(main(sys.argv[4:]))
"""


def network() -> Sequential:
    """A network of two dense layers for images of 6x6 pixels 0..3; n = 4096 carries it."""
    layers = [Flatten(), Dense(12), Square(), Dense(4)]
    model = Sequential(layers, (6, 6, 1), info=ModelInfo(name="chaos", levels=3))
    generator = np.random.default_rng(8)
    for layer in model.layers:
        if isinstance(layer, Linear):
            layer.parameters = {
                key: generator.integers(-2, 3, value.shape, dtype=np.int64) | 1
                for key, value in layer.parameters.items()
            }
    return model


class Findings:
    """What everybody has seen, under one lock."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.open: dict[str, tuple[Any, Any]] = {}  # the accepted jobs: secret key, pixels
        self.wrong: list[str] = []
        self.seconds: list[float] = []
        self.lock = threading.Lock()

    def count(self, what: str) -> None:
        """Count something."""
        with self.lock:
            self.counts[what] += 1

    def say(self, what: str) -> None:
        """Note something that must not be."""
        with self.lock:
            self.wrong.append(what)


class CountingClient(Client):
    """A client that counts what the server answers."""

    def __init__(self, url: str, found: Findings, patience: float) -> None:
        super().__init__(url, patience=patience, timeout=10)
        self.found = found

    def _once(self, *request: Any) -> Answer:
        try:
            answer = super()._once(*request)
        except Exception:
            self.found.count("answers cut off")
            raise
        self.found.count(f"answers {answer.status}")
        return answer


class Server:
    """The server as a process of its own, and how much memory and disk it takes."""

    def __init__(self, folder: Path, disk: Path, quota: int, port: int) -> None:
        self.state, self.clock, self.port = disk / "state", folder / "clock", port
        self.clock.write_text("0")
        self.command = [
            *(sys.executable, "-c", SERVER, str(self.clock), str(disk), str(quota), "serve"),
            *("--model", str(folder / "model.npz"), "--state", str(self.state)),
            *("--port", str(port), "--workers", "1", "--max-batches", "1"),
            *("--max-queued", str(QUEUED), "--max-upload-seconds", "8"),
        ]
        self.log = folder / "log"
        self.memory = self.disk = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=environment, stdout=subprocess.DEVNULL, stderr=log
            )

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def look(self) -> None:
        """Note the memory and the disk that it takes; start a dead one, as an init system would."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        assert self.process is not None
        with contextlib.suppress(OSError):  # files come and go
            self.disk = max(self.disk, sum(p.stat().st_size for p in self.state.rglob("*")))
        with contextlib.suppress(OSError, IndexError):  # another system, or a dead process
            text = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
            self.memory = max(self.memory, int(text.split("VmHWM:")[1].split()[0]) * 1024)


class Proxy:
    """Passes bytes on, until it cuts a connection in the middle."""

    def __init__(self, port: int, chance: random.Random, found: Findings) -> None:
        self.target, self.chance, self.found, self.calm = port, chance, found, False
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self.listening.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                near.close()
                continue
            left = 2**40
            if not self.calm and self.chance.random() < 0.15:
                left = self.chance.choice((0, 20, 300, 50_000, 500_000))
                self.found.count("connections cut by the proxy")
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(*pair, left), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, left: int) -> None:
        with contextlib.suppress(OSError):
            source.settimeout(60)
            while left > 0 and (piece := source.recv(min(65536, left))):
                target.sendall(piece)
                left -= len(piece)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Chaos:
    """All that happens at the same time."""

    def __init__(self, server: Server, seed: int, seconds: float) -> None:
        self.server, self.found, self.chance = server, Findings(), random.Random(seed)
        self.proxy = Proxy(server.port, self.chance, self.found)
        self.url = f"http://127.0.0.1:{self.proxy.listening.getsockname()[1]}"
        self.model = network()
        self.card = ModelCard.of(self.model)
        self.end, self.ended = time.monotonic() + seconds, threading.Event()

    def run(self, clients: int) -> None:
        """Let everything happen until the end, then look what is left."""
        acts: list[tuple[Any, ...]] = [
            (self.watch,),
            (self.every, 4, 20, self.kill),
            (self.every, 10, 25, self.fill),
            (self.every, 2, 9, self.turn_clock),
            (self.every, 0, 3, self.attack),
            *((self.client, number) for number in range(clients)),
        ]
        threads = [threading.Thread(target=self.safely, args=act, daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads[1:]:
            thread.join(max(1, self.end + 3 * CALM_SECONDS - time.monotonic()))
            if thread.is_alive():
                self.found.say("somebody waits for ever")
        self.proxy.calm = True
        client = CountingClient(self.url, self.found, patience=CALM_SECONDS)
        for job in list(self.found.open):
            try:
                self.fetch(client, job)
                self.found.count("    of them only at the end")
            except ServiceError as error:
                if job in self.found.open:
                    self.found.say(f"lost: {error}")
        self.look_at_the_end(client)

    def watch(self) -> None:
        """Look after the server, also while the last jobs are fetched."""
        while not self.ended.wait(0.2):
            self.server.look()

    def safely(self, act: Callable[..., None], *values: Any) -> None:
        """Do something; an error that nobody should see is noted."""
        try:
            act(*values)
        except Exception as error:  # noqa: BLE001 - that is the question here
            self.found.say(f"{type(error).__name__}: {error}")

    # What goes wrong.

    def every(self, least: float, most: float, act: Callable[[], None]) -> None:
        """Do something again and again, until the end."""
        while (left := self.end - time.monotonic()) > 0:
            time.sleep(min(self.chance.uniform(least, most), left))
            act()

    def kill(self) -> None:
        """Kill the server."""
        self.server.end(signal.SIGKILL)
        self.found.count("kills")

    def fill(self) -> None:
        """Fill the disk for some seconds."""
        ballast = self.server.state.parent / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            for _ in range(DISK_BYTES // 2**16):
                file.write(bytes(2**16))
        self.found.count("full disks")
        time.sleep(self.chance.uniform(2, 5))
        ballast.unlink()

    def turn_clock(self) -> None:
        """Let the server's clock jump by up to ten years."""
        self.server.clock.write_text(str(self.chance.uniform(-3e8, 3e8)))
        self.found.count("jumps of the clock")

    def attack(self) -> None:
        """Take more connections than one address may, and be slow; from another one if we can."""
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                with contextlib.suppress(OSError):
                    here = ("127.0.0.3" if sys.platform == "linux" else "127.0.0.1", 0)
                    one = socket.create_connection(("127.0.0.1", self.server.port), 5, here)
                    stack.enter_context(one)
                    one.sendall(self.chance.choice(SLOW))
                    self.found.count("slow connections")
            time.sleep(self.chance.uniform(1, 12))

    # The clients.

    def client(self, number: int) -> None:
        """Send jobs one after the other; every fifth is a question with keys of its own."""
        client = CountingClient(self.url, self.found, patience=30)
        keys = BGV(self.card.params).keygen()
        generator = np.random.default_rng(number)
        while time.monotonic() < self.end:
            shape = (int(generator.integers(1, 100)), *self.card.input_shape)
            pixels = generator.integers(0, self.card.levels + 1, shape, dtype=np.int64)
            try:
                if generator.integers(5) == 0:
                    logits = client.ask(pixels, self.card.levels, within=CALM_SECONDS)
                    self.check("a question", logits, pixels)
                    self.found.count("questions right")
                else:
                    self.job(client, keys, pixels)
            except ServiceError as error:
                self.found.count(f"clients told: {error.status or 'no answer in 30 s'}")

    def job(self, client: Client, keys: Any, pixels: Any) -> None:
        """Send one job; from the moment it is accepted, it is in the books."""
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            sent = Path(name) / "in"
            with sent.open("wb") as file:
                roles.encrypt(file, self.card, keys.secret, pixels, self.card.levels)
            job = client.submit(client.register(keys.relinearization), sent)
        with self.found.lock:
            self.found.counts["jobs accepted"] += 1
            self.found.open[job] = keys.secret, pixels
        self.fetch(client, job)
        self.found.seconds.append(time.monotonic() - start)

    def fetch(self, client: Client, job: str) -> None:
        """Get the reply of an accepted job, and compare; what has an end is out of the books."""
        secret, pixels = self.found.open[job]
        try:
            client.wait(job, within=CALM_SECONDS)
            with tempfile.TemporaryFile() as file:
                client.reply(job, file)
                file.seek(0)
                logits = roles.decrypt(file, self.card, secret, len(pixels))
        except ServiceError as error:
            if error.status == 410:
                del self.found.open[job]
                self.found.count("jobs reported as failed")
                reason = str(error).split("failed: ")[1]
                self.found.count(f"    {reason.split(': try')[0]}")
            raise
        self.check(job, logits, pixels)
        del self.found.open[job]
        self.found.count("jobs right")
        client.forget(job)

    def check(self, what: str, logits: Any, pixels: Any) -> None:
        """Compare logits with the plain network's."""
        if not np.array_equal(logits, self.model.forward(pixels)):
            self.found.say(f"wrong logits: {what}")

    # The end.

    def look_at_the_end(self, client: Client) -> None:
        """Check health, memory, disk, and that every file has an owner."""
        end = time.monotonic() + CALM_SECONDS
        health = client.health()
        while health["status"] != "ok" or health["queued"] or health["running"]:
            if time.monotonic() > end:
                self.found.say(f"not well at the end: {health}")
                break
            time.sleep(0.2)
            health = client.health()
        self.ended.set()
        if code := self.server.end(signal.SIGTERM):
            self.found.say(f"exit code {code} after SIGTERM")
        with contextlib.closing(sqlite3.connect(self.server.state / "state.db")) as database:
            jobs = database.execute("SELECT id, status FROM jobs").fetchall()
            keys = database.execute("SELECT id FROM keys").fetchall()
        owned = {f"{name}.key" for (name,) in keys}
        owned |= {name + suffix for name, status in jobs for suffix in BODIES[status]}
        there = {path.name for path in (self.server.state / "bodies").iterdir()}
        if there != owned:
            self.found.say(f"files without rows, or rows without files: {there ^ owned}")
        if self.server.memory > MEMORY_BYTES:
            self.found.say(f"{self.server.memory} bytes of memory")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[int]:
    """Mount a small disk at a folder, or say which quota has to be kept."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "chaos", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield 0 if mounted else DISK_BYTES
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def main() -> int:
    """Run it, and print what was found."""
    parser = argparse.ArgumentParser(description="A service among kills, full disks, attackers.")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder, disk = Path(name), Path(name) / "disk"
        disk.mkdir()
        network().save(folder / "model.npz")
        with small_disk(disk) as quota:
            server = Server(folder, disk, quota, port)
            chaos = Chaos(server, arguments.seed, arguments.seconds)
            try:
                chaos.run(arguments.clients)
            finally:
                if server.process is not None and server.process.poll() is None:
                    server.end(signal.SIGKILL)
        log = server.log.read_text("utf-8", "replace").splitlines()
    found = chaos.found
    kind = "a quota that the server keeps" if quota else "tmpfs"
    print(f"{arguments.seconds:g} s, {arguments.clients} clients, {os.cpu_count()} cores, {kind}")
    for what in sorted(found.counts, key=lambda what: what.startswith("answer")):
        print(f"{what:<50}{found.counts[what]:>8,}")
    print(f"{'jobs lost':<50}{sum(one.startswith('lost') for one in found.wrong):>8}")
    print(f"{'median seconds for a job':<50}{np.median(found.seconds or [0]):>8.1f}")
    print(f"{'peak memory of a server, MiB':<50}{server.memory / 2**20:>8.0f}")
    print(f"{f'peak of its files, MiB of {DISK_BYTES >> 20}':<50}{server.disk / 2**20:>8.0f}")
    faults = sum(line.startswith(("Traceback", "ERROR")) for line in log)
    print(f"{'tracebacks and errors in the log':<50}{faults:>8}")
    if not (found.wrong or faults):
        return 0
    print("\n".join(["", *found.wrong, *log[-40:]]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
