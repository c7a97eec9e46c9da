import numpy as np

from real_env.percentiles import Percentiles


def test_percentiles_are_right_within_a_bin() -> None:
    times, spread = np.random.default_rng(0).lognormal(1.0, 2.0, 5000), Percentiles()
    first, second = Percentiles(), Percentiles()
    for k, time in enumerate(times):
        (first if k % 2 else second).add(time)
    spread.merge(first)
    spread.merge(second)
    found = spread.percentiles()
    for name, share in (("p50", 50.0), ("p99", 99.0)):
        assert abs(found[name] / np.percentile(times, share) - 1.0) < 0.1
    assert found["worst"] == times.max()
    assert Percentiles().percentiles() == {"p50": 0.0, "p99": 0.0, "worst": 0.0}
