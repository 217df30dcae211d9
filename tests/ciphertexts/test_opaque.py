"""What ciphertexts and plaintexts refuse: nobody can read them, so nothing may pretend to."""

import operator
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy

from strategies_engine import SEED, toy_params
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.slots import Plaintext
from yashe.errors import FheError, OperationError
from yashe.schemes.bfv import BFV

SCHEME = BFV(toy_params(4, 1, 3, t_above=1000))
KEYS = SCHEME.keygen(SEED)
CT = SCHEME.encrypt([[1, 2], [3, 4]], KEYS.secret)
PLAIN = SCHEME.encode([[1, 2], [3, 4]])
things = pytest.mark.parametrize("x", [CT, PLAIN, CT[0], PLAIN[0]], ids=repr)

BINARY = [
    *(operator.add, operator.sub, operator.mul, operator.matmul, operator.pow, operator.truediv),
    *(operator.floordiv, operator.mod, divmod, operator.eq, operator.ne, operator.lt, operator.le),
    *(operator.gt, operator.ge, operator.and_, operator.or_, operator.xor, operator.lshift),
    operator.rshift,
]
JUNK = {
    "a float": 0.5,
    "not a number": np.nan,
    "a whole float": 2.0,
    "nothing": None,
    "a boolean": True,
    "complex": 1j,
    "text": "1",
    "bytes": b"1",
    "an object": object(),
    "a set": {1},
    "a dictionary": {1: 2},
    "a type": int,
    "an ellipsis": ...,
    "a slice": slice(2),
    "a fraction": Fraction(1, 2),
    "sympy's": sympy.Integer(3),
    "a date": np.datetime64("2020-01-01", "ns"),
    "floats": np.array([1.5, 2.5]),
    "booleans": np.array([True, False]),
    "objects": np.array([None, 1], dtype=object),
    "dates": np.array(["2020-01-01"], dtype="M8[ns]"),
    "masked": np.ma.array([1, 2], mask=[True, False]),
    "records": np.zeros(2, dtype=[("a", np.int64)]),
    "ragged": [[1, 2], [3]],
    "ciphertexts in a list": [CT[0], CT[1]],
    "ciphertexts and numbers": [CT[0], 1],
    "a generator": (i for i in range(2)),
}


@pytest.mark.parametrize("operation", BINARY, ids=lambda operation: operation.__name__)
@pytest.mark.filterwarnings("ignore:elementwise")  # NumPy's of records
def test_no_operator_takes_anything_but_integers(operation: Callable[[Any, Any], Any]) -> None:
    for junk in JUNK.values():
        for x in (CT, PLAIN, CT[0], PLAIN[0]):
            with pytest.raises(FheError, match="."):
                operation(x, junk)
            if operation is not operator.mod or not isinstance(junk, str | bytes):  # "..." % x
                with pytest.raises(FheError, match="."):
                    operation(junk, x)


NEED_TO_READ = {
    "compared": (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
    "divided, as slots hold integers modulo t": (operator.truediv, operator.floordiv),
    "no remainders": (operator.mod, divmod),
    "no bits": (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift),
}


@things
@pytest.mark.parametrize("other", [5, np.int64(5), CT, PLAIN, [1, 2]], ids=repr)
@pytest.mark.parametrize("sentence", NEED_TO_READ)
def test_operators_that_need_to_read_are_refused_with_a_sentence(
    x: Any, other: Any, sentence: str
) -> None:
    for operation in NEED_TO_READ[sentence]:
        with pytest.raises(OperationError, match=f"{sentence}.*: (decrypt|decode) them first"):
            operation(x, other)
        with pytest.raises(TypeError, match=r"(texts .*|no np\.[a-z_]+, .*): de(crypt|code) them"):
            operation(other, x)


@things
def test_there_is_no_way_to_a_number(x: Any) -> None:
    for read in (int, float, complex, bool, operator.index, abs, round, operator.invert):
        with pytest.raises(OperationError, match="(decrypt|decode) them first"):
            read(x)
    for array in (np.array, np.asarray, lambda x: np.array([x, x]), lambda x: np.array(x, object)):
        with pytest.raises(OperationError, match=r"NumPy cannot read: .* np.stack joins several"):
            array(x)
    with pytest.raises(OperationError, match="cannot be compared"):
        operator.contains(x, 5)


@things
def test_what_is_there_never_changes(x: Any) -> None:
    for key in (0, ..., slice(None)):
        with pytest.raises(OperationError, match="never change: make a new array, with np.where"):
            x[key] = x
        with pytest.raises(OperationError, match="never change"):
            del x[key]
    array = np.zeros(2, dtype=np.int64)
    with pytest.raises(OperationError, match=r"written into a NumPy array: .* write a = a \+ x"):
        array += x
    with pytest.raises(OperationError, match="written into a NumPy array"):
        np.add(x, x, out=array)
    assert array.tolist() == [0, 0]


@things
def test_things_are_themselves_in_sets_and_lists(x: Any) -> None:
    assert {x: 1}[x] == 1
    assert hash(x) == hash(x)
    assert x in [x]
    assert len({CT, PLAIN, CT}) == 2


def test_no_function_of_numpy_ever_sees_the_index() -> None:
    """All functions that ask us before they do something, with arguments of any kind."""
    dispatched = type(np.concatenate)
    functions = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in (np, np.linalg, np.fft)
        for name in dir(module)
        if isinstance(getattr(module, name), dispatched | np.ufunc)
    }
    assert len(functions) > 250
    for about_the_shape in ("shape", "ndim", "size"):
        del functions[f"numpy.{about_the_shape}"]
    del functions["numpy.linalg.matrix_rank"]  # of a vector: it ignores its second argument
    numbers = np.array([1, 2], dtype=np.int64)
    for x in (CT, PLAIN):
        for arguments in (
            *((x,), (x, x), ([x, x],), (x, 1), (x, numbers), (numbers, x), ([numbers, x],)),
            *((numbers, x, x), (x, x, numbers), (x, 0, x), (x, 0, numbers), ([x, numbers], 0)),
        ):
            for function in functions.values():
                # About a list that it cannot read NumPy says itself that it equals nothing.
                if function not in (np.array_equal, np.array_equiv) or arguments[0] is x:
                    assert_nothing_leaks(function, arguments)
        assert numbers.tolist() == [1, 2]


