"""Draw a digit, and watch a server classify what it cannot see: `cryptonets draw`.

Modules, in the order of reading:

    strokes  a drawing, as the network has learned to see digits
    sides    a client with the keys, and processes of a server that has none
    page     the page, and the program behind it

Uses yashe.errors, yashe.arithmetic, yashe.ciphertexts, yashe.schemes, yashe.wire, networks,
training, planning, cluster, service.
"""
