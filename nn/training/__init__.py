"""How does one train a network of squares, and turn it into small integers?

Modules, in the order of reading:

    augment   new digits from old ones
    loss      what training makes small
    optim     how it walks downhill
    quantize  from floats to small integers without losing the digits
    fit       small networks for anybody's numbers
    train     the recipes, and the loop that follows them

Uses yashe.errors, yashe.arithmetic, yashe.ciphertexts, networks, data.
"""
