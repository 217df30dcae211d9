"""Arrays elsewhere: the arithmetic runs where its data are, and what it gives is the same."""

import gc
from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elsewhere import Elsewhere, calls, module, put, register
from yashe.arithmetic import linear, parallel, places, residues
from yashe.arithmetic.automorphisms import move_coefficients, move_values
from yashe.arithmetic.devices import CACHE_BYTES, blocks, by_place, check, host, near, take
from yashe.arithmetic.large import spread
from yashe.arithmetic.linear import RunningSums, add_rows, combine, scale_rows
from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.places import CPU, Place, check_place_is_exact, moved
from yashe.arithmetic.residues import bound, canonical, column, reduce
from yashe.arithmetic.rings import CoefficientElement, Ring
from yashe.arithmetic.rns import RnsBasis, rescale
from yashe.errors import DeviceError, ExactnessError, ParameterError

MODULI = (4882433, 4866049, 4816897, 4620289)
RING = Ring(64, MODULI)


@pytest.fixture(params=[False, True], ids=["NumPy's functions", "fused functions"], autouse=True)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a place elsewhere."""
    return register(monkeypatch, request.param)


def residues_of(shape: tuple[int, ...], seed: int = 0) -> Any:
    """Residues modulo the primes of RING, shape (..., k, n)."""
    p = column(MODULI)
    return np.rint(np.random.default_rng(seed).uniform(-1, 1, (*shape, 4, 64)) * (p // 2))


def same(here: Any, there: Any) -> bool:
    """Whether both are the same numbers, the second one elsewhere."""
    assert type(there) is Elsewhere
    return np.array_equal(here, there._hidden)


WAYS: dict[str, Callable[[Any], Any]] = {
    "reduce": lambda x: reduce(x * 1000, column(MODULI)),
    "reduce modulo one number": lambda x: reduce(x * 1000, 12289),
    "canonical": lambda x: canonical(x * 1000, column(MODULI)),
    "canonical modulo one number": lambda x: canonical(x + 6144.0, 12289),
    "ntt": RING.transform.ntt,
    "intt": RING.transform.intt,
    "ntt modulo some primes": lambda x: RING.transform.ntt_modulo(slice(1, 3), x),
    "ntt of small integers": lambda x: RING.transform.ntt_modulo(slice(0, 4), x[..., :1, :]),
    "base change": lambda x: rescale(x, RING.basis, RnsBasis((17, 97, 12289))),
    "division": lambda x: rescale(x, RING.basis, RnsBasis(MODULI[:2]), 1 / RING.basis.product),
    "times": lambda x: RING.basis.times(x, 3**99),
    "fraction": RING.basis.fraction,
    "moved values": lambda x: move_values(x, 5),
    "moved coefficients": lambda x: move_coefficients(x, 5),
    "sum": lambda x: (CoefficientElement(RING, x) + CoefficientElement(RING, x)).residues,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_computed_elsewhere_is_the_same(way: str, gpu: str) -> None:
    x = residues_of((3, 2))
    there = put(x)
    expected = WAYS[way](x)
    calls.clear()
    found = WAYS[way](there)
    if way in ("fraction",):  # a sum of floats
        assert np.abs(expected - found._hidden).max() < 1e-12
    else:
        assert same(expected, found)
    assert calls["get"] == ("base" in way or "division" in way)  # its doubt
    assert same(x, there)  # as it was


def test_canonical_folds_what_a_reduction_leaves_beyond_a_half() -> None:
    """Where the rounded 1/p picks the neighbour: residues of (p + 1) / 2 of either sign."""
    p = 4882433
    x = np.array([6688850015782897.0, -6688850015782897.0, 8053291075255713.0, -8053291075255713.0])
    assert np.abs(reduce(x, p)).tolist() == [(p + 1) / 2] * 4
    assert np.abs(canonical(x, p)).tolist() == [(p - 1) / 2] * 4
    assert same(canonical(x, p), canonical(put(x), p))


@given(st.data())
def test_results_elsewhere_are_the_same_for_all_residues(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(-(2**21), 2**21), min_size=8, max_size=8))
    x = np.array(values, dtype=np.float64).reshape(1, 4, 2)
    for target in (RnsBasis((4423681, 4079617)), RnsBasis((17,))):
        assert same(rescale(x, RING.basis, target), rescale(put(x), RING.basis, target))


@pytest.mark.parametrize("largest", [3, 2**20, 2**22, 2**60])
@pytest.mark.parametrize("shape", [(1, 7, 5), (13, 3, 2), (70, 4, 4), (2, 200, 1)])
def test_linear_combinations_elsewhere_are_the_same(largest: int, shape: tuple[int, ...]) -> None:
    """Small weights for all primes at once, large ones prime by prime; repeated inputs add up."""
    positions, terms, results = shape
    rng = np.random.default_rng(largest % 97)
    index = rng.integers(0, 30, (positions, terms))
    weights = rng.integers(-largest, largest + 1, (terms, results))
    rows = np.stack([residues_of((30,), part) for part in (1, 2)], axis=1)
    p = column(MODULI)
    expected = canonical(combine(rows, index, weights, MODULI), p)
    found = combine(put(rows), index, weights, MODULI)
    assert np.array_equal(expected, canonical(found._hidden, p))
    sums, others = (RunningSums(results, (2, 4, 64), MODULI) for _ in range(2))
    for _ in range(2):
        sums.add(rows[:terms], weights[: len(rows[:terms])])
        others.add(put(rows[:terms]), weights[: len(rows[:terms])])
    expected = canonical(sums.reduce(), p)
    assert np.array_equal(expected, canonical(others.reduce()._hidden, p))


def test_zeros_make_one_product_of_many_but_not_too_many() -> None:
    near_ones = np.arange(20)[:, None] + np.arange(3)
    index, weights = spread(near_ones, np.array([[1], [2], [3]]))
    assert index.tolist() == [list(range(22))]
    assert weights.shape == (22, 20)
    assert weights[:, 4].tolist() == [0] * 4 + [1, 2, 3] + [0] * 15
    far_apart = 1000 * np.arange(20)[:, None] + np.arange(3)
    assert spread(far_apart, weights[:3, :1])[0] is far_apart


def test_sums_and_products_of_rows_elsewhere_are_the_same() -> None:
    rows, index = residues_of((5, 2)), np.array([4, 0, 0, 2])
    factors = np.array([3, -(2**40), 1, 7])
    assert same(
        scale_rows(rows, index, factors, RING.basis),
        scale_rows(put(rows), index, factors, RING.basis),
    )
    for operation in (np.add, np.subtract):
        assert same(
            add_rows(rows, index, rows[:, :1], index[::-1], operation, MODULI),
            add_rows(put(rows), index, put(rows[:, :1]), index[::-1], operation, MODULI),
        )


def test_doubt_elsewhere_is_resolved_where_numbers_are_exact() -> None:
    """Halves, which no float decides: x / 2 for odd x."""
    source, target = RnsBasis((17, 97)), RnsBasis((101,))
    x = source.decompose(np.array([1, 3, 5, 400, -7]))
    expected = rescale(x, source, target, 1 / 2)
    assert expected.tolist() == [[0.0, 2.0, 2.0, -2.0, -4.0]]  # 200 = -2 mod 101; ties to even
    assert same(expected, rescale(put(x), source, target, 1 / 2))
    calls.clear()
    found = module().looked(lambda: rescale(put(x), source, target, 1 / 2))
    assert same(expected, found)  # computed again
    assert calls["stack"] == 1


# What devices.py does.


def test_constants_are_copied_once_kept_as_they_were_and_forgotten() -> None:
    constant, x = np.arange(3.0), put(np.zeros(1))
    copy = near(constant, x)
    assert near(constant, x) is copy
    assert same(constant, copy)
    with pytest.raises(ValueError, match="read-only"):
        constant[0] = 5
    assert near(constant, np.zeros(1)) is constant
    assert near(5, x) == 5
    assert len(module()._copies) == 1
    del constant
    gc.collect()
    assert not module()._copies


@given(st.integers(0, 5000), st.integers(0, 2**22))
def test_blocks_cover_the_range_once_and_fit_the_cache(total: int, item: int) -> None:
    cut = list(blocks(total, item, np.zeros(0)))
    assert [i for block in cut for i in range(total)[block]] == list(range(total))
    assert all((b.stop - b.start - 1) * item < CACHE_BYTES for b in cut)


def test_elsewhere_blocks_are_large() -> None:
    assert list(blocks(100, CACHE_BYTES, put(np.zeros(0)))) == [slice(0, 100)]


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 7))
def test_take_is_indexing_and_no_copy_of_what_is_consecutive(numbers: list[int], a: int) -> None:
    x = np.arange(20.0).reshape(10, 2)
    for chosen in (np.array(numbers, dtype=np.int64), np.arange(a, a + 3), np.arange(4)[:, None]):
        assert np.array_equal(take(x, chosen), x[chosen])
        assert same(x[chosen], take(put(x), chosen))
    assert np.shares_memory(take(x, np.arange(a, a + 3)), x)


def test_ways_of_a_gpu_are_marked_where_a_processor_has_its_own() -> None:
    """By name and arguments: one that nothing is marked for would never be called."""
    marked = {
        way.__name__: way
        for owner in (residues, linear, parallel, Ntt)
        for way in vars(owner).values()
        if getattr(way, "__code__", None) is by_place(len).__code__
    }
    ways = module().place().ways
    assert set(ways) == set(marked)
    for name, way in ways.items():
        own, theirs = (list(signature(f).parameters) for f in (marked[name], way))
        assert own[own[0] == "self" :] == theirs[own[0] == "self" :]


def test_a_way_is_taken_for_an_array_among_the_first_three_arguments() -> None:
    @by_place
    def dot(*given: Any) -> str:
        return "of the processor"

    here, there = np.zeros((1, 1, 1)), put(np.zeros((1, 1, 1)))
    assert dot(here, here) == dot(1, "x", here, there) == "of the processor"
    assert type(dot(there, there)) is Elsewhere
    with pytest.raises(TypeError, match="positional arguments"):  # the way takes two
        dot(1, 2, there)

    @by_place
    def another(*given: Any) -> str:
        return "of all places"

    assert another(there) == "of all places"


def checks(*flags: bool) -> list[int]:
    """Check flags elsewhere, each beside one of NumPy's that is set; return who acted."""
    acted: list[int] = []
    for number, flag in enumerate(flags):
        check(put(np.asarray(flag)), lambda number=number: acted.append(number))  # type: ignore[misc]
        check(np.bool_(True), lambda: acted.append(-1))
    return acted


