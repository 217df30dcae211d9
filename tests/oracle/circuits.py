"""Random circuits over all verbs, judged by the oracle after every step.

A circuit is a pool of ciphertext arrays. Every step is done twice: by the package, and by NumPy's
rules on Python integers; `judge` compares the results. A step may be refused by an FheError, which
is counted; any other exception is a `WrongAnswer`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

import reader
from draws import Draws
from judge import Node, Outcome
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import Gadget
from yashe.ciphertexts.slots import Plaintext, encode
from yashe.errors import FheError, NoiseBudgetExhausted
from yashe.schemes.bgv import from_bfv, to_bfv

POOL = 5  # arrays of ciphertexts
MOST = 6  # ciphertexts in one of them


def by_slots(operation: Callable[[Any], Any], slots: Any) -> Any:
    """Return operation(array of integers) for every slot by itself."""
    results = [operation(slots[..., i]) for i in range(slots.shape[-1])]
    return np.stack([np.asarray(x, dtype=object) for x in results], axis=-1)


class Circuit(Draws):
    """One random circuit."""

    def __init__(self, scheme: str, params: str, seed: int) -> None:
        super().__init__(scheme, params, seed)
        self.pool: list[Node] = []
        self.count = 0

    def run(self, length: int, opening: tuple[str, ...] = ()) -> Outcome:
        """Do the steps of the opening, and so many random ones, refused ones included.

        At the end all that is left is read again.
        """
        self.call = f"{self.call[:-1]}, length={length}, opening={opening})"
        while len(self.pool) < 2:
            self.encrypt()
        for i in range(len(opening) + length):
            verb = opening[i] if i < len(opening) else self.random.choice(VERBS)
            getattr(self, verb)()
        for node in self.pool:  # no step has changed its operands
            self.compare(node, "at the end")
        return self.outcome

    # Operands

    def operand(self, degree_1: bool = False, vector: bool = False) -> Node:
        """Return an array of the pool, relinearised or with an axis where that is asked for."""
        node = self.random.choice(self.pool)
        if degree_1 and node.ct.degree > 1 and self.random.randrange(8):
            node = self.relinearized(node)
        if vector and not node.ct.ndim:
            node = Node(node.name, node.ct.reshape(1), node.slots[None])
        return node

    def pair(self, degree_1: bool = False) -> tuple[Node, Node]:
        """Return two arrays that broadcast, mostly of one scheme, level and degree."""
        a, b = self.operand(degree_1), self.operand(degree_1)
        if self.random.randrange(8):
            a, b = (self.at_home(x) for x in (a, b))
            if self.scheme.fixed_parts and a.ct.degree != b.ct.degree:
                a, b = self.relinearized(a), self.relinearized(b)
            primes = min(x.ct.params.k for x in (a, b))
            a, b = (self.switched(x, primes) for x in (a, b))
        try:
            np.broadcast_shapes(a.ct.shape, b.ct.shape)
        except ValueError:
            return a, self.entry(b)
        if np.broadcast(np.empty(a.ct.shape), np.empty(b.ct.shape)).size > MOST:
            return a, self.entry(b)
        return a, b

    def entry(self, node: Node) -> Node:
        """Return one ciphertext of an array."""
        at = tuple(self.random.randrange(m) for m in node.ct.shape)
        return Node(f"{node.name}{list(at)}", node.ct[at], node.slots[at])

    # Doing a step, and judging it

    def do(self, verb: str, text: str, step: Any, shadow: Any, used: Node | None = None) -> Node:
        """Do a step, compare, and put the result into the pool.

        If it is refused, an operand comes back that can be gone on with.
        """
        self.log.append(f"x{self.count} = {text}")
        try:
            ct = step()
        except FheError as error:
            self.outcome.refused[verb, type(error).__name__] += 1
            self.log[-1] += f"  refused: {type(error).__name__}: {error}"
            if isinstance(error, NoiseBudgetExhausted) and used is not None:
                self.pool = [node for node in self.pool if node.ct is not used.ct]
            while len(self.pool) < 2:
                self.encrypt()
            return used or self.pool[0]
        except Exception as error:
            raise self.wrong(f"{type(error).__name__}: {error}") from error
        node = Node(f"x{self.count}", ct, self.centred(shadow()))
        self.count += 1
        self.outcome.done[verb] += 1
        self.log[-1] += f"  ({ct!r})"
        self.compare(node, text)
        if len(self.pool) >= POOL:
            self.pool.pop(self.random.randrange(POOL))
        self.pool.append(node)
        return node

    # Steps that prepare operands

    def relinearized(self, node: Node) -> Node:
        node = self.at_home(node)
        if node.ct.degree == 1:
            return node
        key = self.keys.relinearization
        return self.do(
            "relinearize", f"relinearize({node.name})",
            lambda: self.scheme.relinearize(node.ct, key), lambda: node.slots, node,
        )  # fmt: skip

    def switched(self, node: Node, primes: int | None) -> Node:
        if primes == node.ct.params.k:
            return node
        return self.do(
            "switch", f"switch_modulus({node.name}, {primes})",
            lambda: node.ct.scheme.switch_modulus(node.ct, primes), lambda: node.slots, node,
        )  # fmt: skip

    def at_home(self, node: Node) -> Node:
        """Return the ciphertext in the scheme of the keys."""
        if node.ct.scheme.name == self.scheme.name:
            return node
        back = to_bfv if self.scheme.name == "BFV" else from_bfv
        return self.do(
            "convert", f"{back.__name__}({node.name})",
            lambda: back(node.ct), lambda: node.slots, node,
        )  # fmt: skip

    def aligned(self, a: Node, b: Node, which: int) -> Node:
        """Return one of two ciphertexts of BGV with one factor."""
        return self.do(
            "aligned", f"aligned({a.name}, {b.name})[{which}]",
            lambda: a.ct.scheme.aligned(a.ct, b.ct)[which], lambda: (a, b)[which].slots, a,
        )  # fmt: skip

    # The verbs

    def encrypt(self) -> None:
        values = self.messages(self.shape())
        owner = bool(self.random.randrange(2))
        key = self.keys.encryption if owner else self.keys.public
        as_plaintext = not self.random.randrange(3)
        given = self.scheme.encode(values) if as_plaintext else values
        seed = self.random.randbytes(32)
        self.do(
            "encrypt (own key)" if owner else "encrypt (public key)",
            f"encrypt({'encode ' * as_plaintext}{self.said(values)}, {type(key).__name__})",
            lambda: self.scheme.encrypt(given, key, seed), lambda: self.padded(values),
        )  # fmt: skip

    def add(self) -> None:
        a, b = self.pair()
        self.do("ct + ct", f"{a.name} + {b.name}", lambda: a.ct + b.ct,
                lambda: broadcast(np.add, a, b), a)  # fmt: skip

    def subtract(self) -> None:
        a, b = self.pair()
        self.do("ct - ct", f"{a.name} - {b.name}", lambda: a.ct - b.ct,
                lambda: broadcast(np.subtract, a, b), a)  # fmt: skip

    def negate(self) -> None:
        a = self.operand()
        self.do("-ct", f"-{a.name}", lambda: -a.ct, lambda: -a.slots, a)

    def constants(self) -> None:
        """+, - or * with an integer or an array of integers, from either side."""
        a = self.operand()
        sign = self.random.choice("+-*")
        limit = self.random.choice([9, self.params.t, 2**63 - 1])
        if self.random.randrange(2):
            kind, other = "integer", self.integer(limit)
        else:
            shape = self.random.choice([a.ct.shape, (1,) * a.ct.ndim])
            kind, other = "integers", self.integers(shape, limit)
        left = bool(self.random.randrange(2))
        wide = np.asarray(other, dtype=object)[..., None]
        operate = OPERATIONS[sign]
        text = f"{np.asarray(other).tolist()} {sign} {a.name}" if left else (
            f"{a.name} {sign} {np.asarray(other).tolist()}"
        )  # fmt: skip
        self.do(f"{kind} {sign} ct" if left else f"ct {sign} {kind}", text,
                (lambda: operate(other, a.ct)) if left else (lambda: operate(a.ct, other)),
                (lambda: operate(wide, a.slots)) if left else (lambda: operate(a.slots, wide)),
                a)  # fmt: skip

    def plaintext(self) -> None:
        """+, - or * with a Plaintext, from either side."""
        a = self.operand()
        sign = self.random.choice("+-*")
        values = self.messages(self.random.choice([a.ct.shape, (), (1, *a.ct.shape)]))
        other: Plaintext = encode(a.ct.params, values)
        slots, operate = self.padded(values), OPERATIONS[sign]
        left = bool(self.random.randrange(2))
        said = f"encode({self.said(values)})"
        self.do(f"plaintext {sign} ct" if left else f"ct {sign} plaintext",
                f"{said} {sign} {a.name}" if left else f"{a.name} {sign} {said}",
                (lambda: operate(other, a.ct)) if left else (lambda: operate(a.ct, other)),
                (lambda: operate(slots, a.slots)) if left else (lambda: operate(a.slots, slots)),
                a)  # fmt: skip

    def pile(self) -> None:
        """Add one Plaintext again and again: the errors of its encoding are always the same."""
        a = self.operand()
        values, times = self.messages(()), self.random.randint(2, 30)
        other, slots = encode(a.ct.params, values), self.padded(values)

        def added() -> Ciphertext:
            ct = a.ct
            for _ in range(times):
                ct = ct + other
            return ct

        text = f"{a.name} + {times} times encode({self.said(values)})"
        self.do("ct + plaintext + plaintext ...", text, added,
                lambda: a.slots + times * slots, a)  # fmt: skip

    def double(self) -> None:
        """Add something to itself, again and again: nothing could be less independent."""
        a, times = self.operand(), self.random.randint(1, 10)

        def doubled() -> Ciphertext:
            ct = a.ct
            for _ in range(times):
                ct = ct + ct
            return ct

        self.do("ct + itself", f"{a.name} doubled {times} times", doubled,
                lambda: a.slots * 2**times, a)  # fmt: skip

    def matmul(self) -> None:
        """Multiply by a matrix or a vector, now and then one of hundreds of rows."""
        a = self.operand(vector=True)
        if not self.large and not self.random.randrange(4):
            some = self.random.choices(range(a.ct.shape[-1]), k=self.random.randint(9, 300))
            a = Node(f"{a.name}[..., {some}]", a.ct[..., some], a.slots[..., some, :])
        K = a.ct.shape[-1]
        w = self.weights(self.random.choice([(K,), (K, 1), (K, 2)]))
        self.do("ct @ W", f"{a.name} @ {w.tolist()}", lambda: a.ct @ w,
                lambda: by_slots(lambda x: x @ w.astype(object), a.slots), a)  # fmt: skip

    def rmatmul(self) -> None:
        a = self.operand(vector=True)
        K = a.ct.shape[-2 if a.ct.ndim > 1 else 0]
        w = self.weights(self.random.choice([(K,), (1, K), (2, K)]))
        self.do("W @ ct", f"{w.tolist()} @ {a.name}", lambda: w @ a.ct,
                lambda: by_slots(lambda x: w.astype(object) @ x, a.slots), a)  # fmt: skip

    def affine(self) -> None:
        a = self.operand(vector=True)
        w, c = self.weights((a.ct.shape[-1], 2)), self.weights((2,))
        self.do("affine", f"{a.name}.affine({w.tolist()}, {c.tolist()})",
                lambda: a.ct.affine(w, c),
                lambda: by_slots(lambda x: x @ w.astype(object) + c.astype(object), a.slots),
                a)  # fmt: skip

    def multiply(self) -> None:
        a, b = self.pair(degree_1=True)
        self.do("ct * ct", f"{a.name} * {b.name}", lambda: a.ct * b.ct,
                lambda: broadcast(np.multiply, a, b), a)  # fmt: skip

    def square(self) -> None:
        a = self.operand(degree_1=True)
        self.do("square", f"square({a.name})", lambda: a.ct.scheme.square(a.ct),
                lambda: a.slots * a.slots, a)  # fmt: skip

    def relinearize(self) -> None:
        """Relinearise something of degree 2, made for it if there is none."""
        found = [node for node in self.pool if node.ct.degree == 2]
        if found:
            self.relinearized(self.random.choice(found))
        else:
            self.multiply()

    def switch(self) -> None:
        a = self.operand()
        primes = self.random.choice([None, a.ct.params.k - 1, a.ct.params.k - 1])
        self.switched(a, primes or None)

    def ready(self) -> None:
        a = self.operand(degree_1=True)
        self.do("ready_for_product", f"ready_for_product({a.name})",
                lambda: a.ct.scheme.ready_for_product(a.ct), lambda: a.slots, a)  # fmt: skip

    def move(self) -> None:
        """Rotate, exchange the rows, do several of these at once, or sum slots."""
        a, keys, row = self.at_home(self.operand(degree_1=True)), self.moving, self.params.n // 2
        verb = self.random.choice(["rotate", "swap_rows", "rotations", "sum_slots"])
        steps, width = self.random.choice([1, -1, 2, row - 2, row]), self.random.randint(1, row)
        if self.large:  # which has keys for these only
            verb, steps = self.random.choice(["rotate", "swap_rows", "rotations"]), 1
        arguments: dict[str, tuple[Any, ...]] = {
            "rotate": (steps,), "swap_rows": (), "rotations": ([1, "swap", 0],)}  # fmt: skip
        shadows: dict[str, Callable[[], Any]] = {
            "rotate": lambda: turned(a.slots, steps),
            "swap_rows": lambda: turned(a.slots, "swap"),
            "rotations": lambda: np.stack([turned(a.slots, by) for by in (1, "swap", 0)]),
            "sum_slots": lambda: sum(turned(a.slots, i) for i in range(width)),
        }
        step = getattr(a.ct.scheme, verb)
        if verb == "sum_slots":
            self.do(verb, f"sum_slots({a.name}, {width})", lambda: step(a.ct, keys, width),
                    shadows[verb], a)  # fmt: skip
        else:
            given = arguments[verb]
            self.do(verb, f"{verb}({a.name}, {given})", lambda: step(a.ct, *given, keys),
                    shadows[verb], a)  # fmt: skip

    @cached_property
    def moving(self) -> Any:
        """Rotation keys, made when they are first needed; with digits of any size."""
        rotations: Any = [1, "swap"] if self.large else "all"
        gadget = Gadget(1 if self.large else self.random.choice([1, 1, 2]))
        seed = self.random.randbytes(32)
        return self.scheme.rotation_keys(self.keys.secret, rotations, seed, gadget)

    def index(self) -> None:
        a = self.operand(vector=True)
        m = a.ct.shape[0]
        i = self.random.randrange(-m, m)
        key = self.random.choice(
            [i, slice(None, None, -1), slice(i, None), [i, 0, i], (None, ..., -1), ...]
        )
        slots = (*key, slice(None)) if isinstance(key, tuple) else key
        self.do("index", f"{a.name}[{key}]", lambda: a.ct[key], lambda: a.slots[slots])

    def reshape(self) -> None:
        a = self.operand()
        n, size = self.params.n, a.ct.size
        shape = self.random.choice([(size,), (-1,), (1, size), (size, 1, 1), a.ct.shape[::-1]])
        shadow = tuple(size if x == -1 else x for x in shape)
        self.do("reshape", f"{a.name}.reshape{shape}", lambda: a.ct.reshape(shape),
                lambda: a.slots.reshape((*shadow, n)))  # fmt: skip

    def transpose(self) -> None:
        a = self.operand()
        axes = list(range(a.ct.ndim))
        self.random.shuffle(axes)
        self.do("transpose", f"{a.name}.transpose{tuple(axes)}", lambda: a.ct.transpose(*axes),
                lambda: a.slots.transpose(*axes, -1) if axes else a.slots)  # fmt: skip

    def concatenate(self) -> None:
        a, b = self.pair()
        if a.ct.scheme.name == b.ct.scheme.name and a.ct.params.digest == b.ct.params.digest:
            if a.ct.degree != b.ct.degree:
                a, b = self.relinearized(a), self.relinearized(b)
            if a.ct.factor != b.ct.factor:
                a, b = self.aligned(a, b, 0), self.aligned(a, b, 1)
        a, b = (Node(x.name, x.ct.reshape(-1), x.slots.reshape(-1, self.params.n)) for x in (a, b))
        if a.ct.size + b.ct.size > MOST:
            a, b = self.entry(a), self.entry(b)
            a, b = (Node(x.name, x.ct.reshape(1), x.slots[None]) for x in (a, b))
        self.do("concatenate", f"concatenate({a.name}, {b.name})",
                lambda: Ciphertext.concatenate([a.ct, b.ct]),
                lambda: np.concatenate([a.slots, b.slots]), a)  # fmt: skip

    def convert(self) -> None:
        """From BFV to BGV or back, and on in the other scheme."""
        a = self.operand()
        if a.ct.scheme.name == "YASHE'":
            return
        there = from_bfv if a.ct.scheme.name == "BFV" else to_bfv
        self.do("convert", f"{there.__name__}({a.name})", lambda: there(a.ct), lambda: a.slots, a)

    def travel(self) -> None:
        """Go over the wire; the oracle reads the bytes, too."""
        a = self.operand()
        data = self.written(a)
        kind = "wire (seeded)" if reader.read_frame(data).kind == reader.SEEDED else "wire"
        params = a.ct.params if self.random.randrange(2) else None
        self.do(kind, f"from_bytes(to_bytes({a.name}))",
                lambda: wire.from_bytes(data, Ciphertext, params), lambda: a.slots, a)  # fmt: skip


def turned(slots: Any, by: Any) -> Any:
    """Return slots with both rows turned to the left, or exchanged."""
    grid = slots.reshape(*slots.shape[:-1], 2, -1)
    moved = grid[..., ::-1, :] if by == "swap" else np.roll(grid, -by, axis=-1)
    return moved.reshape(slots.shape)


def broadcast(operation: Any, a: Node, b: Node) -> Any:
    """Return operation(a, b) on slots, where the arrays of ciphertexts broadcast."""
    shape = np.broadcast_shapes(a.ct.shape, b.ct.shape)
    n = a.slots.shape[-1]
    return operation(*(np.broadcast_to(x.slots, (*shape, n)) for x in (a, b)))


OPERATIONS: dict[str, Any] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
VERBS = (
    "encrypt", "add", "subtract", "negate", "constants", "constants", "plaintext", "plaintext",
    "pile", "double", "matmul", "rmatmul", "affine", "multiply", "square", "relinearize", "switch",
    "ready", "move", "move", "index", "reshape", "transpose", "concatenate", "convert", "travel",
)  # fmt: skip


def run(
    scheme: str, params: str, seed: int, length: int = 12, opening: tuple[str, ...] = ()
) -> Outcome:
    """Run one circuit."""
    return Circuit(scheme, params, seed).run(length, opening)
