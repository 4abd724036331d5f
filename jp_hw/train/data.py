"""Batches of float images from uint8 data, shuffled and shifted with torch's global generator."""

from collections.abc import Iterator

import torch
from torch import Tensor

from jp_hw.datasets import Images, Split
from jp_hw.train.config import TrainConfig


def to_float(images: Tensor, scale: float) -> Tensor:
    """uint8 (N, C, H, W) to the network's float input, ``pixel * scale``, same shape."""
    return images.to(torch.float32) * scale


def to_nchw(images: Images) -> Tensor:
    """uint8 numpy (N, H, W, C) to a contiguous uint8 tensor (N, C, H, W)."""
    return torch.tensor(images).permute(0, 3, 1, 2).contiguous()


class Batches:
    """Training images, kept padded so that a shift is one gather.

    Iterating gives ``(x float (B, C, H, W), y int64 (B,))`` in a new random order each time; a
    last, smaller batch is left out. All randomness comes from torch's global generator.
    """

    def __init__(self, split: Split, config: TrainConfig, scale: float) -> None:
        """Prepare a split of uint8 images; ``scale`` turns a pixel into the network's input."""
        images = to_nchw(split.images)
        self.shape = images.shape[1:]
        self.labels = torch.tensor(split.labels)
        self.batch_size = min(config.batch_size, len(split))
        self.shift, self.share, self.scale = config.shift, config.shift_share, scale
        self.padded = torch.nn.functional.pad(images, (self.shift,) * 4).flatten(1)
        channels, height, width = self.shape
        self.pitch = width + 2 * self.shift
        plane = self.pitch * (height + 2 * self.shift)
        self.grid = (
            torch.arange(channels)[:, None, None] * plane
            + torch.arange(height)[:, None] * self.pitch
            + torch.arange(width)
        ).reshape(1, -1)

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.labels) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch."""
        order = torch.randperm(len(self.labels))
        for index in range(len(self)):
            chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
            yield self._images(chosen), self.labels[chosen]

    def _images(self, chosen: Tensor) -> Tensor:
        """The chosen images, each shifted at random."""
        offset = self._offsets(len(chosen)) if self.shift else torch.zeros(1, 1, dtype=torch.int64)
        pixels = self.padded[chosen].gather(1, (self.grid + offset).expand(len(chosen), -1))
        return to_float(pixels, self.scale).reshape(-1, *self.shape)

    def _offsets(self, count: int) -> Tensor:
        """Where each image's window starts in its padded plane, int64 (count, 1)."""
        shift = torch.randint(0, 2 * self.shift + 1, (count, 2))
        shift[torch.rand(count) >= self.share] = self.shift
        return (shift[:, :1] * self.pitch) + shift[:, 1:]
