"""What a server accepts from strangers: keys and images of the modes that it offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from nn.planning.packed import ServerKeys
from nn.service import roles, single
from nn.service.card import ModelCard
from nn.service.limits import Limits
from yashe import wire
from yashe.arithmetic.sampling import SEED_BYTES
from yashe.ciphertexts.keys import BgvRelinearizationKey, Key
from yashe.errors import FormatError
from yashe.schemes.bgv import BGV
from yashe.wire.envelope import CIPHERTEXTS, FrameReader
from yashe.wire.header import KEY_FORMS, Contents, read_contents

# The keys that may be registered, by the kinds of their frames.
ACCEPTED_KEYS = {form.kind: form for form in KEY_FORMS if form.type is BgvRelinearizationKey}
SEVERAL_RUNS = 0  # instead of the kind of a frame: an archive of keys for one image at once


@dataclass(frozen=True)
class Accepted:
    """Keys and images for the cards of a network.

    Attributes
    ----------
    cards : by mode, with the only parameters that are accepted
    limits : of a job
    """

    cards: Mapping[str, ModelCard]
    limits: Limits

    def card(self, kind: int) -> ModelCard:
        """Return the card that keys of a kind are for.

        Raises
        ------
        FormatError
            If this mode is not offered.
        """
        mode = "single" if kind == SEVERAL_RUNS else "batch"
        if mode not in self.cards:
            raise FormatError(f"keys for mode {', '.join(self.cards)} are accepted, not for {mode}")
        return self.cards[mode]

    def largest_bytes(self) -> tuple[int, int, int]:
        """Return how many bytes a key, encrypted images and a reply take at most."""
        found = [largest_bytes(card, self.limits) for card in self.cards.values()]
        keys, jobs, replies = zip(*found, strict=True)
        return max(keys), max(jobs), max(replies)

    def check_key(self, file: BinaryIO) -> tuple[int, str]:
        """Return the kind of a key and the name of its set; `SEVERAL_RUNS` have several names.

        Raises
        ------
        FormatError, KeyMismatchError
            If it is no key of `ACCEPTED_KEYS`, nor an archive of keys, for the parameters of the
            network in a mode that is offered.
        """
        if single.is_archive(file) or "batch" not in self.cards:
            card = self.card(SEVERAL_RUNS)
            return SEVERAL_RUNS, single.key_ids(single.read_server_keys(file, card))
        params = self.cards["batch"].params
        contents = read_contents(FrameReader(file), params)
        file.seek(0)
        form = ACCEPTED_KEYS.get(contents.kind)
        wire.read(file, form.type if form else BgvRelinearizationKey, params)
        return contents.kind, contents.key_id

    def read_key(self, file: BinaryIO, kind: int) -> Key | list[ServerKeys]:
        """Return a key that has been accepted, or those of all runs.

        Raises
        ------
        FormatError
            If the file is damaged, or the mode is not offered any more.
        """
        card = self.card(kind)
        if card.single is not None:
            return single.read_server_keys(file, card)
        return wire.read(file, ACCEPTED_KEYS[kind].type, card.params)

    def check_images(self, file: BinaryIO, kind: int, key_id: str) -> None:
        """Refuse what is not worth queueing, also for a wrong hash.

        Parameters
        ----------
        kind, key_id : of the keys under which the images are encrypted

        Raises
        ------
        FormatError, KeyMismatchError
        """
        card, limits = self.card(kind), self.limits
        if card.single is not None:
            single.check_images(file, card, key_id, limits.images)
            return
        frame = FrameReader(file)
        contents = read_contents(frame, card.params)
        roles.check_images(contents, card.input_shape, key_id)
        if contents.shape[0] > limits.batches:
            raise FormatError(
                f"{contents.shape[0]} batches in one job, and at most {limits.batches} are "
                "accepted: send several jobs"
            )
        frame.verify()


def largest_bytes(card: ModelCard, limits: Limits) -> tuple[int, int, int]:
    """Return the bytes of `Accepted.largest_bytes` for one card."""
    if card.single is not None:
        return single.largest_bytes(card, limits.images)
    params = card.params
    heads = [
        Contents(kind, params, "0" * 32, rho=bytes(SEED_BYTES) if form.halves else b"")
        for kind, form in ACCEPTED_KEYS.items()
    ]
    heads += [
        Contents(CIPHERTEXTS, params, "0" * 32, BGV(params), 1, (limits.batches, *shape))
        for shape in (card.input_shape, (card.classes,))
    ]
    *keys, job, reply = (head.body_bytes + single.FRAME_BYTES for head in heads)
    return max(keys), job, reply
