"""What does a ciphertext hold, which key opens it, and how much noise is in it?

What all schemes share, before there is a scheme.

Modules, in the order of reading:

    opaque   what behaves like an array of numbers and shows none of them
    moves    NumPy's functions that only move things, done to ciphertexts
    slots    vectors of integers in one plaintext
    ranges   what slots lie within, as far as their owner has said it
    gadgets  a polynomial in small digits, to move it from one key to another
    keys     keys: to open, to encrypt, to relinearise, to rotate
    trace    the noise of a computation, operation by operation
    noise    the noise of a ciphertext, predicted without a key
    packed   rows that take less memory while nobody computes with them
    rows     ciphertexts as rows of residues, and what they need of a scheme
    array    arrays of ciphertexts that behave like NumPy's

Uses errors, arithmetic, parameters.
"""
