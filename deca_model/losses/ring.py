"""RingNet's ring loss: photos of one person give nearer shape codes than photos of different persons."""

from __future__ import annotations

from torch import Tensor

MARGIN = 0.5
"""By how much nearer, in squared code units; RingNet's value."""


def ring_loss(
    shapes: Tensor,  # (N, 100)
    partners: Tensor,  # (N,) int64: for each photo another photo of its person
    subjects: Tensor,  # (N,) int64: the person of each photo
) -> Tensor:  # ()
    """Mean of max(0, within - between + margin) over all pairs of photos of different persons.

    ``within`` is the squared distance of a photo's code from its partner's, ``between`` that from the other
    person's. Sanyal et al. 2019 ("Learning to regress 3D face shape and expression from an image without 3D
    supervision"), equation 3; there a ring has one other person, here it has all of the batch. 0 if the batch
    shows one person only.
    """
    within = (shapes - shapes.index_select(0, partners)).square().sum(dim=1)
    between = (shapes[:, None] - shapes[None]).square().sum(dim=2)
    others = (subjects[:, None] != subjects[None]).to(shapes.dtype)
    hinge = (within[:, None] - between + MARGIN).clamp(min=0) * others
    return hinge.sum() / others.sum().clamp(min=1)
