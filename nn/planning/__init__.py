"""What does a network need, and what will it cost, before anything is encrypted?

Proofs, not trials: they hold for every image.

Modules, in the order of reading:

    descent     at which modulus squares are computed: public numbers only
    proofs      arrays that prove: ranges of numbers, and noise of ciphertexts
    calibrate   how long operations take on this machine
    plan        the parameters, and layer by layer what is proved of them
    flops       the floating-point operations that a run cannot do without
    strategies  Hypothesis strategies for small networks and their images

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes,
yashe.circuits, yashe.wire, yashe.laws, networks.
"""
