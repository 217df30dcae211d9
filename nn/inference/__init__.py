"""How does a network run on images that nobody can see?

Modules, in the order of reading:

    encrypted  the client's two steps, and the server's one between them
    batches    batch after batch on a GPU: the next one comes while this one is computed
    ahead      what one image at once needs no image for: done before it is there, and used once
    flooding   a reply that tells nothing about the weights
    replies    encrypted logits become a reply that says nothing needlessly
    split      logits too large for one plaintext modulus: one run for each of several

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes, networks,
packing, planning.
"""
