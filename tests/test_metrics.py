"""What the controller counts, over a year of policies."""

from prometheus_client import generate_latest

from controller.metrics import MOST_VERSIONS, Metrics

YEAR = 8_760


def scraped(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def count_as_for_an_answer(metrics: Metrics, version: str) -> None:
    metrics.swapped(version)
    metrics.for_version(version).seconds.note(1e-5, 1e-5, 2e-5)
    metrics.for_version(version).late.inc()
    metrics.shadowed(version, 0.1)


def test_a_scrape_does_not_grow_with_every_policy_of_a_year() -> None:
    metrics = Metrics()
    versions = [f"{k:064x}"[::-1] for k in range(YEAR)]
    for version in versions[:MOST_VERSIONS]:
        count_as_for_an_answer(metrics, version)
    lines = len(scraped(metrics).splitlines())
    for version in versions[MOST_VERSIONS:]:
        count_as_for_an_answer(metrics, version)
    text = scraped(metrics)
    assert len(text.splitlines()) == lines
    for version in versions[-MOST_VERSIONS:]:
        for name in ("hds_swaps_total", "hds_actions_total", "hds_deadline_misses_total"):
            assert f'{name}{{version="{version[:12]}"}} 1.0' in text
        assert f'hds_shadow_difference_count{{version="{version[:12]}"}} 1.0' in text
    assert versions[0][:12] not in text


def test_a_version_that_serves_again_is_counted_again() -> None:
    metrics = Metrics()
    for k in range(MOST_VERSIONS + 1):
        count_as_for_an_answer(metrics, f"{k:064x}"[::-1])
    first = f"{0:064x}"
    assert first[:12] not in scraped(metrics)
    count_as_for_an_answer(metrics, first)
    assert f'hds_actions_total{{version="{first[:12]}"}} 1.0' in scraped(metrics)
