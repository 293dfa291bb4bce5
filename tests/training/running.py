"""Training of tiny tasks."""

import dataclasses
from collections import Counter

from sfsc.method import find
from sfsc.training.family import train_family


def running(task, method, **options):
    """The task with a method and its options."""
    found = find(method)
    return dataclasses.replace(task, method=found, method_options=found.options(**options))


def train(task, method="sfsc", before_step=lambda step: None, **options):
    train_family(running(task, method, **options), before_step)


def after(steps, what=KeyboardInterrupt):
    """Raises `what` once so many steps are made, over all networks of a method."""
    made = Counter()

    def before_step(step):
        made["steps"] += 1
        if made["steps"] > steps:
            raise what

    return before_step
