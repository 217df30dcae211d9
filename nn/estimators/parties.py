"""A client and a server in one process, who exchange bytes only.

    card = server.card()                 what is public: columns, parameters, what answers mean
    client = Client(card)                makes keys, and keeps the secret one
    reply = server.infer(client.keys(), client.encrypt(X))
    client.decrypt(reply, len(X))

The server has the network and never a secret key, the client has the card and never a weight. What
they send are the files of `nn.service.roles`, so each may as well be on another machine.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from nn.estimators.checks import TableError, check_names, check_table, names_of
from nn.networks.model import Sequential
from nn.planning.plan import make_plan
from nn.service import roles
from nn.service.card import ModelCard
from nn.service.keyfiles import read_evaluation_keys, write_evaluation_keys
from yashe.arithmetic.residues import IntArray
from yashe.arithmetic.whole import of_kind, whole
from yashe.ciphertexts.keys import SecretKey
from yashe.schemes.bgv import BGV


class Server:
    """Whoever has the network.

    Parameters
    ----------
    model : integer network
    mode : "batch", a slot for each of many rows, or "single", the slots for one row after the other
    """

    def __init__(self, model: Sequential, mode: str = "batch") -> None:
        of_kind(model, "the network", Sequential)
        plan = make_plan(model, mode=mode)
        self._card = ModelCard.of_plan(plan)
        self._network = model if self._card.single is None else plan

    def __repr__(self) -> str:
        return f"Server({self._card.name!r}, {self._card.params})"

    def card(self) -> bytes:
        """Return the model card, JSON."""
        return self._card.to_json().encode()

    def infer(self, keys: bytes, rows: bytes) -> bytes:
        """Return encrypted outputs for encrypted rows: `nn.service.roles.classify`.

        Raises
        ------
        FormatError, KeyMismatchError
            If the bytes are not what a client of this network sends.
        """
        of_kind(keys, "what a client sends for keys", bytes)
        of_kind(rows, "what a client sends for rows", bytes)
        reply, known = io.BytesIO(), read_evaluation_keys(io.BytesIO(keys), self._card)
        roles.classify(io.BytesIO(rows), reply, self._network, known)
        return reply.getvalue()


class Client:
    """Whoever has the rows.

    Parameters
    ----------
    card : bytes of the server's model card

    Raises
    ------
    FormatError, SecurityError
        If it is none, or asks for keys without security.
    """

    def __init__(self, card: bytes) -> None:
        self._card = ModelCard.from_json(card)
        self._keys = [BGV(params).keygen() for params in self._card.runs]

    def __repr__(self) -> str:
        return f"Client({self._card.name!r}, {self._card.params})"  # and not the keys

    def keys(self) -> bytes:
        """Return what a server needs to compute: evaluation keys, which decrypt nothing.

        No bytes, if it needs none.
        """
        file = io.BytesIO()
        if self._card.needs_keys:
            write_evaluation_keys(file, self._card, self._keys)
        return file.getvalue()

    @property
    def _secrets(self) -> list[SecretKey]:
        return [keys.secret for keys in self._keys]

    def encrypt(self, rows: Any) -> bytes:
        """Prepare raw rows as the card says, and encrypt them.

        Parameters
        ----------
        rows : a table as for `predict`, whose columns, if they have names, have those of the card;
            or pictures, integers 0..255 of shape (pictures, height, width, 1)

        Raises
        ------
        TableError
            If they are no table, or have other columns.
        ParameterError, DataError
            If they are no such pictures, or there are too many.
        """
        card, file, most = self._card, io.BytesIO(), 255
        columns = card.schema.columns
        if columns is None:
            try:
                pixels = np.asanyarray(rows)  # which keeps a mask, so that it is seen
            except ValueError as error:
                raise TableError(f"pictures are of one size: {error}.") from error
        else:
            names, known = names_of(rows), np.array(columns.names, dtype=object)
            check_names(known, known if names is None else names, card.name)
            table, most = check_table(rows, card.name), card.levels
            if table.shape[1] != len(known):
                raise TableError(f"{len(known)} columns were required, got {table.shape[1]}.")
            pixels = columns.prepare(table, card.levels)
        roles.encrypt(file, card, self._secrets, pixels, most)
        return file.getvalue()

    def outputs(self, reply: bytes, rows: int) -> IntArray:
        """Return the decrypted integers, shape (rows, outputs).

        Raises
        ------
        FormatError, ParameterError
            If it is no reply to this client, or has not so many rows.
        """
        rows = whole(rows, "the number of rows", 1)
        return roles.decrypt(io.BytesIO(reply), self._card, self._secrets, rows)

    def decrypt(self, reply: bytes, rows: int) -> Any:
        """Return the class or the value of each row."""
        return self._card.schema.answers.answers(self.outputs(reply, rows))
