"""What backbones share that end with their last map."""

from torch import Tensor


class NoTail:
    """A backbone's module without a rest of the network: for detectors whose heads have layers of their own."""

    tail_channels = 0

    def tail(self, crops: Tensor) -> Tensor:
        """Raises ValueError: there is nothing to run on crops."""
        raise ValueError(f"tail: got crops for {type(self).__name__}, allowed where a backbone has a tail")
