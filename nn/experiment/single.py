"""The whole experiment with images one by one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from nn.cluster.runs import runs
from nn.experiment.result import Clock, Result
from nn.experiment.terminal import bar, line
from nn.planning.plan import Plan
from yashe.arithmetic.residues import IntArray
from yashe.schemes.bgv import BGV


def run_single(
    plan: Plan,
    pixels: IntArray,
    labels: IntArray,
    say: Callable[[str], None],
    processes: int,
    device: str = "cpu",
) -> Result:
    """Classify images as `nn.experiment.run` does it in mode "single"; times are sums over them.

    Parameters
    ----------
    plan : for one image at once
    pixels, labels : the images, as for `run`
    say : receives the story, line by line
    processes : how many there may be; with two or more, one for each run, but on a GPU
    device : where the server computes
    """
    clock, logits, params = Clock(), list[IntArray](), plan.params
    with ExitStack() as stack:
        with clock("keys"):
            both = stack.enter_context(runs(plan, processes, device))
        say(line("client  makes keys", clock.seconds["keys"]))
        done = stack.enter_context(bar("one by one", len(pixels), "images"))
        for image in np.split(pixels, len(pixels)):
            with clock("encrypt"):
                both.encrypt(image)
            with clock("infer"):
                steps = both.infer()
            with clock("decrypt"):
                logits.append(both.decrypt())
            done(1 / len(pixels))
            if len(logits) == 1:
                for step in steps:
                    what = f"server  {step.what}"
                    say(line(what, step.seconds, step.budget_bits, "or more"))
        budgets = both.budgets()
    for verb in ("client  encrypt", "server  infer", "client  decrypt"):
        say(line(f"{verb}, an image", clock.seconds[verb.split()[1]] / len(pixels)))
    found = np.concatenate(logits)
    expected, elements = plan.program.model.forward(pixels), 2 * plan.steps[0].ciphertexts
    return Result(
        found,
        int((found == expected).all(axis=1).sum()),
        float((found.argmax(axis=1) == labels).mean()),
        clock.seconds,
        budgets.fresh,
        budgets.final,
        plan,
        BGV.name,
        len(plan.runs) * round(elements * params.n * params.log2_q / 8),
        sum(run.bytes["reply"] for run in plan.runs),
    )
