"""The whole experiment in batches, or image by image: what client and server do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from nn.cluster.coordinator import Crew, predict
from nn.cluster.runs import runs
from nn.experiment.result import Story
from nn.experiment.terminal import bar
from nn.inference.encrypted import Report, decrypt_logits, encrypt_images, infer
from nn.inference.replies import reply_of
from nn.planning.plan import Plan
from yashe.arithmetic.parallel import watched
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.schemes.base import Scheme

FRESH_SAMPLE = 16  # fresh ciphertexts whose noise is measured; measuring all takes seconds


def run_batches(
    plan: Plan, scheme: Scheme, pixels: IntArray, story: Story, crew: Crew | None, device: str
) -> IntArray:
    """Return the logits of images, classified as `nn.experiment.run` does it in mode "batch"."""
    with story.timed("keys"):
        keys = scheme.keygen()
    story.tell("client  makes keys", story.seconds["keys"])
    sides = Sides(plan, scheme, keys, plan.server_keys(keys), story, device)
    if sides.server_key is None:
        story.tell("server  needs no key")
    n = plan.params.n
    batches = [pixels[start : start + n] for start in range(0, len(pixels), n)]
    # With `map` nobody holds on to a batch, half a gigabyte, while the next one is encrypted.
    images = map(sides.encrypt, batches)
    if crew is None:
        replies: Iterator[Ciphertext] = map(sides.classify, images)
    else:
        replies = sides.classify_with(crew, images, len(batches), len(pixels))
    pairs = zip(replies, batches, strict=True)
    return np.concatenate([sides.decrypt(reply, len(batch)) for reply, batch in pairs])


def run_single(plan: Plan, pixels: IntArray, story: Story, processes: int, device: str) -> IntArray:
    """Return the logits of images, classified as `nn.experiment.run` does it in mode "single".

    Parameters
    ----------
    plan : for one image at once
    pixels : the images
    story : of the run; its times are sums over all images
    processes : how many there may be; with two or more, one for each run, but on a GPU
    device : where the server computes
    """
    logits = list[IntArray]()
    with ExitStack() as stack:
        with story.timed("keys"):
            both = stack.enter_context(runs(plan, processes, device))
        story.tell("client  makes keys", story.seconds["keys"])
        done = stack.enter_context(bar("one by one", len(pixels), "images"))
        for image in np.split(pixels, len(pixels)):
            with story.timed("encrypt"):
                both.encrypt(image)
            with story.timed("infer"):
                steps = both.infer()
            with story.timed("decrypt"):
                logits.append(both.decrypt())
            done(1 / len(pixels))
            if len(logits) == 1:
                for step in steps:
                    story.tell(f"server  {step.what}", step.seconds, step.budget_bits, "or more")
        budgets = both.budgets()
    story.budgets |= {"fresh": budgets.fresh, "final": budgets.final}
    for verb in ("client  encrypt", "server  infer", "client  decrypt"):
        story.tell(f"{verb}, an image", story.seconds[verb.split()[1]] / len(pixels))
    return np.concatenate(logits)


@dataclass
class Sides:
    """Client and server of one run; everything that they do is told.

    Attributes
    ----------
    plan, scheme, keys : of the run
    server_key : what the server has of the keys, which is nothing for many networks
    story : of the run
    device : where the server computes
    images : how many the last batch has
    first_seconds : that the encryption of the first batch has taken
    """

    plan: Plan
    scheme: Scheme
    keys: Any = field(repr=False)
    server_key: Any = field(repr=False)
    story: Story
    device: str
    images: int = 0
    first_seconds: float = 0.0

    def encrypt(self, batch: IntArray) -> Ciphertext:
        """Client: return a batch of images encrypted."""
        self.images, pixels = len(batch), batch[0].size
        with (
            self.story.timed("encrypt") as so_far,
            bar("encrypting", pixels, "ciphertexts") as done,
            watched(lambda: done(1 / pixels)),
        ):
            ct = encrypt_images(self.scheme, self.plan, batch, self.keys.encryption)
            seconds = so_far()
        self.first_seconds = self.first_seconds or seconds
        left = self.scheme.noise_budget(ct.reshape(-1)[:FRESH_SAMPLE], self.keys.secret)
        what = f"client  encrypts {len(batch)} images in {ct.size} ciphertexts"
        self.story.measured("fresh", what, left, seconds)
        self.story.tell(f"        which take {ct.nbytes / 2**20:.0f} MiB of memory")
        return ct

    def classify(self, ct: Ciphertext) -> Ciphertext:
        """Server: return the reply to an encrypted batch, computed in this process."""
        with self.story.timed("infer"), bar("inferring", self.images, "images") as done:
            report = Report(progress=done)
            logits = infer(self.scheme, self.plan, ct, self.server_key, report, device=self.device)
            reply = reply_of(self.scheme, logits)
        for step in report.steps:
            self.story.tell(f"server  {step.what}", step.seconds, step.budget_bits, "predicted")
        self.tell_reply(logits, reply)
        return reply

    def classify_with(
        self, crew: Crew, batches: Iterator[Ciphertext], count: int, images: int
    ) -> Iterator[Ciphertext]:
        """Server: yield the replies to `count` encrypted batches of images, computed by a crew.

        Where there are more workers than batches, every batch is computed in parts. The crew
        computes while the client encrypts, so that its time is that of both, from the first batch
        on, without the encryption of that one.
        """
        parts, seconds = max(1, crew.size // count), self.story.seconds
        begin = perf_counter()
        with bar("inferring", images, "images") as done:
            for logits in predict(
                self.plan.program.model,
                batches,
                self.server_key,
                crew.executor,
                parts=parts,
                in_flight=crew.size + 1,
                progress=lambda batches: done(batches / count),
            ):
                reply = reply_of(self.scheme, logits)
                seconds["infer"] = perf_counter() - begin - self.first_seconds
                self.tell_reply(logits, reply)
                yield reply
        self.story.tell(f"server  {crew.name}, parts of a batch: {parts}", seconds["infer"])

    def tell_reply(self, logits: Ciphertext, reply: Ciphertext) -> None:
        """Tell how small a reply is, and the noise of its logits, which only their owner can."""
        left = self.scheme.noise_budget(logits, self.keys.secret)
        size = reply.size * reply.rows.shape[1] * reply.params.n * reply.params.log2_q / 2**23
        what = f"server  replies modulo {reply.params.k} of {self.scheme.params.k} primes"
        self.story.measured("final", f"{what}, {size:.1f} MiB", left)

    def decrypt(self, reply: Ciphertext, images: int) -> IntArray:
        """Client: return the logits of that many images."""
        with self.story.timed("decrypt") as so_far:
            logits = decrypt_logits(self.scheme, reply, self.keys.secret, images)
            seconds = so_far()
        left = float(self.scheme.noise_budget(reply, self.keys.secret).min())
        what = f"client  decrypts {reply.size} ciphertexts"
        self.story.tell(what, seconds, left, "measured")
        return logits
