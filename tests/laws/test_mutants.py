"""Every wrong implementation is found by the law that docs/laws.md names."""

import pytest

import mutants
from yashe import laws
from yashe.laws import law

ROWS = mutants.DOCUMENT.read_text(encoding="utf-8").partition(mutants.BEGIN)[2]
KILLERS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in ROWS.partition(mutants.END)[0].splitlines()[2:]
]
LAWS = {law.sentence: law for law in laws.LAWS}
MUTANTS = mutants.mutants()


@pytest.fixture
def as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no law shrink its counter-example, as if all were statistical: test_laws.py does."""
    monkeypatch.setattr(law, "FEW", max(each.examples for each in laws.LAWS))


def test_the_table_has_every_mutant_and_they_are_many() -> None:
    assert [row[:2] for row in KILLERS] == [(m.kind, m.mistake) for m in MUTANTS]
    assert len(MUTANTS) >= 30


@pytest.mark.parametrize(
    ("mutant", "sentence"),
    [(mutant, row[2]) for mutant, row in zip(MUTANTS, KILLERS, strict=True)],
    ids=[f"{mutant.kind}: {mutant.mistake}" for mutant in MUTANTS],
)
@pytest.mark.usefixtures("as_found")
def test_the_law_finds_the_mistake(mutant: mutants.Mutant, sentence: str) -> None:
    with pytest.raises(laws.LawBroken, match="smallest counter-example"):
        LAWS[sentence].check(mutant.implementation)


# Laws that others come before in the list, each with a mistake that it finds as well.
LATER = {
    "ntt_is_linear": "a constant is added: not linear",
    "ntt_multiplies": "the root has psi^n = 1 instead of -1: a cyclic transform",
    "one_is_neutral": "the product is taken in coefficient form, entry by entry",
    "multiplication_associates": "the product goes through a complex FFT in double precision",
    "multiplication_distributes": "the product goes through a complex FFT in double precision",
    "residues_are_a_ring": "compose leaves the last modulus out",
    "slots_add": "only one of the primes of t is used",
    "relinearised_products_add": "relinearisation throws the third part away",
    "relinearisation_can_wait": "the relinearisation key's digits are off by one",
    "a_full_turn_is_none": "the rotation key's digits are off by one",
    "rotation_commutes": "rotations turn to the right",
    "parts_do_not_show_the_message": "u is zero: the message stands in the open",
}


def test_every_law_finds_a_mistake_of_its_own() -> None:
    named = {LAWS[row[2]].name for row in KILLERS}
    assert named | LATER.keys() == {law.name for law in laws.LAWS}
    assert not named & LATER.keys()


@pytest.mark.parametrize(("name", "mistake"), LATER.items(), ids=LATER)
@pytest.mark.usefixtures("as_found")
def test_a_later_law_finds_a_mistake_as_well(name: str, mistake: str) -> None:
    later = next(law for law in laws.LAWS if law.name == name)
    mutant = next(mutant for mutant in MUTANTS if mutant.mistake == mistake)
    with pytest.raises(laws.LawBroken, match="smallest counter-example"):
        later.check(mutant.implementation)


@pytest.mark.slow
def test_the_table_names_the_first_law_that_finds_the_mistake() -> None:
    assert mutants.table() in mutants.DOCUMENT.read_text(encoding="utf-8")
