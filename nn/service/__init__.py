"""How do a client and a server work together who share nothing but files and a network?

Modules, in the order of reading:

    frames    a file is a frame, or an archive of frames, one for each plaintext modulus
    card      what a client has to know about a network that it cannot see
    keyfiles  the keys of both sides, and who reads which
    roles     encrypt, classify, decrypt: files in, files out
    limits    what a server takes on, how far a job is, what may be refused
    state     the database that says what there is, and the folder of bodies
    uploads   what is arriving, and what it has to be
    store     keys, jobs, and what becomes of them
    worker    the thread that computes what is queued
    guard     what a connection has to keep to
    http      the server over HTTP (extra `serve`)
    client    the client over HTTP

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes, yashe.wire,
networks, training, packing, planning, inference.
"""
