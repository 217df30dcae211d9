"""What do BFV, BGV and YASHE' share, and in which few lines do they differ?

The same file names as in the textbook.

Modules, in the order of reading:

    definition       what makes a scheme, apart from what follows from it
    base             the verbs of every scheme: encrypt, decrypt, multiply, switch the modulus
    rotations        verbs that move slots: rotate, swap rows, sum slots
    rlwe             what BFV and BGV share: ring learning with errors
    scale_invariant  what BFV and YASHE' share: the message at the upper end
    bfv              BFV
    bgv              BGV
    yashe            YASHE', the scheme of the CryptoNets paper
    choose           the cheapest parameters for a computation, and why it is those

Uses errors, arithmetic, parameters, ciphertexts.
"""
