"""Which n, q and t belong together, and which of them are secure?

Modules, in the order of reading:

    security  two published tables, and the refusal
    sets      a parameter set: ring degree, moduli, and the claim they are checked against
    paper     the sets of the CryptoNets paper, and what it reached with them

Uses errors, attacks, arithmetic.
"""
