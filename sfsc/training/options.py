"""How a network is trained: the config's `training` section."""

from dataclasses import dataclass, field
from typing import Literal

from sfsc.data.augment import Augment
from sfsc.options import at_least
from sfsc.training.margins import Margin


@dataclass(frozen=True)
class TrainingOptions:
    """The config's `training` section."""

    epochs: int
    batch_size: int
    """Of all processes together."""
    learning_rate: float
    """The highest rate of the schedule."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    """Of SGD."""
    nesterov: bool = False
    """Whether SGD looks ahead along its momentum."""
    weight_decay: float = 0.05
    """Of weights; normalisation and biases have none. AdamW's is decoupled, SGD's is not."""
    warmup: float = 0.2
    """Share of the steps in which the rate rises, linearly."""
    schedule: Literal["linear", "cosine", "steps"] = "linear"
    """How the rate falls after that: to zero along a line or a cosine, or by steps."""
    milestones: tuple[float, ...] = (1 / 6, 1 / 3, 2 / 3)
    """Of `steps`: the shares of the training after which the rate is multiplied by `decay`."""
    decay: float = 0.1
    clip_norm: float | None = None
    """Largest norm of the whole update's gradient; a longer one is shortened. For attention."""
    augment: Augment = field(default_factory=Augment)
    embedding_scale: float = 16.0
    """Length of the normalised embeddings that the classifiers see."""
    margin: Margin | None = None
    """Of cross entropy, whichever classifier it reads; evidence has none."""
    label_smoothing: float = at_least(0, 0.0)
    """Of cross entropy: the share of the target that all classes get alike."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's forward and backward passes; losses and updates are always float32."""
    compile: bool = False
    """Compile the network's passes, each width by itself, with torch.compile."""
    batch_norm: Literal["local", "synchronised"] = "local"
    """Statistics of each process's part of a batch, or of the whole batch."""
    decoding_threads: int = 0
    """Threads that decode images ahead of the training; 0: all images are held in memory."""
    on_bad_image: Literal["stop", "skip"] = "stop"
    checkpoint_seconds: float = 60.0
