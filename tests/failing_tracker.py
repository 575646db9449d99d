"""A tracker of trainings that fails, for tests."""


class FailingTracker:
    """A tracker that fails at these calls, and records all."""

    def __init__(self, *failing):
        self.failing, self.calls = failing, []

    def __getattr__(self, name):
        def call(*given):
            self.calls.append(name)
            if name in self.failing:
                raise Exception("connection refused\nby the server")

        return call
