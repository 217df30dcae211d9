"""How do many processes and machines share the work?

Bytes in, bytes out: a worker needs neither a secret nor a memory of what it did before.

Modules, in the order of reading:

    tasks        what a worker does, and how a network is cut for many
    coordinator  hands tasks out, takes results in, survives lost workers
    crews        workers: processes of this machine, or a Dask cluster
    runs         one image at once, with a process for each plaintext modulus

Uses yashe.errors, yashe.arithmetic, yashe.ciphertexts, yashe.schemes, yashe.wire, networks,
planning, inference.
"""
