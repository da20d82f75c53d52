"""An estimate of the remaining time, given only where the rate is steady: one that jumps is worse than none. Pure."""

from __future__ import annotations

from itertools import pairwise

_MAX_SAMPLES = 16
_FIRST_SPACING_SECONDS = 0.25
# Fewer samples, or less time, say nothing about a rate.
_MIN_SAMPLES = 5
_MIN_SPAN_SECONDS = 2.0
_MAX_DEVIATION = 0.25


class Eta:
    """Keeps samples of (seconds, percent) over the whole attempt, evenly spaced. When there are too many, every second
    one is dropped and the spacing doubles: memory is bounded, and the window grows with the job."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []
        self._spacing = _FIRST_SPACING_SECONDS

    def add_sample(self, seconds: float, percent: float) -> None:
        """``seconds`` of a clock that never jumps; ``percent`` never falls."""
        if self._samples and seconds - self._samples[-1][0] < self._spacing:
            return
        self._samples.append((seconds, percent))
        if len(self._samples) == _MAX_SAMPLES:
            self._samples = self._samples[1::2]
            self._spacing *= 2

    def seconds_left(self, seconds: float, percent: float) -> float | None:
        """To a tenth below 10, whole above. The newer half of the samples decides. The rate is steady when the rates
        between neighbours differ from their mean, weighted by time, by at most a quarter of it on average."""
        points = self._samples[-max(_MIN_SAMPLES, (len(self._samples) + 1) // 2) :]
        if points and seconds > points[-1][0]:
            points = [*points, (seconds, percent)]
        if len(points) < _MIN_SAMPLES:
            return None
        elapsed = seconds - points[0][0]
        rate = (percent - points[0][1]) / elapsed if elapsed >= _MIN_SPAN_SECONDS else 0.0
        if rate <= 0:
            return None
        deviation = sum(abs(to[1] - of[1] - rate * (to[0] - of[0])) for of, to in pairwise(points))
        if deviation > _MAX_DEVIATION * rate * elapsed:
            return None
        left = (100 - percent) / rate
        return round(left, 1) if left < 10 else float(round(left))
