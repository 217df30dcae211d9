"""How are such schemes broken, by lattices and by their users?

On the integers of the textbook. It stands before the parameters, because they are chosen against
it.

Modules, in the order of reading:

    estimates  what lattice reduction can do, and what it costs
    ntru       the key of YASHE' from its public key: done for toys, estimated for real sizes
    misuse     three mistakes of users that break any scheme

Uses errors, textbook.
"""
