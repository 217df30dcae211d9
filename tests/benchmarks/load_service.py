"""A service under load, and killed in the middle: is every accepted job answered?

    python tests/benchmarks/load_service.py [--model digits] [--clients 6] [--jobs 3]

Starts `cryptonets serve` on loopback with a short queue, lets several clients send more jobs than
it takes, kills it with SIGKILL while a job is being computed, starts it again on the same folder,
and waits. Every reply is decrypted and compared with the integer network in the clear. Prints what
became of every job, how often a client was told to come back later, and the memory of the server.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from nn.commands.options import load_model  # noqa: E402
from nn.networks.model import Sequential  # noqa: E402
from nn.service import roles  # noqa: E402
from nn.service.card import ModelCard  # noqa: E402
from nn.service.client import Client, ServiceError  # noqa: E402
from yashe.schemes.bgv import BGV  # noqa: E402

QUEUED = 4  # places in the queue of the server


@dataclass
class Findings:
    """What the clients have found, under one lock."""

    answered: int = 0
    wrong: int = 0
    failed: list[str] = field(default_factory=list)
    refused: int = 0
    latencies: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class CountingClient(Client):
    """A client that counts how often the server was full."""

    def __init__(self, url: str, findings: Findings) -> None:
        super().__init__(url, patience=1800)
        self._findings = findings

    def _once(self, *arguments: Any) -> Any:
        answer = super()._once(*arguments)
        if answer.status == 503:
            with self._findings.lock:
                self._findings.refused += 1
        return answer


class Server:
    """The server as a process of its own, with a thread that samples its memory."""

    def __init__(self, model: str, folder: Path, port: int) -> None:
        self.command = [
            *(sys.executable, "-m", "nn", "serve", "--model", model, "--state", str(folder)),
            *("--port", str(port), "--max-queued", str(QUEUED)),
        ]
        self.peaks: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for nothing: the clients are patient."""
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.DEVNULL)
        self.peaks.append(0)
        threading.Thread(target=self._sample, args=(self.process,), daemon=True).start()

    def _sample(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            try:
                text = Path(f"/proc/{process.pid}/status").read_text("ascii")
            except OSError:
                return
            line = next((line for line in text.splitlines() if line.startswith("VmHWM")), None)
            if line is not None:
                self.peaks[-1] = max(self.peaks[-1], int(line.split()[1]) * 1024)
            time.sleep(0.2)

    def end(self, number: signal.Signals) -> float:
        """Send it a signal, and return how many seconds it took to end."""
        assert self.process is not None
        start = time.monotonic()
        self.process.send_signal(number)
        self.process.wait()
        return time.monotonic() - start


def be_a_client(
    number: int, url: str, model: Sequential, jobs: int, images: int, found: Findings
) -> None:
    """Send jobs one after the other, each with other images, and check every logit."""
    client = CountingClient(url, found)
    card = ModelCard.of(model)
    keys = BGV(card.params).keygen()
    generator = np.random.default_rng(number)
    with tempfile.TemporaryDirectory() as name:
        for i in range(jobs):
            pixels = generator.integers(
                0, card.levels + 1, (images, *card.input_shape), dtype=np.int64
            )
            sent, received = Path(name) / f"{i}.in", Path(name) / f"{i}.out"
            with sent.open("wb") as file:
                roles.encrypt(file, card, keys.secret, pixels, card.levels)
            start = time.monotonic()
            try:
                job = client.submit(client.register(keys.relinearization), sent)
                client.wait(job)
                with received.open("w+b") as file:
                    client.reply(job, file)
                    file.seek(0)
                    logits = roles.decrypt(file, card, keys.secret, images)
            except ServiceError as error:
                with found.lock:
                    found.failed.append(str(error))
                continue
            right = np.array_equal(logits, model.forward(pixels))
            with found.lock:
                found.answered += right
                found.wrong += not right
                found.latencies.append(time.monotonic() - start)


def main() -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description="A service under load, and killed in the middle.")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--jobs", type=int, default=3, help="for each client")
    parser.add_argument("--images", type=int, default=100, help="in each job")
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, model, found = f"http://127.0.0.1:{port}", load_model(arguments.model), Findings()
    with tempfile.TemporaryDirectory() as name:
        server = Server(arguments.model, Path(name), port)
        begin = time.monotonic()
        server.start()
        clients = [
            threading.Thread(
                target=be_a_client,
                args=(i, url, model, arguments.jobs, arguments.images, found),
            )
            for i in range(arguments.clients)
        ]
        for client in clients:
            client.start()
        watcher, wanted = Client(url, patience=600), min(QUEUED, arguments.clients)
        while True:  # until something is being computed and the queue is full
            health = watcher.health()
            if health["running"] and health["running"] + health["queued"] >= wanted:
                break
            if not any(client.is_alive() for client in clients):
                sys.exit(f"all clients ended before {wanted} jobs met: {found.failed[:2]}")
            time.sleep(0.05)
        server.end(signal.SIGKILL)
        time.sleep(1)
        server.start()
        for client in clients:
            client.join()
        seconds = time.monotonic() - begin
        ending = server.end(signal.SIGTERM)
        jobs = Path(name) / "jobs"
        left = len(list(jobs.glob("*.in")))
        attempts = [json.loads(path.read_text("utf-8"))["attempts"] for path in jobs.glob("*.json")]
    total = arguments.clients * arguments.jobs
    lost = total - found.answered - found.wrong - len(found.failed)
    peaks = " and ".join(f"{peak / 2**20:.0f} MiB" for peak in server.peaks)
    print(f"model                    {arguments.model}, {os.cpu_count()} cores")
    print(f"killed with              {health['running']} running, {health['queued']} queued")
    print(f"jobs                     {total} from {arguments.clients} clients")
    print(f"answered, logits right   {found.answered}")
    print(f"answered, logits wrong   {found.wrong}")
    print(f"reported as failed       {len(found.failed)} {found.failed[:2] or ''}")
    print(f"lost                     {lost}")
    print(f"begun twice              {sum(attempt > 1 for attempt in attempts)}")
    print(f"unfinished on the disk   {left}")
    print(f"told to come later       {found.refused} times")
    print(f"seconds                  {seconds:.0f}, {total / seconds * 3600:,.0f} jobs per hour")
    print(f"latency                  median {np.median(found.latencies):.0f} s")
    print(f"peak memory of server    {peaks} (before and after the kill)")
    print(f"stopped after SIGTERM    {ending:.1f} s")


if __name__ == "__main__":
    main()
