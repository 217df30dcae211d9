"""From images to an integer network: the recipes, and the loop that follows them.

    float        a network with batch normalisation, and perhaps a second one as another opinion
    rounded      a copy of it computes with rounded weights; the float networks are its teachers
    frozen       batch normalisation stands still, biases are rounded as well: what is trained now
                 is, image for image, the integer network that gets exported

Hyperparameters were chosen on the last training images (the validation part), which no network
here is trained on; the test images are looked at once, for the record. Training is float32, on one
thread and from one seeded generator: the same seed gives the same network again on one machine.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from nn.data.sets import Dataset
from nn.networks.base import FloatArray, Layer, NumberArray
from nn.networks.batchnorm import BatchNorm
from nn.networks.layers import Conv2D, Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from nn.training.augment import Augmentation
from nn.training.fit import descend
from nn.training.loss import cross_entropy, distillation, smooth_labels
from nn.training.optim import Adam, cosine_rate
from nn.training.quantize import StraightThrough, export, proved_bits, quantize_pixels
from yashe.arithmetic.whole import of_kind
from yashe.errors import ParameterError, TrainingError

CLASSES = 10
LABEL_SMOOTHING = 0.05
AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Recipe:
    """How one of the integer networks is made.

    Attributes
    ----------
    data : str
        The data set it is meant for: "mnist" or "digits".
    convolution : Conv2D
        Settings of the first layer, unbuilt.
    hidden : int
        Units of the dense layer between two squares; 0 for a network with one square.
    levels : int
        Pixels are integers 0..levels.
    limits, densities : tuples of one entry for each linear layer
        Largest |weight|, and mean |weight| at the start of rounding (`StraightThrough`).
    validation : int
        How many of the last training images are kept for choosing.
    float_epochs, rounded_epochs, frozen_epochs : int
        Length of the three parts.
    straight_epochs : int
        The last epochs of the first and of the last part, which see images as they are.
    networks : int
        Float networks: the first is the one that is rounded, all of them teach.
    rate, rounded_rate : float
        Highest learning rate of the first part, and of the other two together.
    decay, rounded_decay : float
        Weight decay of the same parts. In the second it keeps the integers small.
    """

    data: str
    convolution: Conv2D
    hidden: int
    levels: int
    limits: tuple[int, ...]
    densities: tuple[float, ...]
    validation: int = 5000
    batch: int = 128
    float_epochs: int = 24
    rounded_epochs: int = 12
    frozen_epochs: int = 5
    straight_epochs: int = 2
    networks: int = 2
    rate: float = 3e-3
    rounded_rate: float = 1e-3
    decay: float = 0.02
    rounded_decay: float = 0.02
    augmentation: Augmentation = AUGMENTATION

    def layers(self) -> list[Layer]:
        """Return the layers of the network while it is trained, unbuilt."""
        second = (Dense(self.hidden, bias=False), BatchNorm(), Square()) if self.hidden else ()
        return [
            *(copy.deepcopy(self.convolution), BatchNorm(), Square(), Flatten()),
            *second,
            *(Dense(CLASSES, bias=False), BatchNorm()),
        ]


RECIPES: dict[str, Recipe] = {
    # The topology of the CryptoNets paper, section 3.2.2, with dense layers written out.
    "cryptonets": Recipe(
        data="mnist",
        convolution=Conv2D(5, kernel=5, stride=2, pad_end=1, bias=False),
        hidden=100,
        levels=3,
        limits=(3, 3, 7),
        densities=(0.8, 0.8, 1.5),
        rounded_decay=0.2,
    ),
    # Half of the squares: a large kernel with a large stride. What the 64 weights of a map add up
    # to is squared twice on its way, so they are -1, 0 or 1 here, and precision is put last.
    "lean": Recipe(
        data="mnist",
        convolution=Conv2D(10, kernel=8, stride=4, bias=False),
        hidden=64,
        levels=3,
        limits=(1, 3, 15),
        densities=(0.6, 0.7, 3.0),
        rounded_decay=0.05,
    ),
    # A single square: half of log2 q, half of n, and nothing to relinearise. Few maps, far apart,
    # as many as the validation images ask for (docs/trade-off.md).
    "light": Recipe(
        data="mnist",
        convolution=Conv2D(40, kernel=8, stride=5, bias=False),
        hidden=0,
        levels=3,
        limits=(1, 7),
        densities=(0.5, 1.0),
        rounded_decay=0.1,
    ),
    "digits": Recipe(
        data="digits",
        convolution=Conv2D(4, kernel=3, bias=False),
        hidden=32,
        levels=4,
        limits=(7, 7, 7),
        densities=(2.0, 1.2, 2.0),
        validation=200,
        batch=32,
        float_epochs=60,
        rounded_epochs=30,
        frozen_epochs=15,
        straight_epochs=5,
    ),
}


def train(
    name: str, dataset: Dataset, seed: int = 0, progress: bool = True
) -> tuple[Sequential, dict[str, Any]]:
    """Train the integer network of a recipe.

    Parameters
    ----------
    name : str
        One of `RECIPES`.
    dataset : Dataset
        Images of the kind the recipe is meant for.
    seed : int
        Fixes initial weights, the order of the images and their augmentation.
    progress : bool
        Whether to draw a progress bar; it is never drawn when stderr is not a terminal.

    Returns
    -------
    model : Sequential
        int64 weights and biases, `info` filled in.
    record : dict
        The same facts as a dictionary, and those of the float networks: what to print.

    Raises
    ------
    ParameterError
        If the name is unknown.
    TrainingError
        If the loss stops being a number, or the exported network disagrees with the trained one.
    """
    of_kind(dataset, "the data", Dataset)
    if not isinstance(name, str) or name not in RECIPES:
        raise ParameterError(f"name must be one of {', '.join(RECIPES)}; got {name!r}.")
    # One thread: more of them would add up in another order, and the products are small.
    with threadpool_limits(limits=1):
        return Trainer(RECIPES[name], dataset, seed, progress).run(name)


class Trainer:
    """One run of a recipe on a data set: holds the images and the generator."""

    def __init__(self, recipe: Recipe, dataset: Dataset, seed: int, progress: bool) -> None:
        self.recipe, self.seed, self.dataset = recipe, seed, dataset
        self.progress = progress and sys.stderr.isatty()
        self.rng = np.random.default_rng(seed)
        split = len(dataset.train_images) - recipe.validation
        if split < recipe.batch:
            raise ParameterError(
                f"the recipe needs {recipe.batch} training images beside {recipe.validation} for "
                f"validation; got {len(dataset.train_images)} in all. Use the whole data set."
            )
        self.images = dataset.train_images[:split].astype(np.float32)
        self.labels = dataset.train_labels[:split]
        self.validation = self.pixels(dataset.train_images[split:])
        self.validation_labels = dataset.train_labels[split:]

    def __repr__(self) -> str:
        return f"Trainer({len(self.images):,} images of {self.dataset.name!r}, seed={self.seed})"

    def run(self, name: str) -> tuple[Sequential, dict[str, Any]]:
        """Train a network, look once at the test images, and record."""
        started = time.perf_counter()
        recipe = self.recipe
        model, teachers = self.integer_network()
        test = self.pixels(self.dataset.test_images).astype(np.int64)
        model.info = ModelInfo(
            name=name,
            levels=recipe.levels,
            command=f"cryptonets train {recipe.data} --model {name} --seed {self.seed}",
            seed=self.seed,
            validation_accuracy=self.validation_accuracy(model),
            test_accuracy=float(np.mean(predict(model, test) == self.dataset.test_labels)),
            proved_bits=round(proved_bits(model, recipe.levels), 2),
            seconds=float(round(time.perf_counter() - started)),
        )
        floats = [self.validation_accuracy(teacher) for teacher in teachers]
        return model, {**vars(model.info), "float_validation_accuracies": floats}

    def integer_network(self) -> tuple[Sequential, list[Sequential]]:
        """Train the float networks, round the first, and return its export, and them all."""
        recipe = self.recipe
        teachers = [self.train_float(f"float {i + 1}") for i in range(recipe.networks)]
        student = copy.deepcopy(teachers[0])
        self.train_rounded(student, teachers)
        model = export(student)
        trained = predict(student, self.validation.astype(np.float64))
        exported = predict(model, self.validation.astype(np.int64))
        if np.any(trained != exported):
            raise TrainingError(
                "the integer network must predict what the trained one does; they differ for "
                f"{np.count_nonzero(trained != exported)} validation images. Train the frozen "
                "part for at least one epoch, with whole biases."
            )
        return model, teachers

    def pixels(self, images: NumberArray) -> FloatArray:
        """Round images to the recipe's levels, as float32."""
        levels = quantize_pixels(images, self.dataset.pixel_max, self.recipe.levels)
        return levels.astype(np.float32)

    def train_float(self, title: str) -> Sequential:
        """Train one network with float weights from scratch."""
        recipe = self.recipe
        model = Sequential(recipe.layers(), self.images.shape[1:], self.rng)
        optimizer = Adam(model.parameters(), decay=recipe.decay)
        steps = recipe.float_epochs * self.steps_per_epoch
        for step, epoch, images, labels in self.batches(recipe.float_epochs, title, model):
            if epoch < recipe.float_epochs - recipe.straight_epochs:
                images = recipe.augmentation(images, self.rng)
            targets = smooth_labels(labels, CLASSES, LABEL_SMOOTHING)
            rate = cosine_rate(step, steps, recipe.rate, warmup=200)
            descend(model, optimizer, cross_entropy, self.pixels(images), targets, rate)
        return model

    def train_rounded(self, model: Sequential, teachers: list[Sequential]) -> None:
        """Turn a float network into one with whole weights and biases, in place."""
        recipe = self.recipe
        rounding = StraightThrough(model, recipe.limits, recipe.densities)
        optimizer = Adam(rounding.latent, decay=recipe.rounded_decay)
        epochs = recipe.rounded_epochs + recipe.frozen_epochs
        steps = epochs * self.steps_per_epoch
        rounding.apply()
        for step, epoch, images, labels in self.batches(epochs, "rounded", model):
            if epoch < epochs - recipe.straight_epochs:
                images = recipe.augmentation(images, self.rng)
            if epoch == recipe.rounded_epochs and not rounding.whole_biases:
                rounding.freeze()
            pixels = self.pixels(images)
            opinion = np.mean([teacher.forward(pixels) for teacher in teachers], axis=0)
            targets = smooth_labels(labels, CLASSES, LABEL_SMOOTHING)
            loss = partial(distillation, teacher=opinion)
            rate = cosine_rate(step, steps, recipe.rounded_rate)
            descend(model, optimizer, loss, pixels, targets, rate)
            rounding.apply()

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training part; the rest of a shuffled epoch is left out."""
        return len(self.images) // self.recipe.batch

    def batches(
        self, epochs: int, title: str, model: Sequential
    ) -> Iterator[tuple[int, int, FloatArray, npt.NDArray[np.int64]]]:
        """Yield (step, epoch, images, labels), in a new order each epoch, under a progress bar."""
        size, count = self.recipe.batch, self.steps_per_epoch
        with tqdm(total=epochs * count, desc=title, disable=not self.progress, unit="batch") as bar:
            for epoch in range(epochs):
                order = self.rng.permutation(len(self.images))
                for i in range(count):
                    chosen = order[i * size : (i + 1) * size]
                    yield epoch * count + i, epoch, self.images[chosen], self.labels[chosen]
                    bar.update()
                if self.progress:
                    bar.set_postfix(validation=f"{self.validation_accuracy(model):.2%}")

    def validation_accuracy(self, model: Sequential) -> float:
        """Return the share of validation images that a network gets right."""
        return float(np.mean(predict(model, self.validation) == self.validation_labels))


def predict(model: Sequential, pixels: NumberArray, batch: int = 1000) -> npt.NDArray[np.int64]:
    """Return the class with the largest logit for every image, int64 array (images,)."""
    parts = [
        model.forward(pixels[i : i + batch]).argmax(axis=-1) for i in range(0, len(pixels), batch)
    ]
    return np.concatenate(parts).astype(np.int64)
