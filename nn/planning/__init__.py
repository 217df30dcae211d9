"""What does a network need, and what will it cost, before anything is encrypted?

Proofs, not trials: they hold for every image.

Modules, in the order of reading:

    descent     at which modulus squares are computed: public numbers only
    proofs      arrays that prove: ranges of numbers, and noise of ciphertexts
    calibrate   how long operations take on this machine
    tiles       a layer cut into blocks of a few units
    steps       what a server does between two steps of a client
    program     a network compiled to a list of steps
    plan        the program, its parameters, and step by step what is proved of them
    flops       the floating-point operations that a run cannot do without
    strategies  Hypothesis strategies for small networks and their images

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes,
yashe.circuits, yashe.wire, yashe.laws, networks.
"""
