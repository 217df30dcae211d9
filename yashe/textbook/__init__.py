"""How do the three schemes work, said in as few lines of Python as possible?

The whole mathematics on lists of Python integers: no NumPy, no tricks, nothing shared with the fast
code that is compared with it. Read this room first.

Modules, in the order of reading:

    polynomials    rings, transforms, slots, samples, and what all schemes share
    automorphisms  X -> X^g, which moves slots
    bfv            BFV as Fan and Vercauteren wrote it down
    bgv            BGV: the message at the lower end of the modulus, and levels
    yashe          YASHE' as Bos, Lauter, Loftus and Naehrig wrote it down

Uses nothing of ours.
"""
