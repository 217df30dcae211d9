"""A readable homomorphic encryption toolkit: exact arithmetic in float64; BGV, BFV and YASHE'."""

__version__ = "0.1.0"
