"""What a client has to know about a network that it cannot see: its model card.

The card says how images or rows of a table have to be prepared, which parameters the keys need, and
what the answers mean. It is JSON that comes from a server, so it is read like a stranger's file.
The weights are not in it. There is a card for batches of images and one for one image at once; a
server's `Offer` has both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nn.inference.flooding import needed_spare
from nn.networks.base import Shape
from nn.networks.checks import check_facts, json_object
from nn.networks.model import Sequential
from nn.networks.schema import Schema
from nn.packing.layout import Layout
from nn.packing.network import Packing
from nn.packing.stages import MOST_MATRICES
from nn.planning.plan import MODES, SPARE_BITS, make_plan
from nn.planning.planned import Plan
from nn.planning.single import KeyPlan, Levels, PackedProgram, runs
from nn.service.frames import frame_names
from yashe.ciphertexts.gadgets import Gadget
from yashe.errors import FheError, FormatError, NoiseBudgetExhausted, ParameterError, SecurityError
from yashe.parameters.sets import Params
from yashe.wire.header import MOST_AXES

LARGEST_CARD_BYTES = 2**19  # names and ends of 1,024 columns
LARGEST_SIDE = 4096
BOTH = "both"  # modes of a server
LARGEST_N = 16384  # that a plan takes


@dataclass(frozen=True)
class SingleCard:
    """What a client has to know for one image at once (`nn.packing`).

    Attributes
    ----------
    pixels : for every tap, which pixel it reads at each position, -1 for none
    slot_classes : C, of the layout
    answered : whether the logits come in a polynomial
    coarse, digit, fine_stages : how many primes the one coarse digit has, and fine digits, and how
        many stages of the fold take these; see `nn.planning.single.Levels`
    between : how many numbers each matrix puts out that is not the first and not the last one
    """

    pixels: tuple[tuple[int, ...], ...]
    slot_classes: int
    answered: bool
    coarse: int
    digit: int
    fine_stages: int
    between: tuple[int, ...]

    @classmethod
    def parsed(cls, facts: dict[str, Any], shape: tuple[int, ...], params: Params) -> SingleCard:
        """Return it from a stranger's JSON; ValueError if its numbers do not belong together."""
        numbers = {"slot_classes": int, "coarse": int, "digit": int, "fine_stages": int}
        check_facts(facts, {"pixels": list, "answered": bool, "between": list, **numbers})
        rows, size, n = facts["pixels"], math.prod(shape), params.n
        if not rows or len({len(row) if type(row) is list else -1 for row in rows}) != 1:
            raise ValueError("taps of different lengths")
        if not all(type(x) is int and -1 <= x < size for row in rows for x in row):
            raise ValueError("taps that read no pixel of the image")
        between = facts["between"]
        if not all(type(x) is int and 0 < x <= n // 2 for x in between):
            raise ValueError("matrices of sizes that are none")
        if len(between) > (MOST_MATRICES - 2) * facts["answered"]:
            raise ValueError(f"{len(between)} matrices between the first and the last one")
        found = cls(**{**facts, "pixels": tuple(map(tuple, rows)), "between": tuple(between)})
        c, positions = found.slot_classes, len(rows[0])
        if not (0 < c <= n // 2 and c & (c - 1) == 0 and 0 < positions <= n):
            raise ValueError(f"{positions} positions and {c} classes in {n} slots")
        stages = len(Layout(n, positions, c).folds)
        if not (0 < found.coarse <= params.k and 0 < found.digit <= params.k):
            raise ValueError("levels that the parameters do not have")
        if not 0 <= found.fine_stages <= stages:
            raise ValueError(f"{found.fine_stages} of {stages} stages")
        return found


@dataclass(frozen=True)
class ModelCard:
    """A network as its clients see it.

    Attributes
    ----------
    name : of the network
    input_shape : of an image, e.g. (28, 28, 1)
    levels : pixels are integers 0..levels (`nn.training.quantize.quantize_pixels`)
    classes : how many logits there are for each image
    params : the parameters under which the network has been proved to run
    schema : how raw columns become integers, and what the logits stand for
    needs_keys : whether a server has to be given evaluation keys (`nn.planning.program`)
    single : for one image at once, how it fills the slots; then every prime of t is a run
    """

    name: str
    input_shape: tuple[int, ...]
    levels: int
    classes: int
    params: Params
    schema: Schema
    needs_keys: bool = True
    single: SingleCard | None = None

    @property
    def mode(self) -> str:
        """What it is for: "batch" or "single"."""
        return "batch" if self.single is None else "single"

    @property
    def runs(self) -> tuple[Params, ...]:
        """The parameters of every run; one, but for one image at once."""
        return (self.params,) if self.single is None else runs(self.params)

    @property
    def batch(self) -> int:
        """How many images are sent together: one for each slot, or a single one."""
        return self.params.n if self.single is None else 1

    @property
    def inputs(self) -> Shape:
        """Shape of the ciphertexts that carry a batch."""
        return self.input_shape if self.single is None else (len(self.single.pixels),)

    @property
    def outputs(self) -> Shape:
        """Shape of the ciphertexts that carry the logits of a batch."""
        return (self.classes if self.single is None else 1,)

    @property
    def frames(self) -> list[str]:
        """Names of the frames in a file of images or replies; none if the file is a frame."""
        return [] if self.single is None else frame_names(len(self.runs))

    @property
    def packing(self) -> Packing | None:
        """How one image fills the slots; None in a batch."""
        if self.single is None:
            return None
        part, pixels = self.single, np.array(self.single.pixels, dtype=np.int64)
        layout = Layout(self.params.n, pixels.shape[1], part.slot_classes)
        return Packing(pixels, layout, self.classes, part.answered, part.between)

    @property
    def key_plan(self) -> KeyPlan:
        """Which keys a server needs for one image at once."""
        part, packing = self.single, self.packing
        assert part is not None
        assert packing is not None
        levels = Levels(self.params.k, part.coarse, Gadget(part.digit), part.fine_stages)
        return KeyPlan(packing, levels)

    @classmethod
    def of(
        cls,
        model: Sequential,
        public: bool = False,
        flood_bits: int = 0,
        mode: str = "batch",
        relinearize: bool | None = None,
    ) -> ModelCard:
        """Plan a network and return its card.

        Parameters
        ----------
        model : integer network
        public : for parameters that leave room for encryption with the public key
        flood_bits : for parameters that leave room for this much flooding (`nn.inference.flooding`)
        mode : "batch", or "single" for one image at once, which does not flood
        relinearize : for batches, of `make_plan`

        Raises
        ------
        ParameterError
            If one image at once is to be flooded, or encrypted with a public key.
        RangeError, NoiseBudgetExhausted
            If it cannot run encrypted.
        """
        if mode == "single":
            if public or flood_bits:
                raise ParameterError(
                    "one image at once is encrypted with the secret key, and its parameters leave "
                    "no room to flood the reply: take mode 'batch'"
                )
            return cls.of_plan(make_plan(model, mode=mode))
        coefficients = math.prod(model.output_shape) * LARGEST_N
        spare = needed_spare(flood_bits, coefficients, LARGEST_N) if flood_bits else SPARE_BITS
        return cls.of_plan(
            make_plan(model, public=public, spare_bits=spare, relinearize=relinearize)
        )

    @classmethod
    def of_plan(cls, plan: Plan) -> ModelCard:
        """Return the card of a network that has been planned."""
        model, program, part = plan.program.model, plan.program, None
        name, classes = model.info.name or "unnamed", model.output_shape[-1]
        params = plan.params
        if isinstance(program, PackedProgram):
            packing, levels = program.network.packing, program.keys.levels
            classes = packing.outputs
            part = SingleCard(
                tuple(map(tuple, packing.pixels.tolist())),
                packing.layout.classes,
                packing.answered,
                levels.gadgets[1].size,
                levels.gadget.size,
                levels.fine_stages,
                packing.between,
            )
            moduli = tuple(run.params.t for run in plan.runs)
            params = replace(params, plaintext_moduli=moduli)
        schema = model.schema or Schema.plain(classes)
        facts = model.input_shape, plan.levels, classes, params, schema, program.needs_keys
        return cls(name, *facts, part)

    def to_json(self) -> str:
        """Return the card as text."""
        facts = asdict(self)
        if self.single is None:
            del facts["single"]
        return json.dumps(facts, indent=None if self.single else 1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, insecure: bool = False) -> ModelCard:
        """Read a card.

        Parameters
        ----------
        text : from anybody
        insecure : whether parameters without a security claim are accepted

        Raises
        ------
        FormatError
            If it is not a card.
        SecurityError
            If its parameters claim no security: whoever encrypts under them shows the images.
        """
        try:
            card = cls._parsed(json_object(text, LARGEST_CARD_BYTES))
        except (ValueError, TypeError, OverflowError, FheError) as error:
            raise FormatError(
                f"a model card was required, got something else: {type(error).__name__}: "
                f"{str(error)[:500]}"
            ) from error
        if card.params.security is None and not insecure:
            raise SecurityError(
                f"the model card asks for {card.params.name}, which claims no security: "
                "keys of 128 bits or more are made for real images"
            )
        return card

    @classmethod
    def _parsed(cls, facts: dict[str, Any]) -> ModelCard:
        """Return the card of parsed JSON; whatever is wrong is some kind of Python's errors."""
        known = {"name": str, "input_shape": list, "levels": int, "classes": int}
        known |= {"params": dict, "schema": dict, "needs_keys": bool}
        part = {"single": dict} if "single" in facts else {}
        check_facts(facts, {**known, **part})
        given, claims = facts["params"], facts["params"].get("security") is not None
        numbers = {"n": int, "moduli": list, "plaintext_moduli": list}
        check_facts(given, {"name": str, **numbers, "security": int if claims else type(None)})
        shape = tuple(facts["input_shape"])
        if not 0 < len(shape) < MOST_AXES:
            raise ValueError(f"an image of {len(shape)} axes")
        if not all(type(side) is int and 0 < side <= LARGEST_SIDE for side in shape):
            raise ValueError(f"an image of shape {shape}")
        levels, classes = facts["levels"], facts["classes"]
        if not all(0 < number < 2**31 for number in (levels, classes, given["n"])):
            raise ValueError(f"numbers {(levels, classes, given['n'])}")
        moduli = tuple(given["moduli"]), tuple(given["plaintext_moduli"])
        if not (0 < len(moduli[0]) <= 64 and 0 < len(moduli[1]) <= 4):
            raise ValueError("more moduli than anybody needs")
        if not all(type(p) is int and 2 < p < 2**24 for p in moduli[0] + moduli[1]):
            raise ValueError("moduli that are not between 2 and 2^24")
        params = Params(given["name"], given["n"], *moduli, given["security"])
        single = SingleCard.parsed(facts["single"], shape, params) if part else None
        schema = Schema.from_json(facts["schema"])
        schema.check(shape, classes)
        if single and not facts["needs_keys"]:
            raise ValueError("one image at once without keys")
        name, needs_keys = facts["name"], facts["needs_keys"]
        return cls(name, shape, levels, classes, params, schema, needs_keys, single)


@dataclass(frozen=True)
class Offer:
    """What a server does: a card for each mode, among which its clients choose.

    Attributes
    ----------
    cards : by mode, "batch" and "single", or one of the two
    batch_from : from how many images on a batch is less work for the server
    """

    cards: Mapping[str, ModelCard]
    batch_from: int

    @classmethod
    def of(cls, model: Sequential, mode: str = BOTH) -> Offer:
        """Plan a network for one mode or for both, or for the one that can carry it.

        Parameters
        ----------
        model : integer network
        mode : "batch", "single" or "both"

        Raises
        ------
        ParameterError, RangeError, NoiseBudgetExhausted
            If it cannot run encrypted, for the first of the modes.
        """
        plans, refused = dict[str, Plan](), list[FheError]()
        for each in MODES[:2] if mode == BOTH else (mode,):
            try:
                plans[each] = make_plan(model, mode=each)
            except (ParameterError, NoiseBudgetExhausted) as error:
                refused.append(error)
        if not plans:
            raise refused[0]
        work = [sum(run.program.effort for run in plan.runs) for plan in plans.values()]
        cards = {each: ModelCard.of_plan(plan) for each, plan in plans.items()}
        return cls(cards, max(1, math.ceil(work[0] / work[-1])))

    def card(self, mode: str = "auto", images: int = 1) -> ModelCard:
        """Return the card for so many images.

        Parameters
        ----------
        mode : "batch", "single", or "auto" for what is less work

        Raises
        ------
        ParameterError
            If the server does not offer this mode.
        """
        if mode == "auto" and len(self.cards) == 1:
            (mode,) = self.cards
        elif mode == "auto":
            mode = "single" if images < self.batch_from else "batch"
        if mode not in self.cards:
            offered = ", ".join(self.cards)
            raise ParameterError(f"the server offers mode {offered}; {mode!r} was asked for")
        return self.cards[mode]

    def facts(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        cards = {mode: json.loads(card.to_json()) for mode, card in self.cards.items()}
        return {"cards": cards, "batch_from": self.batch_from}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Offer:
        """Read it from a stranger's JSON.

        Raises
        ------
        FormatError, SecurityError
            As from `ModelCard.from_json`.
        """
        found, batch_from = facts.get("cards"), facts.get("batch_from")
        if not isinstance(found, dict) or not found or type(batch_from) is not int:
            raise FormatError("a server's offer was required: cards, and when a batch is less work")
        cards = {mode: ModelCard.from_json(json.dumps(card)) for mode, card in found.items()}
        if any(mode != card.mode for mode, card in cards.items()):
            raise FormatError(f"cards for the modes {', '.join(cards)[:99]} are those of others")
        return cls(cards, batch_from)
