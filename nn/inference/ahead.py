"""Work that a server does before an image is there: what takes no more than its uniform halves.

A fresh ciphertext is (c_0, a): a is uniform and told by a seed (`yashe.wire`), and only c_0 knows
the image. So a client can announce the seeds, which are public and tell nothing, and the server
does `Ahead` what depends on no c_0. Let (h_0, h_1) be a map of the first layer. h_1 is made of the
a alone, and so is the third part of its square,

    (h_0 + h_1 s)^2 = h_0^2 + 2 h_0 h_1 s + h_1^2 s^2.

Relinearisation works on that part and on no other: all its digits are cut ahead. The logits are,
residue for residue, those of `nn.inference.encrypted.infer`.

    announced = Announcement(scheme, run, keys.secret)          # client, before
    ahead = Ahead(run, announced.seeds, run.server_keys(keys))  # server, before
    ct = announced.encrypt(pixels[:1])                          # client, with the image
    logits = ahead.infer(ct)                                    # server

*Once.* Two images under one seed have the same a and the same errors, and the difference of their
c_0 is that of the images modulo t, for everybody to see. So an announcement takes one image, and
the work for it one ciphertext.
"""

from __future__ import annotations

import math

import numpy as np

from nn.inference.encrypted import encrypt_images
from nn.planning.packed import ServerKeys, TapsStep, TwoPartsStep, WeighStep
from nn.planning.plan import Plan
from nn.planning.program import Report
from nn.planning.single import PackedProgram
from nn.planning.steps import no_tick
from yashe.arithmetic.linear import combine
from yashe.arithmetic.parallel import for_each
from yashe.arithmetic.residues import FloatArray, IntArray, reduce
from yashe.arithmetic.sampling import SeedArray, check_seed, numbered_seeds, uniform_half
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import SecretKey, check_key, check_kind
from yashe.ciphertexts.slots import encode_constant
from yashe.errors import ParameterError
from yashe.schemes.bgv import BGV


class Announcement:
    """The randomness of one image that a client is going to encrypt.

    Parameters
    ----------
    scheme : of the run
    run : a plan for one image at once
    key : the secret key; under a public one there are no seeds
    seed : 32 bytes that determine the randomness, for tests only

    Attributes
    ----------
    seeds : of the uniform halves, for the server; public
    """

    def __init__(self, scheme: BGV, run: Plan, key: SecretKey, seed: bytes | None = None) -> None:
        check_kind(key, SecretKey)
        self._scheme, self._run, self._key = scheme, run, key
        self._seed: bytes | None = check_seed(seed)
        _, rho = scheme.hiding(key, scheme.own_seed(self._seed))
        assert rho is not None
        self.seeds: SeedArray = numbered_seeds(rho, math.prod(run.program.inputs))

    def __repr__(self) -> str:
        return f"Announcement({self._run.params.name}, {'new' if self._seed else 'used'})"

    def encrypt(self, pixels: IntArray) -> Ciphertext:
        """Return an image encrypted, by `encrypt_images`.

        Raises
        ------
        ParameterError
            If there has been an image already.
        EncodingError, RangeError
            If this is none; then nothing is used up.
        """
        seed, self._seed = self._seed, None  # at once: another thread may ask, too
        if seed is None:
            raise ParameterError(
                "an announcement is for one image: two under one seed show their difference; make "
                "another one"
            )
        try:
            return encrypt_images(self._scheme, self._run, pixels, self._key, seed)
        except BaseException:  # nothing has been encrypted
            self._seed = seed
            raise


class Ahead:
    """The work of a server that depends on the uniform halves of one image to come.

    Parameters
    ----------
    run : a plan for one image at once
    seeds : of the uniform halves, one for every tap
    keys : of the client

    Raises
    ------
    KeyMismatchError
        If the keys are others.
    ParameterError
        If the network begins with no squares, or has changed since the plan was made, or there is
        another number of seeds.
    """

    def __init__(self, run: Plan, seeds: SeedArray, keys: ServerKeys) -> None:
        run.check_unchanged()
        ServerKeys.check(keys)
        program, params = run.program, run.params
        kinds = [type(step) for step in program.steps]
        if not isinstance(program, PackedProgram) or not program.network.stages.matrices[0].squared:
            raise ParameterError(
                "a plan of mode 'single' whose first matrix sums squares was required: of other "
                "networks hardly anything can be done ahead"
            )
        if seeds.shape != program.inputs:
            raise ParameterError(f"{program.inputs[0]} seeds were required, got {len(seeds)}")
        self._program, self._keys, self._seeds, self._used = program, keys, seeds.copy(), False
        self._check = run.check_unchanged
        self._next = kinds.index(TwoPartsStep) + 1
        self._bound = program.forecasts()[self._next].bound
        (weigh,) = (step for step in program.steps if isinstance(step, WeighStep))
        self._weigh, self._taps = weigh, TapsStep in kinds
        rows = np.zeros((len(seeds), 2, params.k, params.n))

        def expand(j: int) -> None:
            seed, row = seeds[j]["seed"].tobytes(), int(seeds[j]["row"])
            rows[j, 1] = uniform_half(seed, [row], params.n, params.moduli)[0]

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
            If the ciphertexts have other seeds, or none, or these have been used; or the network
            has changed.
        KeyMismatchError, NoiseBudgetExhausted
        """
        self._check()  # what was done ahead, and what is not yet, are of one network
        scheme, program = self._program.scheme, self._program
        scheme.check_own(ct)
        check_key(scheme.params, ct.key_id, self._keys.relinearization, ct.rows)
        given = None if ct.public_seed is None else ct.public_seed[ct.index]
        if given is None or not np.array_equal(given, self._seeds):
            raise ParameterError("the image has other seeds than those that were announced for it")
        used, self._used = self._used, True
        if used:
            raise ParameterError(
                "two images under one seed show their difference: announce another one"
            )
        h_0, params = self._first_parts(ct), scheme.params

        def parts(i: int) -> FloatArray:
            x, p = h_0[:, i], params.moduli[i]
            return reduce(np.stack([x * x, 2 * x * self._maps[:, i]]), p)

        rows = reduce(self._weigh.sums(2, parts, h_0) + self._switched, params.ring.moduli)
        x = ct.modulo().derive(rows, self._bound, (len(rows),), "sums of squares")
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
