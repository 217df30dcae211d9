"""What does all this look like?

Every function returns a matplotlib Figure (extra `notebooks`), in colours that everybody can tell
apart.

Modules, in the order of reading:

    plots    polynomials, residues, slots and noise, one line each for a teacher
    attacks  a lattice with a secret in it, and a map of what resists

Uses errors, textbook, arithmetic, parameters.
"""
