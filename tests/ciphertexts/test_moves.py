"""What only moves ciphertexts and plaintexts: NumPy's functions, with NumPy as the oracle.

Every law calls one function twice, on things that hold their own numbers and on those numbers. The
arguments are drawn without thought: where NumPy raises an error, ours has to be of the same kind.
"""

import copy
import pickle  # noqa: TID251 (executors of nn.cluster pickle what they are given)
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strategies_engine import SEED, toy_params
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.moves import FUNCTIONS, JOINS, QUESTIONS, Moves
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.ranges import Interval
from yashe.ciphertexts.slots import Plaintext
from yashe.errors import (
    AxisError,
    FheError,
    FormError,
    IndexingError,
    KeyMismatchError,
    OperationError,
    ShapeError,
)
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV

SCHEME = BFV(toy_params(4, 1, 3, t_above=1000))
KEYS = SCHEME.keygen(SEED)


def numbers(count: int) -> np.ndarray:
    """Different numbers, which are not those of the rows and not in their order."""
    return (37 * np.arange(count, dtype=np.int64) + 11) % 101


@lru_cache
def numbered(kind: type[Moves], count: int) -> Any:
    """Things that hold these numbers in slot 0."""
    slots = numbers(count)[:, None]
    return SCHEME.encrypt(slots, KEYS.secret) if kind is Ciphertext else SCHEME.encode(slots)


def numbers_in(things: Any) -> np.ndarray:
    """What slot 0 holds."""
    if isinstance(things, Plaintext):
        return SCHEME.decode(things)[..., 0]
    return SCHEME.decrypt(things, KEYS.secret)[..., 0]


kinds = pytest.mark.parametrize("kind", [Ciphertext, Plaintext])

axes = st.integers(-3, 3)
some_axes = st.one_of(st.none(), axes, st.tuples(axes, axes))
small = st.integers(-2, 4)
sizes = st.one_of(
    st.sampled_from([(), (1,), (2, 3), (3, 2), (6,), -1, (-1, 2), (2, 3, 2), (4, 3)]),
    st.lists(st.integers(-1, 4), max_size=3).map(tuple),
)
indices = st.one_of(small, st.lists(small, max_size=3))
orders = st.sampled_from("CF")
sections = st.one_of(st.integers(-1, 4), st.lists(st.integers(0, 4), max_size=2))

ARGUMENTS: dict[Any, tuple[st.SearchStrategy[Any], ...]] = {
    np.array_split: (sections, axes),
    np.broadcast_to: (st.lists(st.integers(0, 3), max_size=4).map(tuple),),
    np.delete: (indices, st.one_of(st.none(), axes)),
    np.diagonal: (small, axes, axes),
    np.dsplit: (sections,),
    np.expand_dims: (st.one_of(axes, st.tuples(axes, axes)),),
    np.flip: (some_axes,),
    np.fliplr: (),
    np.flipud: (),
    np.hsplit: (sections,),
    np.moveaxis: (axes, axes),
    np.ravel: (orders,),
    np.repeat: (st.one_of(small, st.lists(small, max_size=3)), st.one_of(st.none(), axes)),
    np.reshape: (sizes, orders),
    np.roll: (small, st.one_of(st.none(), axes)),
    np.rollaxis: (axes, axes),
    np.rot90: (small, st.tuples(axes, axes)),
    np.split: (sections, axes),
    np.squeeze: (some_axes,),
    np.swapaxes: (axes, axes),
    np.take: (indices, st.one_of(st.none(), axes)),
    np.take_along_axis: (st.lists(small, max_size=3).map(lambda x: np.array(x, int)), axes),
    np.tile: (st.one_of(small, st.lists(st.integers(0, 2), max_size=3)),),
    np.transpose: (st.one_of(st.none(), st.permutations(range(2)), st.permutations(range(3))),),
    np.vsplit: (sections,),
}
calls = st.sampled_from(sorted(ARGUMENTS, key=lambda f: f.__name__)).flatmap(
    lambda function: st.tuples(st.just(function), st.tuples(*ARGUMENTS[function]))
)
shapes = st.sampled_from([(), (3,), (2, 3), (3, 2), (1, 3), (2, 2, 3), (3, 1, 2), (0,), (2, 0)])


