"""How a user breaks any scheme: three mistakes, each of which gives something away.

Answering decryption queries, leaving out encryption noise, and returning results with unflooded
noise. The examples are BFV; none of them attacks the scheme, all of them attack its user, secure
parameters or not.

Source: Chenal and Tang, ePrint 2014/535, for keys from decryption queries.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

from sympy import QQ
from sympy.polys.matrices.exceptions import DMNonInvertibleMatrixError

from yashe.attacks.ntru import integer_matrix
from yashe.errors import ParameterError
from yashe.textbook.bfv import Ciphertext, PublicKey, phase
from yashe.textbook.polynomials import (
    Params,
    Poly,
    noise_of,
    poly_add,
    poly_mod,
    poly_mul,
    poly_scale,
    scale_down,
)
from yashe.textbook.yashe import invert


def key_from_decryption_oracle(params: Params, decrypt: Callable[[Ciphertext], Poly]) -> Poly:
    """Return the secret s of whoever answers one decryption query: the schemes are not CCA secure.

    (0, round(q/t)) was never encrypted by anybody, and its phase is round(q/t) s: it decrypts to
    s. So does an honest ciphertext of zero with round(q/t) added to its second part, which nobody
    can tell from an honest one. A server must never see what its answers decrypt to, and that
    includes an error message or a noise budget.

    Raises
    ------
    ParameterError
        If t < 3: the three values of a ternary secret do not fit into one plaintext residue.
    """
    if params.t < 3:
        raise ParameterError(f"one query tells -1 from 1 only for t >= 3, received t = {params.t}")
    zero = [0] * params.n
    delta = [round(params.q / params.t)] + [0] * (params.n - 1)
    return decrypt([zero, delta])


def message_without_noise(params: Params, pk: PublicKey, ct: Ciphertext) -> Poly | None:
    """Return the message of a ciphertext (b u + round(q/t m), a u) whose errors were left out.

    Without e_1 the second part is divisible: u = c_1 / a. The result opens the ciphertext with
    public data alone. An honest c_1 = a u + e_1 divides just as well, but what comes out is not
    ternary, and nothing is learned: None.
    """
    b, a = pk
    inverse = invert(params, a)
    if inverse is None:
        return None
    u = poly_mod(poly_mul(ct[1], inverse), params.q)
    if any(abs(x) > 1 for x in u):
        return None
    masked = poly_scale(poly_mul(b, u), -1)
    return scale_down(params, poly_add(ct[0], masked))


def weights_from_noise(
    params: Params, s: Poly, inputs: Sequence[Ciphertext], result: Ciphertext
) -> list[int] | None:
    """Return the server's secret weights w_i, read by the client from result = sum_i w_i inputs_i.

    The message of the result is one equation per slot, as agreed. Its noise, which nobody agreed
    on, is sum_i w_i noise_i as well, and the client knows every noise_i: n equations, even if all
    messages were zero. An added bias moves the noise by at most t/2, so that the least squares
    solution, rounded, is exact. A server that floods, that is adds an encryption of zero with far
    larger noise, leaves nothing to solve: None.

    Parameters
    ----------
    params : Params
    s : n integers, the client's own secret key
    inputs : at most n ciphertexts that the client sent, with independent noise
    result : the ciphertext that came back
    """
    columns = [noise_of(params, phase(params, s, ct)) for ct in inputs]
    target = noise_of(params, phase(params, s, result))
    a, y = integer_matrix(columns).convert_to(QQ), integer_matrix([target]).convert_to(QQ)
    try:
        solution = (a * a.transpose()).lu_solve(a * y.transpose()).to_list()
    except DMNonInvertibleMatrixError:
        return None
    weights = [round(Fraction(int(x.numerator), int(x.denominator))) for (x,) in solution]
    explained = poly_add(*(poly_scale(c, w) for c, w in zip(columns, weights, strict=True)))
    misfit = max(abs(x - y) for x, y in zip(explained, target, strict=True))
    return weights if misfit <= params.t else None