def test_checks_look_at_once() -> None:
    assert checks(True, False, True) == [0, -1, -1, 2, -1]
    assert calls["get"] == 3


def test_checks_wait_for_the_end_and_are_one_look() -> None:
    """If one of them is set all is done again, with looks; those on a processor look at once."""
    looked = module().looked
    assert looked(lambda: checks(False, False)) == [-1, -1]
    assert calls["get"] == 1
    assert looked(lambda: checks(False, True)) == [-1, 1, -1]
    assert calls["get"] == 1 + 3
    assert looked(list) == []
    assert calls["get"] == 4
    assert CPU.looked(lambda: checks(True)) == [0, -1]


def test_an_error_inside_is_not_hidden_by_the_checks() -> None:
    def compute() -> None:
        check(put(np.asarray(True)), lambda: pytest.fail("too late"))
        raise ZeroDivisionError("what happened inside")

    with pytest.raises(ZeroDivisionError, match="what happened inside"):
        module().looked(compute)


# Places.


def test_arrays_move_there_and_back() -> None:
    x = residues_of(())
    there = moved(x, "gpu")
    assert same(x, there)
    assert moved(there, "gpu") is there
    assert moved(x, "cpu") is x
    back = moved(there, "cpu")
    assert type(back) is np.ndarray
    assert np.array_equal(back, x)
    assert host(there).tolist() == x.tolist()


