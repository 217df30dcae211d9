"""How does a network that was trained elsewhere become one that runs encrypted?

    network = from_onnx("square.onnx")             or from_torch(module, ...), from_sklearn(model)
    rounded = quantize_network(network, rows)      to few bits, searched on calibration rows
    make_plan(rounded.model)                       an ordinary integer network from here on

Modules, in the order of reading:

    chain           layers and affine maps, folded into our layers
    network         a float network that takes rows as the other library does
    operations      the operations of ONNX that ciphertexts can follow
    onnx_files      graphs in ONNX files, and modules of PyTorch (extra `onnx`)
    sklearn_models  linear models of scikit-learn
    drafts          in units in which numbers become integers
    rounding        to the fewest bits that keep the answers
    retrain         fewer bits still, by training on

Uses yashe.errors, yashe.arithmetic, yashe.wire, networks, training, planning.
"""
