"""How does one get from a table of one's own to encrypted predictions, in five lines?

By the conventions of scikit-learn, which is not needed: `fit`, `predict`, `score`, `get_params`.

Modules, in the order of reading:

    checks    tables, classes and values as they come from users
    parties   a client and a server in one process, who exchange bytes only
    base      parameters, learning, and three modes of predicting
    square    networks of squares for classes and values, and for classes of pictures

Uses yashe.errors, yashe.arithmetic, yashe.ciphertexts, yashe.schemes, networks, training,
planning, service.
"""