def outcome(function: Callable[[], Any]) -> Any:
    """What a function returns or raises."""
    try:
        return function()
    except (IndexError, ValueError, TypeError, ArithmeticError) as error:
        return error


def assert_same_outcome(
    kind: type[Moves], ours: Callable[[], Any], numpys: Callable[[], Any]
) -> None:
    """Both give the same numbers, or both raise an error, and ours is a typed one of its kind."""
    expected = outcome(numpys)
    if isinstance(expected, Exception):
        with pytest.raises(FheError, match=".") as raised:
            ours()
        for kind_of_error in (IndexError, ValueError, TypeError):
            assert isinstance(raised.value, kind_of_error) >= isinstance(expected, kind_of_error)
        return
    found = ours()
    assert isinstance(found, list) == isinstance(expected, list)
    pairs = zip(found, expected, strict=True) if isinstance(found, list) else [(found, expected)]
    for mine, theirs in pairs:
        assert isinstance(mine, kind)
        assert mine.shape == theirs.shape
        assert numbers_in(mine).tolist() == theirs.tolist()


@kinds
@given(shapes, calls)
@example((), (np.flip, (None,)))  # NumPy returns a scalar, which is no array
@example((2, 3), (np.reshape, ((3, 2), "F")))
@settings(max_examples=4 * settings.default.max_examples)
def test_a_function_that_moves_things_does_what_numpy_does(
    kind: type[Moves], shape: tuple[int, ...], call: tuple[Any, tuple[Any, ...]]
) -> None:
    function, arguments = call
    count = int(np.prod(shape))
    things, expected = numbered(kind, count).reshape(shape), numbers(count).reshape(shape)
    assert_same_outcome(
        kind, lambda: function(things, *arguments), lambda: function(expected, *arguments)
    )


def test_every_function_that_moves_things_is_tried() -> None:
    arithmetic = {np.copy, np.mean, np.sum, np.dot}  # in test_array.py
    assert set(FUNCTIONS) == {*ARGUMENTS, *QUESTIONS, *JOINS, np.where, *arithmetic}


@kinds
@given(shapes, st.data())
@settings(max_examples=50)
def test_methods_that_move_things_are_numpys(
    kind: type[Moves], shape: tuple[int, ...], data: st.DataObject
) -> None:
    count = int(np.prod(shape))
    things, expected = numbered(kind, count).reshape(shape), numbers(count).reshape(shape)
    name, strategies = data.draw(
        st.sampled_from(
            [
                ("reshape", (small, small)),
                ("reshape", (sizes,)),
                ("ravel", (orders,)),
                ("flatten", (orders,)),
                ("transpose", (axes, axes)),
                ("transpose", ()),
                ("swapaxes", (axes, axes)),
                ("squeeze", (some_axes,)),
                ("take", (indices, st.one_of(st.none(), axes))),
                ("__getitem__", (st.one_of(small, st.tuples(small, small), indices),)),
            ]
        )
    )
    arguments = data.draw(st.tuples(*strategies))
    assert_same_outcome(
        kind,
        lambda: getattr(things, name)(*arguments),
        lambda: np.asarray(getattr(expected, name)(*arguments)),
    )
    assert numbers_in(things.T).tolist() == expected.T.tolist()
    assert (np.shape(things), np.ndim(things), np.size(things)) == (shape, len(shape), count)


@kinds
@given(st.data(), st.sampled_from(JOINS), st.lists(shapes, min_size=1, max_size=3))
@settings(max_examples=4 * settings.default.max_examples)
def test_arrays_are_joined_like_numpys(
    kind: type[Moves], data: st.DataObject, function: Any, shapes: list[tuple[int, ...]]
) -> None:
    if data.draw(st.booleans()):
        shapes = shapes[:1] * len(shapes)  # otherwise they rarely fit
    takes_axis = function in (np.concatenate, np.stack)
    options = {"axis": data.draw(st.one_of(axes, st.none()))} if takes_axis else {}
    things, expected = [], []
    for shape in shapes:
        count = data.draw(st.integers(30, 32))  # one of three stores
        places = data.draw(st.integers(0, 3)) + np.arange(np.prod(shape, dtype=int)).reshape(shape)
        things.append(numbered(kind, count)[places])
        expected.append(numbers(count)[places])
    assert_same_outcome(
        kind, lambda: function(things, **options), lambda: function(expected, **options)
    )


