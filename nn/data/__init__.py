"""Where do the images come from?

The 8x8 digits come with the package (`digits/`), MNIST from a folder or a mirror.

Modules, in the order of reading:

    idx       the file format of MNIST
    grey      pictures in PNG and JPEG files, and folders of them
    download  the four MNIST files from public mirrors, complete or not at all
    sets      images and labels: the digits, and MNIST
    sources   what a client has: sets, IDX, .npy files and pictures
    tables    rows of numbers in CSV files

Uses yashe.errors, yashe.wire, networks.
"""
