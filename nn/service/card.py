"""What a client has to know about a network that it cannot see: its model card.

The card says how images or rows of a table have to be prepared, which parameters the keys need, and
what the answers mean. It is JSON that comes from a server, so it is read like a stranger's file.
The weights are not in it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from nn.inference.flooding import needed_spare
from nn.networks.checks import check_facts, json_object
from nn.networks.model import Sequential
from nn.networks.schema import Schema
from nn.planning.descent import promised_bits
from nn.planning.plan import SPARE_BITS, make_plan
from yashe.errors import FheError, FormatError, SecurityError
from yashe.parameters.sets import Params
from yashe.wire.header import MOST_AXES

LARGEST_CARD_BYTES = 2**19  # names and ends of 1,024 columns
LARGEST_SIDE = 4096
LARGEST_N = 16384  # that a plan takes


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
    """

    name: str
    input_shape: tuple[int, ...]
    levels: int
    classes: int
    params: Params
    schema: Schema

    @property
    def final_budget_bits(self) -> float:
        """Noise budget that the logits have at least: what is promised to all, in bits."""
        return promised_bits(self.params.n)

    @classmethod
    def of(cls, model: Sequential, public: bool = False, flood_bits: int = 0) -> ModelCard:
        """Plan a network and return its card.

        Parameters
        ----------
        model : integer network
        public : for parameters that leave room for encryption with the public key
        flood_bits : for parameters that leave room for this much flooding (`nn.inference.flooding`)

        Raises
        ------
        RangeError, NoiseBudgetExhausted
            If it cannot run encrypted.
        """
        coefficients = math.prod(model.output_shape) * LARGEST_N
        spare = needed_spare(flood_bits, coefficients, LARGEST_N) if flood_bits else SPARE_BITS
        plan = make_plan(model, public=public, spare_bits=spare)
        return cls(
            model.info.name or "unnamed",
            model.input_shape,
            model.info.levels,
            model.output_shape[-1],
            plan.params,
            model.schema or Schema.plain(model.output_shape[-1]),
        )

    def to_json(self) -> str:
        """Return the card as text."""
        return json.dumps(asdict(self), indent=1) + "\n"

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
        check_facts(
            facts,
            {
                "name": str,
                "input_shape": list,
                "levels": int,
                "classes": int,
                "params": dict,
                "schema": dict,
            },
        )
        given, claims = facts["params"], facts["params"].get("security") is not None
        check_facts(
            given,
            {
                "name": str,
                "n": int,
                "moduli": list,
                "plaintext_moduli": list,
                "security": int if claims else type(None),
            },
        )
        shape = tuple(facts["input_shape"])
        if not 0 < len(shape) < MOST_AXES:
            raise ValueError(f"an image of {len(shape)} axes")
        if not all(type(side) is int and 0 < side <= LARGEST_SIDE for side in shape):
            raise ValueError(f"an image of shape {shape}")
        numbers = facts["levels"], facts["classes"], given["n"]
        if not all(0 < number < 2**31 for number in numbers):
            raise ValueError(f"numbers {numbers}")
        moduli = tuple(given["moduli"]), tuple(given["plaintext_moduli"])
        if not (0 < len(moduli[0]) <= 64 and 0 < len(moduli[1]) <= 4):
            raise ValueError("more moduli than anybody needs")
        if not all(type(p) is int and 2 < p < 2**24 for p in moduli[0] + moduli[1]):
            raise ValueError("moduli that are not between 2 and 2^24")
        params = Params(given["name"], given["n"], *moduli, given["security"])
        schema = Schema.from_json(facts["schema"])
        schema.check(shape, facts["classes"])
        return cls(facts["name"], shape, facts["levels"], facts["classes"], params, schema)
