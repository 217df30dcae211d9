"""One list of laws; the textbook and the engine keep all of them."""

import subprocess
import sys
from fractions import Fraction

import pytest
import subjects
from hypothesis import given
from hypothesis import strategies as st

from yashe import laws, strategies, textbook
from yashe.bfv import BFV
from yashe.errors import ParameterError
from yashe.laws import LawBroken
from yashe.params import INSECURE_TOY, Params
from yashe.primes import next_ntt_primes, ntt_primes
from yashe.sampling import SEED_BYTES
from yashe.yashe_prime import YASHE

# Enough of q for a product of YASHE' and a product of its noise; n small enough for the textbook.
SMALL = Params("INSECURE_SMALL", 8, ntt_primes(8, 4), (97, 113), security=None)
BOOK = textbook.Params(8, 97, SMALL.moduli)

IMPLEMENTATIONS = {
    "textbook transform": strategies.ntt_pairs().map(lambda x: subjects.TextbookTransform(*x)),
    "engine transform": strategies.ntt_pairs().map(lambda x: subjects.EngineTransform(*x[:2])),
    "textbook ring": subjects.TextbookRing(4, 2**20 + 7),
    "engine ring": subjects.EngineRing(8, SMALL.moduli[:2]),
    "textbook basis": strategies.rns_moduli().map(subjects.TextbookBasis),
    "engine basis": strategies.rns_moduli().map(subjects.EngineBasis),
    "engine extension": subjects.EngineRescaling(SMALL.moduli, ntt_primes(16, 3), Fraction(1)),
    "engine scaling up": subjects.EngineRescaling(
        SMALL.plaintext_moduli, SMALL.moduli, SMALL.delta
    ),
    "engine scaling down": subjects.EngineRescaling(
        SMALL.moduli, SMALL.plaintext_moduli, 1 / SMALL.delta
    ),
    "engine halving": subjects.EngineRescaling(SMALL.moduli, SMALL.moduli[:1], Fraction(1, 2)),
    "textbook digits in base 4": subjects.TextbookGadget(4, (97, 113), 4),
    "textbook digits that are residues": subjects.TextbookGadget(4, (97, 113)),
    "engine digits": subjects.EngineGadget(8, SMALL.moduli),
    "textbook slots": subjects.TextbookSlots(8, (17, 97)),
    "engine slots": subjects.EngineSlots(SMALL),
    "textbook sampler": subjects.TextbookSampler(),
    "engine sampler": subjects.EngineSampler(),
    "textbook BFV": subjects.TextbookBFV(BOOK),
    "textbook YASHE'": subjects.TextbookYASHE(BOOK),
    "engine BFV": subjects.EngineScheme(BFV(SMALL)),
    "engine BFV with the secret key": subjects.EngineScheme(BFV(SMALL), with_secret=True),
    "engine YASHE'": subjects.EngineScheme(YASHE(SMALL)),
}


def cases() -> list[object]:
    return [
        pytest.param(law, implementation, id=f"{name}: {law.name}")
        for name, implementation in IMPLEMENTATIONS.items()
        for law in laws.laws_for(implementation)
    ]


@pytest.mark.parametrize(("law", "implementation"), cases())
def test_ours_keep_the_law(law: laws.Law, implementation: object) -> None:
    law.check(implementation, examples=20)


@pytest.mark.slow
@pytest.mark.parametrize(("law", "implementation"), cases())
def test_ours_keep_the_law_for_many_inputs(law: laws.Law, implementation: object) -> None:
    law.check(implementation)


def test_every_law_is_tried_and_named_once() -> None:
    names = [law.name for law in laws.LAWS]
    assert len(set(names)) == len(names)
    tried = {law for x in IMPLEMENTATIONS.values() for law in laws.laws_for(x)}
    assert tried == set(laws.LAWS)
