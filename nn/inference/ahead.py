"""Work that is done before an image is there: what takes no more than its uniform halves.

A fresh ciphertext is (c_0, a): a is uniform and told by a seed (`yashe.wire`), and only c_0 knows
the image. Before there is one,

- the client makes a `Pad`, encryptions of zero. An image is added to them later, and that is its
  encryption. To the server it tells the seeds, which are public and tell nothing.
- The server expands the seeds, and does `Ahead` what depends on no c_0. Let (h_0, h_1) be a map of
  the first layer. h_1 is made of the a alone, and so is the third part of its square,

      (h_0 + h_1 s)^2 = h_0^2 + 2 h_0 h_1 s + h_1^2 s^2.

  Relinearisation works on that part and on no other: all its digits are cut ahead.

Image by image the logits are bit for bit those of `nn.inference.encrypted.infer`.

*Once.* Two images under one pad are m + (zeros) and m' + (the same zeros), and their difference is
m - m', for everybody to see. So a pad takes one image, and the work for its seeds one ciphertext.

    pad = Pad(scheme, run, keys.secret)                 # client, before: pad.seeds goes out
    ahead = Ahead(run, pad.seeds, run.server_keys(keys))  # server, before
    ct = pad.encrypt(pixels[:1])                        # client, with the image
    logits = ahead.infer(ct)                            # server
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nn.inference.encrypted import slots_of
from nn.planning.packed import ServerKeys, TapsStep, TwoPartsStep, WeighStep
from nn.planning.plan import Plan
from nn.planning.program import Report
from nn.planning.single import PackedProgram
from nn.planning.steps import no_tick
from yashe.arithmetic.linear import combine
from yashe.arithmetic.parallel import for_each
from yashe.arithmetic.residues import FloatArray, IntArray, reduce
from yashe.arithmetic.sampling import SeedArray, uniform_half
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import SecretKey, check_kind
from yashe.ciphertexts.slots import encode_constant
from yashe.errors import ParameterError
from yashe.schemes.bgv import BGV


class Pad:
    """Encryptions of zero for one image, made before there is one.

    Parameters
    ----------
    scheme : of the run
    run : a plan for one image at once
    key : the secret key; under a public one there are no seeds
    """

    def __init__(self, scheme: BGV, run: Plan, key: SecretKey) -> None:
        check_kind(key, SecretKey)
        self._scheme, self._run = scheme, run
        self._zeros = scheme.encrypt(np.zeros((*run.program.inputs, 1), dtype=np.int64), key)
        assert self._zeros.public_seed is not None
        self.seeds: SeedArray = self._zeros.public_seed
        self._used = False

    def __repr__(self) -> str:
        return f"Pad({self._run.params.name}, {'used' if self._used else 'new'})"

    def encrypt(self, pixels: IntArray) -> Ciphertext:
        """Return an image encrypted, as `encrypt_images` does it with the randomness of the pad.

        Raises
        ------
        ParameterError
            If the pad has been used.
        EncodingError, RangeError
            If this is no image.
        """
        slots = self._scheme.encode(slots_of(self._run, pixels))
        if self._used:
            raise ParameterError(
                "a pad hides one image: the difference of two would be readable; make a new one"
            )
        self._used, zeros = True, self._zeros
        # The bound of fresh ciphertexts holds for every message.
        return replace(zeros + slots, bound=zeros.bound, public_seed=self.seeds)


class Ahead:
    """The work of a server that depends on the uniform halves of one image to come.

    Parameters
    ----------
    run : a plan for one image at once
    seeds : of the uniform halves, one for every tap
    keys : of the client

    Raises
    ------
    ParameterError
        If the network begins with no squares, or there is another number of seeds.
    """

    def __init__(self, run: Plan, seeds: SeedArray, keys: ServerKeys) -> None:
        program, params = run.program, run.params
        kinds = [type(step) for step in program.steps]
        if not isinstance(program, PackedProgram) or TwoPartsStep not in kinds:
            raise ParameterError(
                "a plan of mode 'single' whose first matrix sums squares was required: of other "
                "networks hardly anything can be done ahead"
            )
        if seeds.shape != program.inputs:
            raise ParameterError(f"{program.inputs[0]} seeds were required, got {len(seeds)}")
        self._program, self._keys, self._seeds, self._used = program, keys, seeds.copy(), False
        self._next = kinds.index(TwoPartsStep) + 1
        (weigh,) = (step for step in program.steps if isinstance(step, WeighStep))
        self._weigh, self._taps = weigh, TapsStep in kinds
        rows = np.zeros((len(seeds), 2, params.k, params.n))

        def expand(j: int) -> None:
            seed, row = seeds[j]["seed"].tobytes(), int(seeds[j]["row"])
            rows[j, 1] = uniform_half(seed, row, params.n, params.moduli)

        for_each(expand, range(len(seeds)))
        bound = program.scheme.fresh_bound(public=False).broadcast(seeds.shape)
        index = np.arange(len(seeds), dtype=np.int64)
        halves = Ciphertext(program.scheme, keys.relinearization.key_id, rows, bound, index)
        maps = halves @ program.network.stages.taps.weight if self._taps else halves
        self._maps = maps.rows[maps.index][:, 1]
        squares = weigh.compute(maps, keys, no_tick)  # (0, 0, h_1^2)
        self._switched = program.scheme.relinearize(squares, keys.relinearization).rows
        program.prepare()

    def __repr__(self) -> str:
        return f"Ahead({self._program.scheme}, {'used' if self._used else 'new'})"

    def infer(self, ct: Ciphertext, report: Report | None = None) -> Ciphertext:
        """Return the encrypted logits of the image that these seeds are for.

        Parameters
        ----------
        ct : Ciphertext of shape (taps,)
        report : collects what the steps behind the first squares have cost, if given

        Raises
        ------
        ParameterError
            If the ciphertexts have other seeds, or none, or these have been used.
        KeyMismatchError, NoiseBudgetExhausted
        """
        scheme, program = self._program.scheme, self._program
        scheme.check_own(ct)
        given = None if ct.public_seed is None else ct.public_seed[ct.index]
        if given is None or not np.array_equal(given, self._seeds):
            raise ParameterError("the image has other seeds than those that were announced for it")
        if self._used:
            raise ParameterError("two images under one seed show their difference: make a new pad")
        self._used = True
        h_0, params = self._first_parts(ct), scheme.params

        def parts(i: int) -> FloatArray:
            x, p = h_0[:, i], params.moduli[i]
            return reduce(np.stack([x * x, 2 * x * self._maps[:, i]]), p)

        rows = reduce(self._weigh.sums(2, parts) + self._switched, params.ring.moduli)
        bound = program.forecasts()[self._next].bound
        x = ct.modulo().derive(rows, bound, (len(rows),), "sums of squares")
        return program.run(x, self._keys, report, self._next)

    def _first_parts(self, ct: Ciphertext) -> FloatArray:
        """Return h_0 of every map, shape (M, k, n)."""
        c_0, taps = ct.rows[ct.index][:, :1], self._program.network.stages.taps
        if not self._taps:
            return c_0[:, 0]
        index = np.arange(len(c_0), dtype=np.int64)[None]
        h_0 = combine(c_0, index, encode_constant(ct.params, taps.weight), ct.params.moduli)[:, 0]
        bias = encode_constant(ct.params, taps.bias).astype(np.float64)
        return reduce(h_0 + bias[:, None, None], ct.params.ring.moduli)