def assert_nothing_leaks(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """The result consists of ciphertexts or plaintexts, or there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            found = function(*arguments)
        except (FheError, TypeError, ValueError, AttributeError):  # some are NumPy's own
            return
    if any(found is argument for argument in arguments):
        return
    for part in found if isinstance(found, list | tuple) else [found]:
        assert isinstance(part, Ciphertext | Plaintext), (function, arguments)


@pytest.mark.parametrize(
    "function",
    [np.max, np.argmax, np.any, np.sort, np.unique, np.prod, np.cumsum, np.round, np.diag,
     np.nonzero, np.count_nonzero, np.array_repr, np.linalg.norm, np.fft.fft],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_functions_that_need_to_read_name_what_there_is(function: Any) -> None:
    sentence = "have no np.*, but .* sums, and what only moves them: decrypt them first"
    with pytest.raises(OperationError, match=f"ciphertexts {sentence}"):
        function(CT)


def test_equality_of_arrays_and_constants_like_an_array_are_refused() -> None:
    for equal in (np.array_equal, np.allclose, np.isin):
        with pytest.raises(OperationError, match="decrypt them first"):
            equal(CT, CT)
    for function in (np.zeros_like, np.ones_like, np.empty_like):
        with pytest.raises(OperationError, match=r"need no ciphertexts: use np.zeros\(x.shape"):
            function(CT)
    with pytest.raises(OperationError, match=r"need no plaintexts: use np.zeros\(x.shape"):
        np.full_like(PLAIN, 3)


@pytest.mark.parametrize("ufunc", [np.exp, np.maximum, np.equal, np.divide, np.sign, np.invert])
def test_other_ufuncs_are_refused(ufunc: np.ufunc) -> None:
    with pytest.raises(OperationError, match=rf"no np.{ufunc.__name__}, but \+ - \* @ and sums"):
        ufunc(*[CT] * ufunc.nin)
    with pytest.raises(OperationError, match="no np.add.reduce, but"):
        np.add.reduce(CT)
    with pytest.raises(OperationError, match="no np.add, but"):
        np.add(CT, CT, dtype=np.int64)


def test_ciphertexts_and_plaintexts_have_no_matrix_product_with_each_other() -> None:
    for product in (lambda: CT @ CT, lambda: CT @ PLAIN, lambda: np.dot(CT, CT)):
        with pytest.raises(OperationError, match=r"write \(x \* y\).sum\(axis\)"):
            product()
    with pytest.raises(OperationError, match="plaintexts have no matrix products"):
        PLAIN @ CT


def test_an_option_that_a_sum_does_not_have_is_refused() -> None:
    for options in ({"dtype": np.int64}, {"initial": 3}, {"out": np.zeros(())}):
        with pytest.raises(OperationError, match="unexpected keyword argument"):
            np.sum(CT, **options)
    with pytest.raises(OperationError, match="np.sum takes ciphertexts in the first place"):
        np.sum(a=CT)
    with pytest.raises(OperationError, match="np.delete moves what stands in the first place only"):
        np.delete(np.arange(3), CT)
