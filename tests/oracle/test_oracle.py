"""The oracle is right where hands can check it, agrees with the package, and can disagree."""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import circuits
import judge
import logits
import networks
import oracle
import reader
import sums
from judge import LARGE, SCHEMES, SMALL, Outcome, WrongAnswer, params_of
from yashe import wire
from yashe.arithmetic import linear, ntt, rings
from yashe.arithmetic.sampling import TAIL, uniform
from yashe.ciphertexts import slots
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.noise import Bound
from yashe.schemes import bgv, rlwe
from yashe.wire import packed

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
MODULI, T = (41, 73), (17,)  # q = 2993
X = [0, 1, 0, 0]


@pytest.mark.parametrize("name", ["oracle", "reader", "logits"])
def test_the_oracle_imports_the_standard_library_and_numpy_only(name: str) -> None:
    tree = ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call):  # __import__, importlib.import_module
            assert "import" not in ast.unparse(node.func)
    assert found <= {*sys.stdlib_module_names, "numpy", "oracle"}


# Known answers, by hand


def test_psi_is_a_power_of_the_smallest_primitive_root() -> None:
    # The smallest primitive roots of 17, 41, 73 are 3, 6, 5; 3^2 = 9, 6^5 = 27, 5^9 = 10.
    assert [oracle.root_of_unity(4, p) for p in (17, 41, 73)] == [9, 27, 10]


def test_the_values_of_x_are_the_odd_powers_of_psi() -> None:
    # 27^2 = 32 and 27 * 32 = 3 modulo 41; psi^5 = -psi and psi^7 = -psi^3.
    assert oracle.evaluate(X, 41) == [27, 3, 14, 38]
    assert oracle.interpolate([27, 3, 14, 38], 41) == X


def test_x_cubed_times_x_is_minus_one() -> None:
    assert oracle.product([0, 0, 0, 5], [3, 7, 0, 0]) == [-35, 0, 0, 15]


def test_the_slots_of_x_are_powers_of_psi_with_exponents_1_5_minus_1_minus_5() -> None:
    # 9^5 = -9 = 8, 9 * 2 = 18 = 1 modulo 17.
    assert oracle.slots_of(X, T) == (-8, 8, 2, -2)
    # With two primes slot 0 of X is 9 modulo 17 and 27 modulo 41, hence -178 = 9 - 11 * 17.
    assert oracle.slots_of(X, (17, 41))[0] == -178
    assert oracle.slots_of([5, 0, 0, 0], T) == (5, 5, 5, 5)


def residues(*parts: list[int]) -> list[list[list[int]]]:
    """Coefficients as residues modulo 41 and 73."""
    return [[[c % p for c in part] for p in MODULI] for part in parts]


def test_a_ciphertext_of_bfv_is_read_as_by_hand() -> None:
    # q/t = 176.06, so the message X is 176 X. With s = X, c_1 = 1 + X, c_1 s = X + X^2 and the
    # error 2 the phase is 2 + 176 X; t times that is 34 + 2992 X = 34 - X modulo q.
    c_0 = [2, 175, -1, 0]
    found = oracle.read("BFV", 4, MODULI, T, residues(c_0, [1, 1, 0, 0]), X)
    assert found == oracle.Reading((-8, 8, 2, -2), Fraction(34, 2993))
    assert found.budget == pytest.approx(math.log2(2993 / 68))
    # A product has a third part, which s^2 = X^2 multiplies: the phase 2 + 176 X again.
    parts = residues([2, 175, -1, 3], [1, 1, 0, 0], [0, -3, 0, 0])
    assert oracle.read("BFV", 4, MODULI, T, parts, X, degree=2) == found


def test_a_ciphertext_of_bgv_is_read_as_by_hand() -> None:
    # s = X and c_1 = X, given by values; c_0 = 22 - X^2, so the phase is 22: factor 2 times m,
    # and 2 * 11 = 22 = 5 modulo 17, so m = 11 = -6.
    x = [[27, 3, 14, 38], [10, 51, 63, 22]]
    c_0 = [[(22 - v * v) % p for v in row] for row, p in zip(x, MODULI, strict=True)]
    found = oracle.read("BGV", 4, MODULI, T, [c_0, x], X, factor=2)
    assert found == oracle.Reading((-6, -6, -6, -6), Fraction(22, 2993))
    coefficients = residues([22, 0, -1, 0], X)
    assert oracle.read("BGV", 4, MODULI, T, coefficients, X, factor=2, values=False) == found


