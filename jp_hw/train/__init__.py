"""Joint pruning of weights and activations: dense, prune, dynamic winners, static thresholds."""

from jp_hw.train.config import STAGES, Stage, StageName, TrainConfig, validated
from jp_hw.train.recipes import RECIPES, recipe
from jp_hw.train.run import Progress, Silent, train

__all__ = [
    "RECIPES",
    "STAGES",
    "Progress",
    "Silent",
    "Stage",
    "StageName",
    "TrainConfig",
    "recipe",
    "train",
    "validated",
]
