"""The winner rule in the accumulator's domain, and how wide an accumulator must be."""

import numpy as np

from jp_hw.ir import Requantize


def accumulator_bits(low: int, high: int) -> int:
    """Least signed width that holds low - 1 .. high + 1.

    The spare value on either side is what a threshold takes that no accumulator reaches.
    """
    bits = 2
    while low - 1 < -(1 << (bits - 1)) or high + 1 > (1 << (bits - 1)) - 1:
        bits += 1
    return bits


def always(bits: int) -> int:
    """A `keep_from` that every accumulator reaches."""
    return -(1 << (bits - 1))


def never(bits: int) -> int:
    """A `keep_from` that no accumulator reaches."""
    return (1 << (bits - 1)) - 1


def keep_from(rule: Requantize, channel: int, bias: int, bits: int) -> int:
    """Least accumulator whose activation is a positive winner."""
    least = max(rule.theta, 1)
    if rule.table is not None:
        least = rule.low + int(np.searchsorted(rule.table, least))
    return _clamp(_least_sum(rule, channel, least), bias, bits)


def keep_to(rule: Requantize, channel: int, bias: int, bits: int) -> int:
    """Greatest accumulator whose activation is a negative winner (unreachable if there is none)."""
    most = -max(rule.theta, 1)
    if rule.table is not None:
        most = rule.low + int(np.searchsorted(rule.table, most, side="right")) - 1
    total = _least_sum(rule, channel, most + 1)
    return _clamp(None if total is None else total - 1, bias, bits)


def _clamp(total: float | None, bias: int, bits: int) -> int:
    """A sum as an accumulator; None stands for one that is never reached."""
    if total is None:
        return never(bits)
    return int(min(max(total - bias, always(bits)), never(bits)))


def _least_sum(rule: Requantize, channel: int, value: int) -> float | None:
    """Least sum s = acc + bias whose clamped, rounded product is at least `value`.

    `(s * m + half) >> shift >= value` means `s * m >= (value << shift) - half`. Every sum does where
    value is at most `low`; none (None) where it is more than `high`, or where m is 0.
    """
    if value <= rule.low:
        return -np.inf
    if value > rule.high:
        return None
    wanted = (value << rule.shift) - (1 << (rule.shift - 1))
    if value > 0:  # sums of 0 and more give 0 and more, those below 0 at most 0
        factor = int(rule.multiplier[channel])
        return -(-wanted // factor) if factor else None
    factor = int(rule.negative[channel])
    return min(-(-wanted // factor), 0) if factor else -np.inf
