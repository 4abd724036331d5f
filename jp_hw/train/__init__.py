"""Joint pruning of weights and activations: dense, prune, dynamic winners, static thresholds."""

from jp_hw.train.config import RECIPES, STAGES, Stage, TrainConfig, recipe, validated
from jp_hw.train.run import Progress, Silent, train

__all__ = [
    "RECIPES",
    "STAGES",
    "Progress",
    "Silent",
    "Stage",
    "TrainConfig",
    "recipe",
    "train",
    "validated",
]
