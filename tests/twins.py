"""What stands in ciphertexts and keys of BFV and BGV, as the textbook keeps it."""

from typing import Any

import numpy as np

from yashe.arithmetic.rings import CoefficientElement, NttElement
from yashe.ciphertexts.array import Ciphertext
from yashe.parameters.sets import Params
from yashe.textbook import bgv as textbook_bgv
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import Poly


def polynomial(element: NttElement, row: int | None = None) -> Poly:
    """The centred coefficients, as the textbook keeps them."""
    residues = element.residues if row is None else element.residues[row]
    return list(NttElement(element.ring, residues).intt().integers())  # type: ignore[call-overload]


def parts(ct: Ciphertext, row: int = 0) -> list[Poly]:
    """One row of BFV as a ciphertext of the textbook."""
    element = CoefficientElement(ct.params.ring, ct.rows[row])
    return [list(part) for part in np.asarray(element.integers())]


def book_ct(ct: Ciphertext, row: int = 0) -> textbook_bgv.Ciphertext:
    """One row of BGV as a ciphertext of the textbook."""
    coefficients = NttElement(ct.params.ring, ct.rows[row]).intt()
    found = [list(part) for part in np.asarray(coefficients.integers())]
    return textbook_bgv.Ciphertext(found, ct.factor)


def message(params: Params, values: Any) -> Poly:
    """The polynomial of slot values."""
    psis = params.plaintext_ring.transform.psi
    return textbook.encode(np.asarray(values).tolist(), params.plaintext_moduli, psis)


def solve(b: NttElement, a: NttElement) -> Poly:
    """-b/a modulo q, value by value: the secret, if b = -a s had no error."""
    rows = [
        [-int(x) * pow(int(y), -1, p) % p for x, y in zip(row_b, row_a, strict=True)]
        for row_b, row_a, p in zip(b.residues, a.residues, b.ring.basis.moduli, strict=True)
    ]
    return polynomial(NttElement(b.ring, np.array(rows, dtype=np.float64)))
