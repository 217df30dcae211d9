"""Neural networks that run on encrypted data: layers, training, quantisation, proof, execution.

The networks use additions, multiplications and nothing else (the activation is the square), so one
forward expression serves float arrays, integer arrays and arrays of ciphertexts. Import the modules
by name; this one stays empty so that `import nn` costs nothing.
"""
