"""Batches of float images from uint8 data: shuffled, cropped, flipped by torch's generator."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from jp_hw.datasets import Images, Split
from jp_hw.imagefolder import FolderImages
from jp_hw.train.config import TrainConfig


def to_float(images: Tensor, scale: float) -> Tensor:
    """uint8 (N, C, H, W) to the network's float input, ``pixel * scale``, same shape."""
    return images.to(torch.float32) * scale


def to_nchw(images: Images) -> Tensor:
    """uint8 numpy (N, H, W, C) to a contiguous uint8 tensor (N, C, H, W)."""
    return torch.tensor(images).permute(0, 3, 1, 2).contiguous()


def device_of(model: nn.Module) -> torch.device:
    """Where a network's weights are."""
    return next(model.parameters()).device


def layout(model: nn.Module) -> torch.memory_format:
    """How a network's maps lie in memory: channels last, which convolves faster on a CPU.

    Only where all convolutions have a multiple of 8 output channels: with others torch's oneDNN
    kernels for channels last write out of bounds (seen with torch 2.13, channels 4 and 6, AVX2).
    """
    widths = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    last = bool(widths) and not any(width % 8 for width in widths)
    return torch.channels_last if last else torch.contiguous_format


def placed(model: nn.Module, device: str) -> nn.Module:
    """The network on a device, its kernels in the memory format of its maps."""
    return model.to(device, memory_format=layout(model))  # type: ignore[call-overload,no-any-return]


class Batches:
    """Training images, kept padded so that a shift, a crop and a flip are one gather.

    Iterating gives ``(x float (B, C, H, W), y int64 (B,))`` in a new random order each time, x
    in the memory format ``layout``; a last, smaller batch is left out. All randomness comes from
    torch's global generator, so its state is all that resuming needs.
    """

    layout: torch.memory_format = torch.contiguous_format

    def __init__(
        self, split: Split, config: TrainConfig, scale: float, size: tuple[int, int] | None = None
    ) -> None:
        """Prepare a split of uint8 images.

        ``scale`` turns a pixel into the network's input. ``size``: (H, W) of the window that is
        cut from each image padded by ``config.shift``; by default the image's own.
        """
        self.images = split.images
        self.whole = size or (split.images.shape[1], split.images.shape[2])
        self.labels = torch.tensor(split.labels)
        self.batch_size = min(config.batch_size, len(split))
        self.flip, self.share, self.scale = config.flip, config.shift_share, scale
        self.shift = config.shift
        self.height, self.width, self.pixel = self.images.shape[1:]
        self.pitch = self.pixel * (self.width + 2 * self.shift)
        in_memory = not isinstance(self.images, FolderImages)
        self.padded = self._padded(torch.tensor(self.images)) if in_memory else None
        self.cut(None)

    def cut(self, pixels: int | None) -> None:
        """From now on give square windows of so many pixels, or None for whole inputs."""
        self.size = self.whole if pixels is None else (pixels, pixels)
        self.room = tuple(
            whole + 2 * self.shift - part
            for whole, part in zip((self.height, self.width), self.size, strict=True)
        )
        rows, columns = (torch.arange(extent) for extent in self.size)
        grid = rows[:, None] * self.pitch + columns * self.pixel
        mirrored = rows[:, None] * self.pitch + columns.flip(0) * self.pixel
        self.grids = torch.stack(
            [(g[..., None] + torch.arange(self.pixel)).flatten() for g in (grid, mirrored)]
        )

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
        """The chosen images, each with its own window and side."""
        count = len(chosen)
        offset = self._offsets(count) if any(self.room) else torch.zeros(1, 1, dtype=torch.int64)
        side = torch.randint(0, 2, (count,)) if self.flip else torch.zeros(1, dtype=torch.int64)
        index = (self.grids[side] + offset).expand(count, -1)
        if self.padded is None:
            padded = self._padded(torch.from_numpy(self.images.take(chosen.tolist())))
        else:
            padded = self.padded[chosen]
        pixels = padded.gather(1, index).view(count, *self.size, self.pixel)
        x = to_float(pixels.permute(0, 3, 1, 2), self.scale)
        return x.contiguous(memory_format=self.layout)

    def _padded(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, C) with ``shift`` zeros around, flat: (N, pixels)."""
        return torch.nn.functional.pad(images, (0, 0, *(self.shift,) * 4)).flatten(1)

    def _offsets(self, count: int) -> Tensor:
        """Where each image's window starts in its padded plane, int64 (count, 1)."""
        centre = torch.tensor([extent // 2 for extent in self.room])
        if self.room[0] == self.room[1]:
            shift = torch.randint(0, self.room[0] + 1, (count, 2))
        else:
            shift = torch.stack([torch.randint(0, r + 1, (count,)) for r in self.room], 1)
        shift[torch.rand(count) >= self.share] = centre
        offset: Tensor = shift[:, :1] * self.pitch + shift[:, 1:] * self.pixel
        return offset
