"""What does each notebook ask, and how is an answer checked?

Modules, in the order of reading:

    notebook_01_computing       what a server does with numbers it cannot read
    notebook_02_encryption      encryption in a few lines
    notebook_03_products        products by definition and by transforms
    notebook_04_floats          residues in floating point, and the Chinese remainder theorem
    notebook_05_slots           many numbers in one polynomial
    notebook_06_noise           measuring, predicting and saving noise
    notebook_07_multiplication  products of ciphertexts, digits, relinearisation
    notebook_07b_levels         the message at the lower end, and levels
    notebook_08_broken          decryption of YASHE', lattices in the plane, safe degrees
    notebook_09_networks        gradients of squares, rounded weights, intervals
    notebook_10_cryptonets      slots, a layer on ciphertexts, throughput
    notebook_11_protection      tiny keys, the security table, two kinds of misuse
    notebook_12_project         the final project, graded by laws
    notebook_13_rotations       matrices in slots that move
    notebook_14_own_data        columns as integers, and who learns what
"""

from importlib import import_module
from pkgutil import iter_modules

for found in iter_modules(__path__):  # a module registers its exercises when it is loaded
    import_module(f"{__name__}.{found.name}")
