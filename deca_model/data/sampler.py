"""Which images form which batch: B subjects x K images, as a pure function of (seed, epoch, batch).

Nothing here depends on the number of loader workers, on the process or on what was drawn before, so a
resumed run continues with exactly the batches that an uninterrupted one would have seen.

An epoch shows every image of the table once. Each subject's images are shuffled and cut into groups of K;
the last group of a subject is filled up with its own earlier images, so an image repeats within a
group only if the subject has fewer than K. The groups are then dealt to the batches in such a way that
a subject meets itself in a batch only if it has more groups than there are batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from deca_model.data.swap_partners import swap_partners
from manifests.errors import UsageError

EXPRESSIONS = 8
"""Number of AffectNet's expression classes: neutral, happy, sad, surprise, fear, disgust, anger, contempt."""

_PASS, _EPOCH, _BATCH = 1, 2, 3  # keep the random streams of the three uses apart


class Draws(NamedTuple):
    """One batch, subject after subject: rows of the face table and how each is to be cropped."""

    epoch: int
    index: int
    rows: np.ndarray  # (B*K,) int64
    scales: np.ndarray  # (B*K,) float64, see crop.face_square
    shifts: np.ndarray  # (B*K, 2) float64
    seeds: np.ndarray | None = None  # (B*K,) int64, for augment.augment; None: the photos are not changed
    partners: np.ndarray | None = None  # (B*K,) int64, see swap_partners; None: no codes are swapped

    def share(self, rank: int, world: int) -> Draws:
        """The part of the batch that process ``rank`` of ``world`` works on; B must divide by ``world``."""
        part = slice(rank * len(self.rows) // world, (rank + 1) * len(self.rows) // world)
        seeds = None if self.seeds is None else self.seeds[part]
        partners = None if self.partners is None else self.partners[part] - part.start
        own = self.rows[part], self.scales[part], self.shifts[part]
        return Draws(self.epoch, self.index, *own, seeds, partners)


class TooFewFaces(UsageError):
    """A batch needs more groups of images than there are; ``groups`` is how many there are."""

    def __init__(self, subjects: int, images: int, groups: int) -> None:
        super().__init__(
            f"A batch of {subjects} subjects x {images} images needs at least {subjects} groups of images, "
            f"but the manifest gives {groups}: lower the stage's `subjects` or `images`, or add photos."
        )
        self.groups = groups


class SubjectSampler:
    """Draws batches of ``subjects`` x ``images`` rows.

    Args:
        subject_of_row: (N,) subject number of each row.
        dataset_of_row: (N,) dataset number of each row, or the number of another class to draw by.
        subjects: B, groups per batch.
        images: K, images per group.
        seed: any non-negative number.
        shares: share of the groups of an epoch that each dataset number gives; None takes every
            image once. With shares the epoch keeps its length, and a dataset goes on in the next
            epoch where it stopped in this one. Rows of a number without a share are left out.
        scales: range of the crop factor.
        shift: largest shift of the crop's centre, see ``crop.face_square``.

    Raises:
        TooFewFaces: there are fewer groups than one batch needs.
    """

    def __init__(
        self,
        subject_of_row: np.ndarray,
        dataset_of_row: np.ndarray,
        *,
        subjects: int,
        images: int,
        seed: int,
        shares: Mapping[int, float] | None = None,
        scales: tuple[float, float] = (1.4, 1.8),
        shift: float = 0.0,
    ) -> None:
        self.subjects, self.images, self.seed = subjects, images, seed
        self.scales, self.shift = scales, shift
        datasets = sorted(shares) if shares else [int(d) for d in np.unique(dataset_of_row)]
        self._parts = [_DatasetRows(subject_of_row, np.flatnonzero(dataset_of_row == d)) for d in datasets]
        sizes = [part.groups(images) for part in self._parts]
        wanted = [shares[d] for d in datasets] if shares else sizes
        self._groups = _apportion(sum(sizes), wanted)
        self.batches_per_epoch = sum(sizes) // subjects
        if self.batches_per_epoch == 0:
            raise TooFewFaces(subjects, images, sum(sizes))
        self._planned: tuple[int, np.ndarray] | None = None

    def batch(self, epoch: int, index: int) -> Draws:
        """Returns batch ``index`` of ``epoch``."""
        rows = self._plan(epoch)[index].reshape(-1)
        random = _generator(self.seed, _BATCH, epoch, index)
        scales = random.uniform(*self.scales, size=len(rows))
        shifts = random.uniform(-self.shift, self.shift, size=(len(rows), 2))
        seeds = random.integers(2**63, size=len(rows))
        partners = swap_partners(self.subjects, self.images, seed=self.seed, position=(epoch, index))
        return Draws(epoch, index, rows, scales, shifts, seeds, partners)

    def stream(self, start: int = 0) -> Iterator[Draws]:
        """Yields batches without end; ``start`` is the number of batches already seen since epoch 0."""
        while True:
            yield self.batch(*divmod(start, self.batches_per_epoch))
            start += 1

    def _plan(self, epoch: int) -> np.ndarray:  # (batches, B, K)
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._deal(epoch))
        return self._planned[1]

    def _deal(self, epoch: int) -> np.ndarray:  # (batches, B, K)
        taken = [self._take(number, epoch) for number in range(len(self._parts))]
        rows = np.concatenate([part for part, _ in taken])
        subjects = np.concatenate([owner for _, owner in taken])
        random = _generator(self.seed, _EPOCH, epoch)
        # A subject's groups stand together, and neighbours go to different batches, like dealt cards.
        turn = random.permutation(int(subjects.max()) + 1)[subjects]
        order = np.lexsort((random.random(len(rows)), turn))
        batches = self.batches_per_epoch
        dealt = rows[order][: batches * self.subjects].reshape(self.subjects, batches, self.images)
        return dealt.transpose(1, 0, 2)[random.permutation(batches)]

    def _take(self, number: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The groups that dataset ``number`` gives to ``epoch``, and their subjects."""
        part, wanted = self._parts[number], self._groups[number]
        start = epoch * wanted
        rows, owners = [], []
        while wanted:
            turn, offset = divmod(start, part.groups(self.images))
            random = _generator(self.seed, _PASS, number, turn)
            groups, owner = part.shuffled_groups(self.images, random)
            count = min(wanted, len(groups) - offset)
            rows.append(groups[offset : offset + count])
            owners.append(owner[offset : offset + count])
            start, wanted = start + count, wanted - count
        if not rows:
            return np.zeros((0, self.images), np.int64), np.zeros(0, np.int64)
        return np.concatenate(rows), np.concatenate(owners)


def expression_shares(expressions: np.ndarray) -> dict[int, float]:
    """Equal shares for ``SubjectSampler`` of those of AffectNet's expressions 0 to 7 that there are.

    AffectNet's classes 8 to 10 (none, uncertain, no face) get no share, as in EMOCA.

    Raises:
        UsageError: no face has one of these expressions.
    """
    found = np.unique(expressions[(expressions >= 0) & (expressions < EXPRESSIONS)])
    if not len(found):
        raise UsageError(
            "balance=expression: no face of the manifest has an expression from 0 to 7; train on AffectNet's "
            "faces, or set balance=null."
        )
    return {int(number): 1.0 for number in found}


class _DatasetRows:
    """The rows of one dataset, grouped by subject."""

    def __init__(self, subject_of_row: np.ndarray, rows: np.ndarray) -> None:
        order = np.argsort(subject_of_row[rows], kind="stable")
        self.rows = rows[order]
        self.subject_names, self.counts = np.unique(subject_of_row[rows], return_counts=True)

    def groups(self, images: int) -> int:
        return int(np.sum(-(-self.counts // images)))

    def shuffled_groups(self, images: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Groups (G, K) of rows in random order, each of one subject, and their subjects (G,)."""
        place = np.repeat(np.arange(len(self.counts)), self.counts)
        shuffled = self.rows[np.lexsort((random.random(len(place)), place))]
        starts = np.cumsum(self.counts) - self.counts
        groups = -(-self.counts // images)
        owner = np.repeat(np.arange(len(self.counts)), groups)
        turn = np.arange(len(owner)) - np.repeat(np.cumsum(groups) - groups, groups)
        within = turn[:, None] * images + np.arange(images)
        # Past the subject's last image the count wraps round to its first: other images, if there are enough.
        taken = shuffled[starts[owner][:, None] + within % self.counts[owner][:, None]]
        order = random.permutation(len(taken))
        return taken[order], self.subject_names[owner][order]


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def _apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Splits ``total`` by ``weights`` into whole numbers that sum to it (largest remainders)."""
    exact = np.asarray(weights, dtype=np.float64) / np.sum(weights) * total
    whole = np.floor(exact).astype(int)
    short = total - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:short]] += 1
    return [int(count) for count in whole]