def test_a_ciphertext_of_yashe_is_read_as_by_hand() -> None:
    # f = 1 + 17 X and c = 176: f c = 176 + 2992 X = 176 - X, t times that is -1 - 17 X.
    f = [1, 17, 0, 0]
    found = oracle.read("YASHE'", 4, MODULI, T, residues([176, 0, 0, 0]), f)
    assert found == oracle.Reading((1, 1, 1, 1), Fraction(17, 2993))
    # f^2 = 1 + 34 X + 289 X^2: f^2 c = 176 - 2 X - 17 X^2, and 17 * 17 = 289.
    found = oracle.read("YASHE'", 4, MODULI, T, residues([176, 0, 0, 0]), f, degree=2)
    assert found == oracle.Reading((1, 1, 1, 1), Fraction(289, 2993))


def test_noise_that_is_zero_leaves_an_infinite_budget() -> None:
    assert oracle.read("BGV", 4, MODULI, T, np.zeros((2, 2, 4)), X).budget == math.inf


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        (np.zeros((2, 2, 5)), "shape"),
        (np.full((2, 2, 4), 0.5), "not an integer"),
        (np.full((2, 2, 4), 23.0), None),
        (np.full((2, 2, 4), -23.0), "not reduced"),
        (np.full((2, 2, 4), 41.0), "not reduced"),
        (np.zeros((3, 2, 4)), "3 parts in a ciphertext of degree 1"),
    ],
)
def test_residues_that_are_none_are_refused(parts: Any, match: str | None) -> None:
    if match is None:
        oracle.read("BFV", 4, MODULI, T, parts, X)
        return
    with pytest.raises(oracle.OracleError, match=match):
        oracle.read("BFV", 4, MODULI, T, parts, X)


@given(data=st.data())
def test_long_numbers_multiply_polynomials(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([4, 8]))
    coefficients = st.lists(st.integers(-(10**30), 10**30), min_size=n, max_size=n)
    a, b, c = data.draw(coefficients), data.draw(coefficients), [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            c[(i + j) % n] += x * y if i + j < n else -x * y
    assert oracle.product(a, b) == c


def test_logits_are_those_of_the_definition() -> None:
    # A kernel of 2 x 2 ones on [[1, 2], [3, 4]] with a border of zeros, bias 1: 11, 7, 8, 5.
    image = [[[1], [2]], [[3], [4]]]
    convolution = ("Conv2D", [[1]] * 4, [1], 2, 1, 1)
    assert logits.logits([convolution], image) == [11, 7, 8, 5]
    assert logits.logits([("MeanPool", 2), ("Square",)], image) == [100]
    dense = ("Dense", [[1, 0], [0, 1], [1, 0], [0, -1]], [0, 5])
    assert logits.logits([("Flatten",), dense], image) == [4, 3]


# The wire


def test_numbers_are_unpacked_as_the_document_packs_them() -> None:
    source = reader.Bytes(bytes.fromhex("41 0C 02"))
    assert source.numbers(4, 31) == [1, 2, 3, 4]


@pytest.mark.parametrize("data", ["41 8C 08", "41 0C 12"])  # 17 in place of 4; a 21st bit
def test_numbers_beyond_the_modulus_or_the_last_bit_are_refused(data: str) -> None:
    with pytest.raises(oracle.OracleError, match="no residue modulo 17, or bits behind"):
        reader.Bytes(bytes.fromhex(data)).numbers(4, 17)


def golden(name: str) -> reader.Frame:
    return reader.read_frame((VECTORS / f"{name}.fhe").read_bytes())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("bfv-fresh", [5, -8]),
        ("bfv-sum", [-3]),
        ("bfv-square", [8]),
        ("bgv-fresh", [5, -8]),
        ("bgv-sum", [-3]),
        ("bgv-square", [8]),
        ("bgv-switched", [8]),
        ("yashe-fresh", [5, -8]),
    ],
)
def test_the_golden_files_are_read(name: str, values: list[int]) -> None:
    key = reader.secret(golden(f"{name.partition('-')[0]}-secret"))
    found = reader.decrypt(golden(name), key)
    assert [reading.slots for reading in found] == [(x,) * 8 for x in values]
    assert all(reading.budget > 1 for reading in found)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("bfv-public", 1),
        ("bfv-relinearization", 4),
        ("bfv-rotations", 8),
        ("bfv-two-primes", 2),
        ("bgv-public", 1),
        ("bgv-relinearization", 4),
        ("bgv-rotations", 4),
        ("bgv-two-primes", 2),
    ],
)
def test_keys_hide_what_they_should_behind_small_errors(name: str, rows: int) -> None:
    key = reader.secret(golden(f"{name.partition('-')[0]}-secret"))
    assert set(key) <= {-1, 0, 1}
    errors = reader.key_errors(golden(name), key)
    assert len(errors) == rows
    assert all(0 < max(map(abs, e)) <= TAIL for e in errors)


