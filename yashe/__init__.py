"""A readable homomorphic encryption toolkit: exact arithmetic in float64; BGV, BFV and YASHE'.

>>> from yashe import BGV, make_params
>>> scheme = BGV(make_params("example", n=4096, t_at_least=2**16))  # 128-bit secure, or an error
>>> keys = scheme.keygen()
>>> x = scheme.encrypt([1, 2, 3], keys.public)
>>> y = scheme.relinearize(x * x + 1, keys.relinearization)
>>> scheme.decrypt(y, keys.secret)[:3]
array([ 2,  5, 10])

What a user needs is here by name (`dir(yashe)`), and loaded when it is first asked for. The code
stands in rooms; each room has a card, the docstring of its `__init__.py`.

Rooms, in the order of reading; a room imports only rooms before it:

    errors       what a user can do wrong, one class for each mistake
    textbook     the mathematics on Python integers: read this first
    attacks      how such schemes break: lattices, and users
    arithmetic   exact, fast polynomials modulo q in float64
    parameters   n, q and t, and which of them are secure
    ciphertexts  slots, keys, noise, and arrays of ciphertexts
    schemes      BFV, BGV, YASHE': what they share, and where they differ
    circuits     many operations computed together: sums of squares, matrices, polynomials
    wire         bytes in and out
    laws         what must be true of any implementation
    pictures     what it looks like
    checks       the exercises of the notebooks, and grading
"""

from importlib import import_module

TYPE_CHECKING = False  # but true for type checkers, which know the name
if TYPE_CHECKING:
    from yashe.arithmetic.parallel import workers as workers
    from yashe.ciphertexts.array import Ciphertext as Ciphertext
    from yashe.ciphertexts.gadgets import Gadget as Gadget
    from yashe.ciphertexts.noise import unchecked as unchecked
    from yashe.ciphertexts.slots import Plaintext as Plaintext
    from yashe.ciphertexts.trace import trace as trace
    from yashe.circuits.matrices import SlotMatrix as SlotMatrix
    from yashe.circuits.polynomials import SlotPolynomial as SlotPolynomial
    from yashe.circuits.rehearsal import rehearse as rehearse
    from yashe.errors import FheError as FheError
    from yashe.parameters.sets import Params as Params
    from yashe.parameters.sets import make_params as make_params
    from yashe.schemes.bfv import BFV as BFV
    from yashe.schemes.bgv import BGV as BGV
    from yashe.schemes.choose import choose_params as choose_params
    from yashe.schemes.yashe import YASHE as YASHE
    from yashe.wire import load as load
    from yashe.wire import save as save

__version__ = "0.1.0"

# Where the names live: `import yashe` itself loads nothing.
_HOMES = {
    "BFV": "yashe.schemes.bfv",
    "BGV": "yashe.schemes.bgv",
    "YASHE": "yashe.schemes.yashe",
    "Ciphertext": "yashe.ciphertexts.array",
    "FheError": "yashe.errors",
    "Gadget": "yashe.ciphertexts.gadgets",
    "Params": "yashe.parameters.sets",
    "Plaintext": "yashe.ciphertexts.slots",
    "SlotMatrix": "yashe.circuits.matrices",
    "SlotPolynomial": "yashe.circuits.polynomials",
    "choose_params": "yashe.schemes.choose",
    "load": "yashe.wire",
    "make_params": "yashe.parameters.sets",
    "rehearse": "yashe.circuits.rehearsal",
    "save": "yashe.wire",
    "trace": "yashe.ciphertexts.trace",
    "unchecked": "yashe.ciphertexts.noise",
    "workers": "yashe.arithmetic.parallel",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        return sorted(__all__)  # not what this module needs for itself
