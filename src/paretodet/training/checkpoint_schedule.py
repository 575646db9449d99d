"""When checkpoints are written, and which of them are validated."""

from dataclasses import dataclass

MAX_INTERVAL = 1000  # updates; a crash costs at most so many
VALIDATIONS = 10  # in a training, unless the interval is given


@dataclass(frozen=True, kw_only=True)
class CheckpointSchedule:
    """The checkpoints of a training of `steps` updates.

    With `every` there is one after so many updates, and all are validated. Without it the interval is at most
    `MAX_INTERVAL`, and `VALIDATIONS` of them and the last one are validated.
    """

    steps: int
    every: int | None = None

    @property
    def interval(self) -> int:
        """Updates between checkpoints."""
        return self.every or max(1, self._tenth // -(-self._tenth // MAX_INTERVAL))

    def is_validated(self, step: int) -> bool:
        """Whether the checkpoint of this update is validated."""
        if self.every or step == self.steps:
            return True
        return step % (self.interval * (self._tenth // self.interval)) == 0

    @property
    def _tenth(self) -> int:
        """Updates between validations, before they are rounded to whole intervals."""
        return max(1, self.steps // VALIDATIONS)
