"""Memory: what a service with the whole fleet open takes."""

from bench.shared.fleet import Fleet
from bench.shared.fleet_service import open_all_shards
from bench.shared.service import Service


def measure(fleet: Fleet, service: Service, workers: int) -> dict[str, float]:
    """Resident bytes before and after opening the whole fleet; a model's share is of all the bytes after."""
    before = service.memory
    open_all_shards(fleet, service, workers)
    after = service.memory
    return {
        "rss_empty_bytes": before.rss,
        "rss_bytes": after.rss,
        "pss_bytes": after.pss,
        "rss_bytes_a_model": after.rss / fleet.models,
        "pss_bytes_a_model": after.pss / fleet.models,
    }
