"""The winner rule in the accumulator's domain, and how wide an accumulator must be."""

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
    """Least accumulator whose activation is a positive winner.

    With t the least kept value, `(s * m + half) >> shift >= t` means
    `s >= ceil(((t << shift) - half) / m)` for the positive `s = acc + bias`.
    """
    least, factor = max(rule.theta, 1), int(rule.multiplier[channel])
    if least > rule.high or factor == 0:
        return never(bits)
    half = 1 << (rule.shift - 1)
    total = -((half - (least << rule.shift)) // factor)
    return min(max(total - bias, always(bits)), never(bits))


def keep_to(rule: Requantize, channel: int, bias: int, bits: int) -> int:
    """Greatest accumulator whose activation is a negative winner (unreachable if there is none).

    `(s * m + half) >> shift <= -t` means `s * m <= ((1 - t) << shift) - half - 1` for `s < 0`.
    """
    least, factor = max(rule.theta, 1), int(rule.negative[channel])
    if -least < rule.low or factor == 0:
        return always(bits)
    half = 1 << (rule.shift - 1)
    total = (((1 - least) << rule.shift) - half - 1) // factor
    return min(max(total - bias, always(bits)), never(bits))
