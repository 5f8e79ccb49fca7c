from __future__ import annotations

import numpy as np
import pytest

from deca_model.data.sampler import SubjectSampler, expression_shares
from manifests.errors import UsageError


def sampler(counts, *, subjects=2, images=2, seed=3, datasets=None, **more):
    owner = np.repeat(np.arange(len(counts)), counts)
    dataset = np.zeros(len(owner), int) if datasets is None else np.repeat(datasets, counts)
    return SubjectSampler(owner, dataset, subjects=subjects, images=images, seed=seed, **more), owner


def rows(sampler, epoch):
    return np.stack([sampler.batch(epoch, i).rows for i in range(sampler.batches_per_epoch)])


def test_every_image_is_shown_once_an_epoch_where_the_groups_come_out_even():
    draws, _ = sampler([4, 2, 6, 4, 8])
    for epoch in range(3):
        np.testing.assert_array_equal(np.sort(rows(draws, epoch).reshape(-1)), np.arange(24))
    assert not np.array_equal(rows(draws, 0), rows(draws, 1))


def test_a_group_is_one_subject_and_repeats_an_image_only_if_the_subject_has_too_few():
    counts = [1, 2, 3, 5, 7, 4, 9, 3]
    draws, owner = sampler(counts, subjects=3, images=4)
    groups = rows(draws, 0).reshape(-1, 4)
    assert (owner[groups] == owner[groups[:, :1]]).all()
    for group in groups:
        assert len(set(group)) == min(4, counts[owner[group[0]]])


def test_a_subject_meets_itself_in_a_batch_only_if_it_must():
    draws, owner = sampler([4, 4, 6, 2, 8, 10, 6], subjects=4, images=2)
    for batch in rows(draws, 0):
        assert len(set(owner[batch])) == 4


def test_a_batch_is_a_function_of_seed_epoch_and_number_alone():
    first, _ = sampler([5, 4, 3, 8, 8], seed=7)
    second, _ = sampler([5, 4, 3, 8, 8], seed=7)
    second.batch(5, 0)
    wanted = [first.batch(*divmod(n, first.batches_per_epoch)) for n in range(20)]
    late = second.stream(start=11)
    for expected in wanted[11:]:
        got = next(late)
        assert (got.epoch, got.index) == (expected.epoch, expected.index)
        for name in ("rows", "scales", "shifts"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
        assert expected.seeds is not None
        assert got.seeds is not None
        np.testing.assert_array_equal(got.seeds, expected.seeds)
        assert got.partners is not None
        assert expected.partners is not None
        np.testing.assert_array_equal(got.partners, expected.partners)
    other, _ = sampler([5, 4, 3, 8, 8], seed=8)
    assert not np.array_equal(rows(first, 0), rows(other, 0))


def test_a_photo_gets_the_code_of_another_photo_of_its_subject_also_in_a_share():
    draws, owner = sampler([4, 4, 6, 8, 8, 6, 4, 4], subjects=4, images=2)
    batch = draws.batch(0, 1)
    assert batch.partners is not None
    for share in (batch, batch.share(0, 2), batch.share(1, 2)):
        partners = share.partners
        assert partners is not None
        assert sorted(partners) == list(range(len(share.rows)))
        assert (partners != np.arange(len(partners))).all()
        assert (owner[share.rows[partners]] == owner[share.rows]).all()
    both = [batch.share(rank, 2) for rank in range(2)]
    taken = np.concatenate([share.rows[share.partners] for share in both])
    np.testing.assert_array_equal(taken, batch.rows[batch.partners])
    assert sampler([4, 4], subjects=2, images=1)[0].batch(0, 0).partners is None


def test_crop_factors_fill_the_asked_range():
    draws, _ = sampler([64], subjects=32, images=2, scales=(1.4, 1.8), shift=0.1)
    scales = np.concatenate([draws.batch(epoch, 0).scales for epoch in range(20)])
    shifts = np.concatenate([draws.batch(epoch, 0).shifts for epoch in range(20)])
    assert 1.4 <= scales.min() < 1.41
    assert 1.79 < scales.max() <= 1.8
    assert abs(scales.mean() - 1.6) < 0.02
    assert 0.09 < np.abs(shifts).max() <= 0.1
    assert len(np.unique(scales)) == len(scales)


def test_the_shares_of_the_processes_make_up_the_batch():
    draws, _ = sampler([4] * 8, subjects=4, images=2)
    whole = draws.batch(0, 1)
    parts = [whole.share(rank, 2) for rank in range(2)]
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), whole.rows)
    np.testing.assert_array_equal(np.concatenate([part.scales for part in parts]), whole.scales)


def test_a_mix_gives_each_dataset_its_share_and_loses_no_image_over_the_epochs():
    counts = [4] * 10 + [4] * 30
    draws, _ = sampler(
        counts, subjects=4, images=2, datasets=[0] * 10 + [1] * 30, shares={0: 0.5, 1: 0.5}, seed=1
    )
    seen = [rows(draws, epoch).reshape(-1) for epoch in range(3)]
    for epoch in seen:
        assert (epoch < 40).sum() == len(epoch) / 2 == 80
    # 60 groups of dataset 1, 40 an epoch: two passes in three epochs, each image exactly twice
    found = np.bincount(np.concatenate(seen), minlength=160)
    assert (found[40:] == 2).all()
    assert (found[:40] == 6).all()


def test_balanced_expressions_are_drawn_equally_often_and_faces_without_one_never():
    expressions = np.repeat([0, 1, 3, 7, 8, 10, -1], [60, 20, 8, 8, 30, 5, 9])
    shares = expression_shares(expressions)
    assert shares == {0: 1.0, 1: 1.0, 3: 1.0, 7: 1.0}
    draws = SubjectSampler(
        np.arange(140), expressions, subjects=8, images=1, seed=2, shares=shares, scales=(1.375, 1.375)
    )
    assert draws.batches_per_epoch == 96 // 8  # an epoch is as long as the faces with an expression
    seen = [rows(draws, epoch).reshape(-1) for epoch in range(5)]
    for epoch in seen:
        found, counts = np.unique(expressions[epoch], return_counts=True)
        assert dict(zip(found.tolist(), counts.tolist(), strict=True)) == {0: 24, 1: 24, 3: 24, 7: 24}
    # 120 draws of each expression: every face of one is drawn equally often
    counts = np.bincount(np.concatenate(seen), minlength=140)
    for expression, times in ((0, 2), (1, 6), (3, 15), (7, 15)):
        assert (counts[expressions == expression] == times).all()
    assert (draws.batch(0, 0).scales == 1.375).all()


def test_balance_without_any_expression_is_a_plain_sentence():
    with pytest.raises(UsageError, match="no face of the manifest has an expression from 0 to 7"):
        expression_shares(np.array([-1, -1, 8, 9, 10]))


def test_too_few_photos_for_a_batch_is_a_plain_sentence():
    with pytest.raises(UsageError, match="at least 9 groups of images, but the manifest gives 4"):
        sampler([2, 2], subjects=9, images=1)
