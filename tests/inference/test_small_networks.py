"""Any small network gives the same logits encrypted and in the clear, under every scheme."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.planning.plan import make_plan
from strategies_networks import images, insecure_params_for, networks
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE


@pytest.mark.parametrize("scheme_type", [BGV, BFV, YASHE])
@settings(max_examples=15)
@given(data=st.data())
def test_encrypted_logits_are_those_of_the_integers(scheme_type, data: st.DataObject) -> None:
    model = data.draw(networks())
    pixels = data.draw(images(model, data.draw(st.integers(1, 3))))
    scheme = scheme_type(insecure_params_for(model))
    plan = make_plan(model, scheme.params, public=True, scheme=scheme_type)
    keys = scheme.keygen(bytes(32))
    ct = encrypt_images(scheme, model, pixels, keys.public)
    reply = infer(scheme, model, ct, keys.relinearization)
    logits = decrypt_logits(scheme, reply, keys.secret, len(pixels))
    assert np.array_equal(logits, model.forward(pixels))
    assert plan.final_budget_bits <= float(scheme.noise_budget(reply, keys.secret).min())
