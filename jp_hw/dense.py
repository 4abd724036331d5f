"""Dense convolution in numpy, for integers and floats alike."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.int64, np.float64)


def convolve(
    values: NDArray[Number],
    weights: NDArray[Number],
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    spread: int = 1,
) -> NDArray[Number]:
    """Convolve maps (n, h, w, channels) with weights (out, channels / groups, kernel h, kernel w).

    size: height and width of the result, (n, height, width, out), of the values' type. padding:
    zeros above and to the left; below and to the right as many as the size asks for. spread: the
    maps' columns are so far apart, with zeros between them. Integers are
    multiplied as float64, many times faster in numpy, while no sum can leave its 53 exact bits.
    """
    if np.issubdtype(values.dtype, np.integer) and _fits_float64(values, weights):
        exact = (values.astype(np.float64), weights.astype(np.float64))
        total = convolve(*exact, size, stride, padding, dilation, groups, spread)
        return total.astype(values.dtype)
    (height, width), (kernel_y, kernel_x) = size, weights.shape[2:]
    need_y = (height - 1) * stride[0] + (kernel_y - 1) * dilation[0] + 1
    need_x = (width - 1) * stride[1] + (kernel_x - 1) * dilation[1] + 1
    padded = np.zeros((len(values), need_y, need_x, values.shape[3]), values.dtype)
    top, left = padding
    rows = max(0, min(values.shape[1], need_y - top))
    columns = max(0, min(values.shape[2], -(-(need_x - left) // spread)))
    place = slice(left, left + columns * spread, spread)
    padded[:, top : top + rows, place] = values[:, :rows, :columns]
    out = np.zeros((len(values), height, width, len(weights)), values.dtype)
    per_in, per_out = values.shape[3] // groups, len(weights) // groups
    for y in range(kernel_y):
        for x in range(kernel_x):
            window = padded[
                :,
                y * dilation[0] : y * dilation[0] + (height - 1) * stride[0] + 1 : stride[0],
                x * dilation[1] : x * dilation[1] + (width - 1) * stride[1] + 1 : stride[1],
            ]
            for g in range(groups):
                own = slice(g * per_out, (g + 1) * per_out)
                inputs = window[..., g * per_in : (g + 1) * per_in]
                out[..., own] += inputs @ weights[own, :, y, x].T
    return out


def _fits_float64(values: NDArray[Number], weights: NDArray[Number]) -> bool:
    """Whether all partial sums are integers that float64 holds exactly."""
    terms = weights.size // max(1, len(weights))
    largest = int(np.abs(values).max(initial=0)) * int(np.abs(weights).max(initial=0))
    return largest * terms < 1 << 53
