"""What the user wants of a run that is under way, and a clock that lets them speak.

A run waits for AWS in one thread. Whoever wants a word (Ctrl-C, above all) rings the bell: the
waiting ends early, the run tells ``Interrupted``, and whoever shows it may ask and give orders,
while everything under way stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from tapgen.engine.clock import Clock

# So soon a bell is heard.
SLICE_SECONDS = 0.2


@dataclass
class Orders:
    """What was ordered so far; the engine looks between its steps.

    ``cancel``: begin nothing more, and take back the updates that this run began.
    ``delete_creating``: a creation cannot be taken back, so delete what this run is creating.
    """

    bell: bool = False
    cancel: bool = False
    delete_creating: bool = False


class Attentive:
    """``clock``, but whoever sleeps is woken by the bell of ``orders``, once a ring."""

    def __init__(self, clock: Clock, orders: Orders) -> None:
        self._clock, self._orders = clock, orders

    def now(self) -> float:
        """Seconds, from any beginning."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Wait, or until the bell rings. One that rang before is somebody else's to answer."""
        until, heard = self._clock.now() + seconds, self._orders.bell
        while (left := until - self._clock.now()) > 0 and (heard or not self._orders.bell):
            self._clock.sleep(min(left, SLICE_SECONDS))
