"""What does a network need, and what will it cost, before anything is encrypted?

Proofs, not trials: they hold for every image.

Modules, in the order of reading:

    descent     at which modulus squares are computed: public numbers only
    proofs      arrays that prove: ranges of numbers, and noise of ciphertexts
    calibrate   how long operations take on this machine
    steps       what a server does between two steps of a client
    program     a network compiled to a list of steps
    packed      steps for one image that fills the slots
    middle      a matrix in the middle of such a program
    single      a network compiled for one image at once
    planned     a plan: program and parameters, and step by step what is known of them
    plan        where plans are made: proofs of range and noise, for given parameters or the best
    flops       the floating-point operations that a run cannot do without

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes,
yashe.circuits, yashe.wire, networks, packing.
"""
