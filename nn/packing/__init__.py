"""How does one image fill the slots of a few ciphertexts?

`slot i = image i` needs a ciphertext for every pixel, whether there are thousands of images or one.
Here the slots hold the positions of one image instead. Integers only: nothing here knows a key.

Modules, in the order of reading:

    stages   a network as few maps: the taps of a convolution, then matrices, squares between them
    layout   which position and which output a slot is for; the rotations that sum them
    answer   the last layer: all logits in one polynomial, and the mask on everything else
    network  what client and server know of a packed network

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes,
yashe.circuits, networks.
"""