@kinds
@given(st.lists(st.booleans(), min_size=2, max_size=3))
def test_where_picks_from_two_arrays(kind: type[Moves], mask: list[bool]) -> None:
    x, y = numbered(kind, 6)[:3], numbered(kind, 9)[3:6]
    a, b = numbers(6)[:3], numbers(9)[3:6]
    assert_same_outcome(kind, lambda: np.where(mask, x, y), lambda: np.where(mask, a, b))
    assert numbers_in(np.where([[True], [False]], x, y)).tolist() == [a.tolist(), b.tolist()]


@kinds
def test_what_is_joined_must_be_things_of_one_kind(kind: type[Moves]) -> None:
    things = numbered(kind, 3)
    other = numbered(Ciphertext if kind is Plaintext else Plaintext, 3)
    names = "ciphertexts only, or plaintexts only, not .*: encode or encrypt numbers first"
    for stranger in (np.arange(3), [0, 1, 2], other):
        for mixed in ([things, stranger], [stranger, things]):
            with pytest.raises(OperationError, match=f"np.concatenate takes {names}"):
                np.concatenate(mixed)
        with pytest.raises(OperationError, match=f"np.where takes {names}"):
            np.where([True, False, True], things, stranger)
    with pytest.raises(OperationError, match="np.where takes a public mask and two arrays"):
        np.where(things)
    with pytest.raises(OperationError, match="np.where takes a public mask and two arrays"):
        np.where(things, things, things)
    for options in ({"dtype": np.int64}, {"out": np.zeros(6, np.int64)}):
        with pytest.raises(OperationError, match="takes an axis here, and no other option"):
            np.concatenate([things, things], **options)


def test_nothing_to_concatenate_and_no_sequence_are_refused() -> None:
    ct = numbered(Ciphertext, 3)
    for parts, error, message in (
        ([], ShapeError, "needs at least one array"),
        ([ct, 3], OperationError, "not Ciphertext and int"),
        ([np.arange(3)], OperationError, "not ndarray"),
        (5, OperationError, "not iterable"),
        ([ct, ct[0]], ShapeError, "same number of dimensions"),
        ([ct[0], ct[0]], ShapeError, "zero-dimensional"),
    ):
        with pytest.raises(error, match=message):
            Ciphertext.concatenate(parts)
    with pytest.raises(AxisError, match="axis 1 is out of bounds"):
        Ciphertext.concatenate([ct, ct], axis=1)


@kinds
def test_errors_are_both_ours_and_those_that_numpy_users_expect(kind: type[Moves]) -> None:
    things = numbered(kind, 3)
    for wrong, ours, theirs in (
        (lambda: things[7], IndexingError, IndexError),
        (lambda: things["a"], IndexingError, IndexError),
        (lambda: things.reshape(5), ShapeError, ValueError),
        (lambda: things.reshape(3, order="A"), ShapeError, ValueError),
        (lambda: things.transpose(0, 5), ShapeError, ValueError),
        (lambda: things.swapaxes(0, 5), AxisError, IndexError),
        (lambda: things.swapaxes(0, 5), AxisError, ValueError),
        (lambda: things.reshape("a"), OperationError, TypeError),
        (lambda: len(things[0]), OperationError, TypeError),
        (lambda: list(things[0]), OperationError, TypeError),
        (lambda: things[things], OperationError, TypeError),
        (lambda: np.split(things, 0), ShapeError, ValueError),
    ):
        with pytest.raises(ours, match=".") as found:
            wrong()
        assert isinstance(found.value, FheError)
        assert isinstance(found.value, theirs)


# Rows in memory.

REAL = BFV(make_params("real", n=4096, t_at_least=2**16))
REAL_KEYS = REAL.keygen(SEED)


