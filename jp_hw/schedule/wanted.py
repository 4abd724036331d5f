"""What is asked of a design beside a network's speed, and what two designs are compared by."""

from dataclasses import dataclass, replace

WORTH = 0.15
"""A PE is added only if it brings at least this part of the speed-up that its share would be."""
SHORT = 4
"""A design with less utilization than wanted costs as if it were slower: by what is missing, to this
power. Fewer PEs that are as busy as wanted are better than more that are not, though slower."""


@dataclass(frozen=True)
class Wanted:
    """Limits of a design. pes: at most so many in all, None for as many as help and fit. utilization: in
    at least this share of the cycles the PEs, on average, do a MAC within the maps, None for any."""

    pes: int | None = None
    utilization: float | None = None

    def busier(self, times: float) -> "Wanted":
        """With so many times the utilization, if any is wanted."""
        if self.utilization is None:
            return self
        return replace(self, utilization=self.utilization * times)

    def most_pes(self, macs: float, cycles: float) -> int | None:
        """As many PEs as may do so many MACs in so many cycles; None for any number."""
        if self.utilization is None or not cycles:
            return self.pes
        busy = int(macs / (self.utilization * cycles))
        return busy if self.pes is None else min(busy, self.pes)

    def price(self, macs: float, cycles: float, pes: int) -> float:
        """What a design costs: its cycles, times its PEs to the power that they are worth."""
        price = float(cycles * pes**WORTH)
        if self.utilization is None or not macs:
            return price
        return price * max(1.0, self.utilization * pes * cycles / macs) ** SHORT
