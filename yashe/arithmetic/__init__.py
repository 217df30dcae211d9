"""How does one multiply polynomials modulo q, exactly and fast, in float64?

Integers below 2^53 are exact in float64, and matrix products of floats are the fastest thing that
NumPy has: everything here is made of the two. Nothing here knows what a key or a ciphertext is.

Modules, in the order of reading:

    whole          whole numbers from outside, taken in every type that is one
    devices        arrays of NumPy, or elsewhere: everything is done where its data are
    residues       numbers modulo small odd primes, kept as integer-valued float64
    primes         primes that have roots of unity, and those roots
    blas           one thread for matrix products, while we compute on several
    rns            large numbers as residues; one primitive that moves them between moduli
    ntt            the number-theoretic transform as two matrix products
    parallel       work on several cores: one helper for every loop over ciphertexts
    progress       a bar, for whatever takes longer than two seconds
    linear         linear combinations: the matrix product behind every linear layer
    places         the memories of the processor and of a GPU, and the way between them
    rings          polynomials modulo X^n + 1 and q, with their form in the type
    automorphisms  X -> X^g, which only moves values and coefficients
    sampling       random polynomials from a seed
    large          what a GPU does in another way: few calls, and large ones
    gpu            arrays on a GPU, by CuPy: needed for nothing but speed

Uses errors.
"""