def test_joining_parts_of_one_array_copies_no_residue() -> None:
    ct = numbered(Ciphertext, 6)
    for joined in (np.stack([ct[4], ct[1]]), np.concatenate(list(ct.reshape(3, 2)[::-1]))):
        assert joined.rows is ct.rows
        assert joined.public_seed is ct.public_seed
    assert numbers_in(np.stack([ct[4], ct[1]])).tolist() == numbers(6)[[4, 1]].tolist()


def test_what_is_joined_copied_or_pickled_leaves_other_rows_behind() -> None:
    one, two = (REAL.encrypt([[1], [2], [3], [4]], REAL_KEYS.secret) for _ in range(2))
    row = one.nbytes // 4
    assert one[2].nbytes == 4 * row
    assert one[2].copy().nbytes == row
    assert one[[3, 3, 1]].copy().nbytes == 2 * row
    joined = np.concatenate([one[[1, 1]], two[2:]])
    assert joined.nbytes == 3 * row
    assert joined.public_seed is not None
    assert joined.public_seed["row"].tolist() == [1, 2, 3]
    assert REAL.decrypt(joined, REAL_KEYS.secret)[:, 0].tolist() == [2, 2, 3, 4]
    assert joined.noise_budget.tolist() == [one.noise_budget[0]] * 4
    for copied in (pickle.loads(pickle.dumps(one[1:3])), copy.deepcopy(one[1:3])):
        assert copied.nbytes == 2 * row
        assert REAL.decrypt(copied, REAL_KEYS.secret)[:, 0].tolist() == [2, 3]
        assert REAL.decrypt(copied + two[:2], REAL_KEYS.secret)[:, 0].tolist() == [3, 5]
    # Whatever else the pickle holds, a slice's is smaller than the whole array's by the rows.
    assert len(pickle.dumps(one)) - len(pickle.dumps(one[0])) > 2.9 * row


def test_a_copy_shares_no_memory_and_keeps_the_seeds_of_its_rows() -> None:
    ct = numbered(Ciphertext, 6)
    assert not np.shares_memory(ct.copy().rows, ct.rows)
    assert numbers_in(ct[4:1:-1].copy()).tolist() == numbers(6)[4:1:-1].tolist()
    for part in (ct, ct[:3], ct[3:], ct[[5, 0]]):
        seeds = part.copy().public_seed
        assert seeds is not None
        assert ct.public_seed is not None
        assert np.array_equal(seeds, ct.public_seed[np.unique(part.index)])


def test_joined_plaintexts_have_one_n_and_one_t_and_ciphertexts_one_degree_and_factor() -> None:
    ct, other = numbered(Ciphertext, 3), BFV(toy_params(8, 1, 3, t_above=1000))
    with pytest.raises(KeyMismatchError, match="n and t must be the same"):
        np.stack([numbered(Plaintext, 1), other.encode([[1]])])
    with pytest.raises(FormError, match="degrees 1 and 2: relinearize first"):
        np.stack([ct, ct * ct])


def test_arrays_that_belong_together_move_as_each_of_them_does() -> None:
    low = np.arange(24).astype(object).reshape(2, 3, 4)
    both, bound = Interval(low, low + 2**70), Bound(low.astype(np.float64), low.astype(np.int64))
    moves: list[Callable[[Any], Any]] = [
        lambda x: x[1, ..., [0, 2]],
        lambda x: x[1, 2, 3],  # one number, which stays an array of Python integers
        lambda x: x.reshape(6, -1),
        lambda x: x.reshape((4, 6)),
        lambda x: x.broadcast((5, 2, 3, 4)) if hasattr(x, "broadcast") else np.stack([x] * 5),
        lambda x: np.concatenate([x, x], 1) if type(x) is np.ndarray else x.concatenate([x, x], 1),
    ]
    for move in moves:
        for together in (both, bound):
            moved = move(together)
            for name, array in vars(together).items():
                found, expected = getattr(moved, name), np.asarray(move(array), array.dtype)
                assert (found.dtype, found.shape) == (array.dtype, moved.shape)
                assert found.tolist() == expected.tolist()
    total = Bound.of(1.0, 2) + Bound.of(2.0, 3)  # what NumPy adds without axes is no array
    assert total.broadcast((2,)).order.tolist() == [3, 3]
