"""How do a client and a server work together who share nothing but files and a network?

Modules, in the order of reading:

    card    what a client has to know about a network that it cannot see
    single  one image at once: a frame for each plaintext modulus in a file
    roles   keygen, encrypt, infer, decrypt: files in, files out
    store   what a server has taken on: keys and jobs in a folder
    worker  the thread that computes what is queued
    http    the server over HTTP (extra `serve`)
    client  the client over HTTP

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes, yashe.wire,
networks, training, packing, planning, inference.
"""
