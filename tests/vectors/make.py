"""Write the golden files of the wire format beside this program: python tests/vectors/make.py

Everything comes from two seeds, so that the files are the same on every machine. Slots all hold the
same number, because then the message is that number as a constant polynomial, which a reader in
any language can check without an NTT.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent))

from yashe import wire  # noqa: E402
from yashe.ciphertexts.gadgets import Gadget  # noqa: E402
from yashe.parameters.sets import Params  # noqa: E402
from yashe.schemes.bfv import BFV  # noqa: E402
from yashe.schemes.bgv import BGV  # noqa: E402
from yashe.schemes.yashe import YASHE  # noqa: E402

# Primes of 7, 8, 14 and 24 bits, so that numbers begin in the middle of bytes.
PARAMS = Params("INSECURE_VECTORS", 8, (97, 193, 12289, 16776817), (17,), security=None)
KEY_SEED, ENCRYPTION_SEED = bytes(range(32)), bytes(range(32, 64))
MESSAGES = [[5] * 8, [-8] * 8]


def things() -> dict[str, object]:
    """Return what is written, by file name without .fhe; the toy keys' secrets included."""
    bfv, bgv, yashe = BFV(PARAMS), BGV(PARAMS), YASHE(PARAMS)
    keys, yashe_keys = bfv.keygen(KEY_SEED), yashe.keygen(KEY_SEED)
    bgv_keys = bgv.keygen(KEY_SEED)
    fresh = bfv.encrypt(MESSAGES, keys.secret, ENCRYPTION_SEED)
    bgv_fresh = bgv.encrypt(MESSAGES, bgv_keys.secret, ENCRYPTION_SEED)
    bgv_square = bgv_fresh[0] * bgv_fresh[0]
    bgv_short = bgv.relinearize(bgv_square, bgv_keys.relinearization)
    yashe_fresh = yashe.encrypt(MESSAGES, yashe_keys.public, ENCRYPTION_SEED)
    two_primes, spare = Gadget(2), Gadget(2, spare=1)
    bgv_rotations = bgv.rotation_keys(bgv_keys.secret, [1, "swap"], KEY_SEED, spare)
    yashe_rotations = yashe.rotation_keys(yashe_keys.secret, [1, "swap"], KEY_SEED)
    return {
        "parameters": PARAMS,
        "bfv-public": keys.public,
        "bfv-relinearization": keys.relinearization,
        "bfv-secret": keys.secret,
        "bfv-rotations": bfv.rotation_keys(keys.secret, [1, "swap"], KEY_SEED),
        "bfv-two-primes": bfv.relinearization_key(keys.secret, KEY_SEED, two_primes),
        "bfv-fresh": fresh,
        "bfv-sum": fresh[:1] + fresh[1:],
        "bfv-square": fresh[0] * fresh[0],
        "bgv-public": bgv_keys.public,
        "bgv-relinearization": bgv_keys.relinearization,
        "bgv-secret": bgv_keys.secret,
        "bgv-rotations": bgv_rotations,
        "bgv-two-primes": bgv.relinearization_key(bgv_keys.secret, KEY_SEED, two_primes),
        "bgv-fresh": bgv_fresh,
        "bgv-sum": bgv_fresh[:1] + bgv_fresh[1:],
        "bgv-square": bgv_square,
        "bgv-switched": bgv.switch_modulus(bgv_short, 3),
        "yashe-public": yashe_keys.public,
        "yashe-evaluation": yashe_keys.relinearization,
        "yashe-secret": yashe_keys.secret,
        "yashe-rotations": yashe_rotations,
        "yashe-fresh": yashe_fresh,
    }


def main() -> None:
    """Write all files."""
    for name, thing in things().items():
        path = FOLDER / f"{name}.fhe"
        path.unlink(missing_ok=True)  # keys are never written over
        (wire.save_secret_key if name.endswith("secret") else wire.save)(path, thing)
        print(f"{path.stat().st_size:>6} {path.name}")


if __name__ == "__main__":
    main()