def test_keys_of_yashe_hide_what_they_should_behind_small_errors() -> None:
    f = reader.secret(golden("yashe-secret"))
    assert [x % 17 for x in f] == [1] + [0] * 7  # f = t f' + 1
    (g,) = reader.key_errors(golden("yashe-public"), f)
    assert set(g) <= {-1, 0, 1}
    largest = TAIL * (sum(map(abs, f)) + 17 * sum(map(abs, g)))
    for e in reader.key_errors(golden("yashe-evaluation"), f):  # f e + t g s, e and s Gaussian
        assert 0 < max(map(abs, e)) <= largest
    rotations = reader.key_errors(golden("yashe-rotations"), f)  # with another g
    assert len(rotations) == 8
    assert all(0 < max(map(abs, e)) <= 4 * largest for e in rotations)


@pytest.mark.parametrize("at", [0, 8, 30, 60, 100, -1])
def test_a_frame_with_a_changed_byte_is_refused(at: int) -> None:
    data = bytearray((VECTORS / "bfv-fresh.fhe").read_bytes())
    data[at] ^= 1
    with pytest.raises(oracle.OracleError, match="no frame|hash is wrong"):
        reader.read_frame(bytes(data))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_secret_key_and_ciphertexts_are_read_from_their_files(
    scheme: str, tmp_path: Path
) -> None:
    package = SCHEMES[scheme](params_of("n=16, t=40 bits"))
    made = package.keygen(bytes(32))
    wire.save_secret_key(tmp_path / "secret", made.secret)
    key = reader.secret(reader.read_frame((tmp_path / "secret").read_bytes()))
    ct = package.encrypt([[1, -2, 3], [4, 5, -6]], made.encryption, bytes(32))
    for array, expected in ((ct, [(1, -2, 3), (4, 5, -6)]), (ct * ct, [(1, 4, 9), (16, 25, 36)])):
        frame = reader.read_frame(wire.to_bytes(array))
        assert frame.shape == (2,)
        assert [reading.slots[:3] for reading in reader.decrypt(frame, key)] == expected
    rotations = package.rotation_keys(made.secret, [3, "swap"], bytes(32))
    for public in (made.public, made.relinearization, rotations):
        largest = max(map(abs, key)) * 16 * TAIL * 2  # generous: f e + t g s for YASHE'
        for e in reader.key_errors(reader.read_frame(wire.to_bytes(public)), key):
            assert max(map(abs, e)) <= (TAIL if scheme != "YASHE'" else largest * 2)


# Circuits

SIDES = [
    f"{left} {sign} {right}"
    for sign in "+-*"
    for left in ("ct", "plaintext", "integer", "integers")
    for right in ("ct", "plaintext", "integer", "integers")
    if "ct" in (left, right)
]
EVERY_VERB = [
    *SIDES, "encrypt (own key)", "encrypt (public key)", "-ct", "ct @ W", "W @ ct", "affine",
    "square", "relinearize", "switch", "ready_for_product", "index", "reshape", "transpose",
    "rotate", "swap_rows", "rotations", "sum_slots", "concatenate", "wire", "ct + itself",
    "ct + plaintext + plaintext ...",
]  # fmt: skip


def run_all(scheme: str, names: Any, seeds: range, length: int) -> Outcome:
    outcome = Outcome()
    for name in names:
        for seed in seeds:
            outcome += circuits.run(scheme, name, seed, length)
    return outcome


def check_refusals(outcome: Outcome) -> None:
    """Most steps must be done, or nothing has been shown."""
    refused, done = sum(outcome.refused.values()), sum(outcome.done.values())
    assert refused < done / 8, outcome


@pytest.mark.parametrize("scheme", SCHEMES)
def test_random_circuits_give_what_integers_give(scheme: str) -> None:
    check_refusals(run_all(scheme, SMALL, range(1), 12))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_many_random_circuits_give_what_integers_give(scheme: str) -> None:
    outcome = run_all(scheme, SMALL, range(100, 120), 25)
    check_refusals(outcome)
    assert not {verb for verb in EVERY_VERB if outcome.done[verb] < 3}
    assert bool(outcome.done["wire (seeded)"]) == (scheme != "YASHE'")  # which has no seeds
    assert bool(outcome.done["convert"]) == (scheme != "YASHE'")  # BFV to BGV, or back
    assert outcome.done["aligned"] or scheme != "BGV"  # factors differ


@pytest.mark.slow
@pytest.mark.parametrize("params", LARGE)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_circuits_at_real_ring_degrees_give_what_integers_give(scheme: str, params: str) -> None:
    opening = ("pile", "multiply", "relinearize", "convert", "travel", "move")
    outcome = circuits.run(scheme, params, seed=1, length=4, opening=opening)
    check_refusals(outcome)
    assert all(outcome.done[verb] for verb in ("ct * ct", "relinearize", "wire"))


# Networks


