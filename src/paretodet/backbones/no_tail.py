"""What backbones without a tail share."""

from torch import Tensor


class NoTail:
    """A backbone module without a tail, for detectors whose heads have their own layers."""

    tail_channels = 0

    def tail(self, crops: Tensor) -> Tensor:
        """Raises ValueError."""
        raise ValueError(f"tail: got crops for {type(self).__name__}, which has no tail; use a backbone with one")
