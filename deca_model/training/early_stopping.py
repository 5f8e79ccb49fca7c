"""Early stopping: the best validation of a stage, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class BestValidation:
    """The validation with the lowest held-out loss; checkpoints save it, so that a resumed run continues."""

    step: int | None = None  # None: no validation yet
    loss: float = math.inf
    later: int = 0  # number of validations since

    def add(self, step: int, loss: float) -> bool:
        """Count a validation and return whether it is the best so far; a loss that is not finite never is."""
        if math.isfinite(loss) and loss < self.loss:
            self.step, self.loss, self.later = step, loss, 0
            return True
        self.later += 1
        return False

    def over(self, patience: int | None) -> bool:
        """Whether ``patience`` validations in a row have not been better; never with None."""
        return patience is not None and self.later >= patience
