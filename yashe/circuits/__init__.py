"""How are many products of ciphertexts computed together?

Weighted sums of squares, which is what a network is made of, cost far less than the squares one by
one.

Modules, in the order of reading:

    columns   for ciphertexts in NTT form (BGV): a few columns of residues at a time
    products  for coefficients (BFV, YASHE'): scaled once for each sum

Uses errors, arithmetic, ciphertexts, schemes.
"""
