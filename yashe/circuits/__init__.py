"""How are many operations on ciphertexts computed together?

Weighted sums of squares, which is what a network is made of, cost far less than the squares one by
one. Within one ciphertext, a matrix product is a clever sum of rotations, and a polynomial a clever
sum of products.

Modules, in the order of reading:

    columns      sums of squares in NTT form (BGV): a few columns of residues at a time
    products     sums of squares of coefficients (BFV, YASHE'): scaled once for each sum
    matrices     a matrix times a vector in the slots of one ciphertext, by rotations
    polynomials  a polynomial of what is in the slots
    rehearsal    what a circuit takes: rotations, keys, products and bits, before it runs on data

Uses errors, arithmetic, ciphertexts, schemes.
"""
