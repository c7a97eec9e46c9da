"""Recorded motion is cut, split, resampled and remembered without losing or joining anything."""

import numpy as np

from trainer.dynamics.dynamics_model import WINDOW_STEPS, split
from trainer.dynamics.ensemble_dynamics import resampled
from trainer.dynamics.windows import (
    Segment,
    append_action_history,
    make_windows,
    split_at_nonfinite,
    typical_change,
)


def test_a_state_remembers_the_action_before_it_even_where_a_motion_was_cut() -> None:
    segment = Segment(np.zeros((6, 2)), np.arange(1.0, 6.0)[:, None])
    (whole,), (part,) = append_action_history([segment], 1), append_action_history([segment.part(2, 5)], 1)
    np.testing.assert_array_equal(whole.x[:, 2], [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(part.x[:, 2], [2, 3, 4, 5])
    assert append_action_history([segment], 0) == [segment]


def test_a_motion_is_cut_where_a_number_is_not_finite() -> None:
    x, u = np.arange(22.0).reshape(11, 2), np.arange(10.0)[:, None]
    x[4, 1] = np.nan
    before, after = split_at_nonfinite([Segment(x, u)])
    np.testing.assert_array_equal(before.x, x[:4])
    np.testing.assert_array_equal(after.x, x[5:])
    np.testing.assert_array_equal(after.u, u[5:])
    np.testing.assert_array_equal(after.before, u[4])
    assert split_at_nonfinite([Segment(np.full((3, 2), np.nan), np.zeros((2, 1)))]) == []


def test_a_stretch_never_begins_with_the_memory_of_an_action_that_is_not_finite() -> None:
    x, u = np.arange(22.0).reshape(11, 2), np.arange(10.0)[:, None]
    u[4] = np.nan
    before, after = split_at_nonfinite([Segment(x, u)])
    np.testing.assert_array_equal(before.u, u[:4])
    np.testing.assert_array_equal(after.x, x[6:])
    assert all(np.all(np.isfinite(segment.x)) for segment in append_action_history([before, after], 1))


def test_windows_cover_the_data_and_padding_weighs_nothing() -> None:
    segments = [Segment(np.arange(21.0)[:, None], np.zeros((20, 1)))]
    windows = make_windows(segments, 5, 32)
    starts = {int(x[0, 0]) for x, weight in zip(windows.x, windows.weight, strict=True) if weight}
    assert starts == set(range(16))
    assert windows.weight.sum() == 16


def test_held_out_data_is_no_part_of_the_fitted_data() -> None:
    for count in (1, 5):
        segments = [Segment(np.full((101, 1), i) + np.linspace(0, 0.5, 101)[:, None], np.zeros((100, 1)))
                   for i in range(count)]  # fmt: skip
        parts = split(segments)
        fitted = {float(v) for segment in parts.fitted for v in segment.x[:-1, 0]}
        held_out = {float(v) for segment in parts.held_out for v in segment.x[:-1, 0]}
        assert held_out
        assert not fitted & held_out


def test_resampling_draws_whole_blocks_of_the_data_and_never_joins_them() -> None:
    segment = Segment(np.arange(101.0)[:, None], np.arange(100.0)[:, None])
    blocks = resampled([segment], np.random.default_rng(0))
    assert len(blocks) == 5
    for block in blocks:
        np.testing.assert_array_equal(np.diff(block.x[:, 0]), 1.0)
        np.testing.assert_array_equal(block.x[:-1], block.u)


def test_typical_change_ignores_padding() -> None:
    segments = [Segment(np.random.default_rng(0).normal(size=(31, 2)), np.zeros((30, 1)))]
    np.testing.assert_allclose(
        typical_change(make_windows(segments, WINDOW_STEPS, 21)),
        typical_change(make_windows(segments, WINDOW_STEPS, 64)),
        rtol=1e-6,
    )
