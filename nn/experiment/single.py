"""The whole experiment with images one by one."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from nn.cluster.runs import runs
from nn.experiment.result import Story
from nn.experiment.terminal import bar
from nn.planning.plan import Plan
from yashe.arithmetic.residues import IntArray


def run_single(plan: Plan, pixels: IntArray, story: Story, processes: int, device: str) -> IntArray:
    """Return the logits of images, classified as `nn.experiment.run` does it in mode "single".

    Parameters
    ----------
    plan : for one image at once
    pixels : the images
    story : of the run; its times are sums over all images
    processes : how many there may be; with two or more, one for each run, but on a GPU
    device : where the server computes
    """
    logits = list[IntArray]()
    with ExitStack() as stack:
        with story.timed("keys"):
            both = stack.enter_context(runs(plan, processes, device))
        story.tell("client  makes keys", story.seconds["keys"])
        done = stack.enter_context(bar("one by one", len(pixels), "images"))
        for image in np.split(pixels, len(pixels)):
            with story.timed("encrypt"):
                both.encrypt(image)
            with story.timed("infer"):
                steps = both.infer()
            with story.timed("decrypt"):
                logits.append(both.decrypt())
            done(1 / len(pixels))
            if len(logits) == 1:
                for step in steps:
                    story.tell(f"server  {step.what}", step.seconds, step.budget_bits, "or more")
        budgets = both.budgets()
    story.budgets |= {"fresh": budgets.fresh, "final": budgets.final}
    for verb in ("client  encrypt", "server  infer", "client  decrypt"):
        story.tell(f"{verb}, an image", story.seconds[verb.split()[1]] / len(pixels))
    return np.concatenate(logits)
