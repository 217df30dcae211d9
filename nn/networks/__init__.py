"""What is a network that can live on additions and multiplications alone?

One `forward` for floats, integers, ciphertexts and proofs.

Modules, in the order of reading:

    checks      what is asked of layers, networks and pixels before all else
    base        what every layer is, and what the linear ones share
    arrays      arrays of integers in files, read without pickle
    layers      convolution, mean pooling, dense layers, squares
    batchnorm   what keeps a network of squares from diverging in training
    schema      what the numbers mean: columns in, classes or values out
    model       a chain of layers: forward, backward, a table, and a file
    pretrained  integer networks that are ready to run

Uses yashe.errors, yashe.arithmetic, yashe.ciphertexts, yashe.wire.
"""
