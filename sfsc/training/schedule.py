"""The learning rate of each step: a linear rise, then the fall that the profile chooses."""

import math

from sfsc.profile import TrainingOptions


def learning_rate(step: int, steps: int, options: TrainingOptions) -> float:
    """The rate of `step`, from 0, of `steps`."""
    warmup = max(1, round(options.warmup * steps))
    rise = min(1.0, (step + 1) / warmup)
    left = (steps - step) / max(1, steps - warmup)
    match options.schedule:
        case "linear":
            return options.learning_rate * min(rise, left)
        case "cosine":
            return options.learning_rate * rise * (1 - math.cos(math.pi * min(1.0, left))) / 2
        case "steps":
            passed = sum(step >= share * steps for share in options.milestones)
            return options.learning_rate * rise * options.decay**passed