@pytest.mark.parametrize("name", ["GPU", "gpu:1", "tpu", None, 3, ["gpu"]])
def test_other_places_are_refused(name: Any) -> None:
    with pytest.raises(ParameterError, match='on the "cpu" or on the "gpu", not on'):
        moved(np.zeros(1), name)


def test_without_a_gpu_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def loader() -> Place:
        return places.import_module("yashe.arithmetic.gpu").place()

    monkeypatch.setitem(places.LOADERS, "gpu", loader)
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    monkeypatch.delitem(__import__("sys").modules, "yashe.arithmetic.gpu", raising=False)
    with pytest.raises(DeviceError, match=r"needs CuPy.*cryptonets-yashe\[gpu\]"):
        moved(np.zeros(1), "gpu")


LOSSY: dict[str, Callable[[Any, Any], Any]] = {
    "float32": lambda a, b: (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float64),
    "40 bits": lambda a, b: (a @ b) // 2**13 * 2**13,
    "the last bit of large products": lambda a, b: (
        (a @ b) // 2 * 2 if (a.shape[0] * b.shape[1]) > 10**6 else a @ b
    ),
}


@pytest.mark.parametrize("product", LOSSY.values(), ids=LOSSY)
def test_a_place_whose_products_lose_bits_is_refused(
    product: Callable[[Any, Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As float64 emulated on cores for shorter numbers was found to do."""

    class Lossy(Elsewhere):
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
            if ufunc is np.matmul:
                return Elsewhere(product(*(x._hidden for x in inputs)))
            return super().__array_ufunc__(ufunc, method, *inputs, **options)

    there = Place("gpu", "lossy", Lossy, Lossy, Lossy.get)
    monkeypatch.setitem(places.LOADERS, "gpu", lambda: there)
    for _ in range(2):
        with pytest.raises(ExactnessError, match=r"of the gpu is not exact.*EMULATE"):
            moved(np.zeros(1), "gpu")


def test_a_place_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    there = Place("gpu", "watched", Elsewhere, lambda x: seen.append(0) or put(x), Elsewhere.get)
    monkeypatch.setitem(places.LOADERS, "gpu", lambda: there)
    moved(np.zeros(1), "gpu")
    first = len(seen)
    assert first > 1
    moved(np.zeros(1), "gpu")
    assert len(seen) == first + 1
    assert check_place_is_exact.cache_info().maxsize == 16


def test_bounds_are_those_of_a_processor() -> None:
    """The largest residues, in the longest sums that are ever made: nothing depends on order."""
    rows = np.full((127, 1, 1, 8), float(bound(MODULI[0])))
    index, weights = np.arange(127)[None], np.full((127, 2), MODULI[0] // 2)
    expected = combine(rows, index, weights, MODULI[:1])
    assert same(expected, combine(put(rows), index, weights, MODULI[:1]))
    assert residues.max_terms(MODULI[0]) > 127
