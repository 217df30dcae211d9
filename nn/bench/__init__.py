"""How fast is it, how fast could it be, and what do others reach?

Modules, in the order of reading:

    seal          the same networks on Microsoft SEAL
    operations    operation by operation: this package, SEAL, TenSEAL
    growth        how the cost grows with images, ring degree, primes, units, threads
    alone         client and server as two programs with a file between them
    latency       one image at once
    measurements  what `cryptonets bench` measures
    gpu           whole networks on a GPU

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes,
yashe.circuits, networks, data, training, planning, inference, cluster,
experiment, service.
"""
