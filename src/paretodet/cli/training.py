"""The progress bar of a training: the loss and its terms, images per second, time left."""

import time
from collections import deque
from typing import TYPE_CHECKING

from paretodet.cli.progress import ProgressBar, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paretodet.training.loop import Event, Updated
    from paretodet.training.validator import ValidationProgress

PAUSE_S = 0.25  # between two drawings of the bar
RECENT = 50  # updates over which loss and speed are averaged


class TrainingBar(ProgressBar):
    """A context manager, called with the events of the training loop and of the validation."""

    def __init__(self, name: str, *, shown: bool = True) -> None:
        super().__init__(shown=shown)
        self._name, self._steps, self._drawn = name, 0, 0.0
        self._recent: deque[Updated] = deque(maxlen=RECENT)

    def __call__(self, event: "Event | ValidationProgress") -> None:  # type: ignore[override]
        from paretodet.training.loop import Started, Updated
        from paretodet.training.validator import ValidationProgress

        if isinstance(event, ValidationProgress):
            self.draw(f"validate  {self._name}", event.done, event.total, f"after {event.step} updates")
        if isinstance(event, Started):
            self._steps = event.steps
            self.draw(f"train     {self._name}", event.step, event.steps, "")
        if isinstance(event, Updated):
            self._recent.append(event)
            if (now := time.monotonic()) - self._drawn >= PAUSE_S or event.step == self._steps:
                self._drawn = now
                self.draw(f"train     {self._name}", event.step, self._steps, self._describe(event.step))

    def _describe(self, step: int) -> str:
        from paretodet.training.log import mean_metrics

        metrics = mean_metrics(self._recent)
        whole = [name.removeprefix("loss/") for name in metrics if name.startswith("loss/")]
        terms = "  ".join(
            f"{name} {metrics[f'loss/{full}']:.3g}" for full, name in zip(whole, short(whole), strict=True)
        )
        left = (self._steps - step) * sum(each.seconds for each in self._recent) / len(self._recent)
        return (
            f"{metrics['images_per_s']:.1f} images/s  loss {metrics['loss']:.3g} ({terms})  about {spoken(left)} left"
        )


def short(terms: "Sequence[str]") -> list[str]:
    """Names of terms without their stage, unless two would then be equal."""
    last = [name.rpartition("/")[2] for name in terms]
    return [name if last.count(name) == 1 else whole for whole, name in zip(terms, last, strict=True)]
