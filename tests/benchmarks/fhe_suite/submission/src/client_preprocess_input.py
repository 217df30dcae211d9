"""Client: read the text of the harness, and round 0..1 to the levels of the network."""

import numpy as np
from instance import Instance

from nn import quantize_pixels
from nn.service import keyfiles

instance = Instance()
card = keyfiles.read_card(instance.card)
grey = np.fromfile(instance.pixels, sep=" ").reshape(instance.images, *card.input_shape)
instance.intermediate.mkdir(parents=True, exist_ok=True)
pixels = quantize_pixels(grey, 1, card.levels)
np.save(instance.intermediate / "pixels.npy", pixels.astype(np.uint8), allow_pickle=False)