def run_sums(scheme: str, seeds: range) -> None:
    outcome = Outcome()
    for name in SMALL:
        for seed in seeds:
            outcome += sums.run(scheme, name, seed)
    assert outcome.done.total() > 2 * outcome.refused.total(), outcome


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sums_of_squares_are_those_of_integers(scheme: str) -> None:
    run_sums(scheme, range(2))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_many_sums_of_squares_are_those_of_integers(scheme: str) -> None:
    run_sums(scheme, range(100, 120))


def run_networks(scheme: str, seeds: range) -> None:
    """A few are refused: those with an output whose weights are zero, or with too large a range."""
    assert sum(networks.run(scheme, seed) for seed in seeds) > len(seeds) * 2 / 3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_encrypted_logits_are_those_of_the_definition(scheme: str) -> None:
    run_networks(scheme, range(7))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_logits_of_many_networks_are_those_of_the_definition(scheme: str) -> None:
    run_networks(scheme, range(100, 200))


# The oracle can disagree: mistakes that somebody puts into the package are found, those among them
# with which the package agrees with itself.


def forgotten_factor(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bgv.BGV, "switched_factor", lambda self, factor, source: factor)


def optimistic_encryption(patch: pytest.MonkeyPatch) -> None:
    right = bgv.BGV.fresh_bound
    patch.setattr(bgv.BGV, "fresh_bound", lambda self, public: right(self, public) * 0.25)


def optimistic_sums(patch: pytest.MonkeyPatch) -> None:
    """Sum squares of deviations, as if nobody added a ciphertext to itself."""

    def add(x: Bound, y: Bound) -> Bound:
        return Bound(np.hypot(x.deviation, y.deviation), np.maximum(x.order, y.order))

    patch.setattr(Bound, "__add__", add)
    patch.setattr(Bound, "__matmul__", lambda x, w: Bound(
        np.sqrt(x.deviation**2 @ w.astype(np.float64) ** 2),
        np.broadcast_to(x.order.max(axis=-1, keepdims=True), (*x.shape[:-1], w.shape[1])),
    ))  # fmt: skip


def skipped_reduction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(linear, "reduce_modulo", lambda *arguments: None)


def other_order_of_slots(patch: pytest.MonkeyPatch) -> None:
    for name in ("slot_positions", "_slot_numbers"):  # both directions, so that they fit
        patch.setattr(slots, name, lambda n: np.arange(n, dtype=np.int64))


def other_root_of_unity(patch: pytest.MonkeyPatch) -> None:
    right = ntt.root_of_unity
    patch.setattr(ntt, "root_of_unity", lambda n, p: pow(right(n, p), 3, p))


def other_uniform_parts(patch: pytest.MonkeyPatch) -> None:
    def other(seed: bytes, rows: Iterable[int], n: int, moduli: tuple[int, ...]) -> Any:
        return uniform(seed, [f"encrypt-a/{row}/" for row in rows], n, moduli)

    for module in (rlwe, packed):
        patch.setattr(module, "uniform_half", other)


def changed_operand(patch: pytest.MonkeyPatch) -> None:
    def add_constant(self: Ciphertext, values: Any, in_place: bool = False) -> Ciphertext:
        found = right(self, values, in_place)
        self.rows[self.index.reshape(-1)] = found.rows
        return found

    right = Ciphertext._add_constant
    patch.setattr(Ciphertext, "_add_constant", add_constant)


@pytest.mark.parametrize(
    ("mistake", "scheme", "report"),
    [
        (forgotten_factor, "BGV", r"switch_modulus.* by the oracle, .* by the integers"),
        (optimistic_encryption, "BGV", r"encrypt.* bits is predicted, there are"),
        (optimistic_sums, "BFV", r"bits is predicted, there are"),
        (skipped_reduction, "BFV", r"are not reduced"),
        (other_order_of_slots, "BFV", r"^encrypt.* by the oracle, .* by the integers"),
        (other_root_of_unity, "BFV", r"^encrypt.* by the oracle, .* by the integers"),
        (other_uniform_parts, "BGV", r"^the bytes of .* by the oracle, .* by the integers"),
        (changed_operand, "BFV", r"by the oracle, .* by the integers"),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_a_mistake_in_the_package_is_reported(
    mistake: Callable[[pytest.MonkeyPatch], None],
    scheme: str,
    report: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mistake(monkeypatch)
    monkeypatch.setattr(judge, "_made", {})  # nothing that was prepared before the mistake
    rings.ring.cache_clear()
    try:
        with pytest.raises(WrongAnswer, match=report) as found:
            run_all(scheme, ["n=16, t=24 bits"], range(40), 25)
    finally:
        rings.ring.cache_clear()
    text = str(found.value)  # how to repeat it, and what was done
    assert f"repeat: circuits.run('{scheme}', 'n=16, t=24 bits', seed=" in text
    assert "x0 = encrypt(" in text
