"""Peers: the same models and the same requests on Myriad and on other model servers.

`python -m bench.peers --help`. Every server has one core, the load generator another; servers take turns.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from bench.peers import seasonal_fleet
from bench.peers.catalogue import NAMES, PEERS, Peer, Workspace
from bench.peers.environments import Environment, anonymized, environment
from bench.peers.measure import AnswersDiffer, Effort, Workload, compare_answers, measure_round, model_memory
from bench.peers.processes import ROOT
from bench.peers.results import Results
from bench.shared.fleet import Fleet
from bench.shared.ports import free_ports
from bench.shared.signals import exit_on_sigterm

FULL_SERIES, QUICK_SERIES = 10_000, 200
FULL_EFFORT, QUICK_EFFORT = Effort(rounds=3, seconds=8, ticks=5), Effort(rounds=1, seconds=1, ticks=2)
PORTS = 4


@click.command()
@click.option("--quick", is_flag=True, help="200 series, one short round; nothing of it is to be kept.")
@click.option("--only", default=",".join(NAMES), metavar="NAME,NAME...", help="These servers only.")
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(only: str, output: Path | None, *, quick: bool) -> None:
    """Measure Myriad and other servers of the same models."""
    exit_on_sigterm()
    if unknown := set(only.split(",")) - set(NAMES):
        raise click.UsageError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    chosen = [peer for peer in PEERS if peer.name in only.split(",")]
    series, effort = (QUICK_SERIES, QUICK_EFFORT) if quick else (FULL_SERIES, FULL_EFFORT)
    results = Results("peers-quick" if quick or len(chosen) < len(PEERS) else "peers", series)
    with tempfile.TemporaryDirectory(prefix="peers-") as directory:
        differing = run(results, chosen, effort, Path(directory))
    results.write(output or ROOT / "bench" / "results")
    if differing:
        raise click.ClickException(f"the answers of {', '.join(differing)} differ from Myriad's")


def run(results: Results, chosen: Sequence[Peer], effort: Effort, directory: Path) -> list[str]:
    """Measure the peers in turns, in another order each round; the names of those whose answers differ."""
    environments = _environments(results, chosen, directory)
    store, models = directory / "store", directory / "models"
    manifest = seasonal_fleet.publish(store.as_uri(), results.series)
    fleet = Fleet.current(store.as_uri(), directory / "local")
    workload = Workload(fleet, manifest.windows)
    if others := [name for name in environments if name != "myriad"]:
        seasonal_fleet.export(fleet, environments[others[0]].python, ROOT, models)
    differing: list[str] = []
    for number in range(-1, effort.rounds):  # in the first round answers are compared, and nothing is measured
        for peer in _rotated([peer for peer in chosen if peer.name in environments], number):
            workspace = _workspace(peer, directory, number)
            try:
                if number < 0:
                    peer.prepare(environments[peer.name], workspace)
                    compare_answers(peer, environments[peer.name], workspace, workload)
                    continue
                figures = measure_round(peer, environments[peer.name], workspace, workload, effort, number)
                results.add(peer, {**figures, **model_memory(figures, fleet.models)})
                results.describe(peer, {"artifacts": seasonal_fleet.sizes(peer.artifacts(workspace))})
            except Exception as exc:  # noqa: BLE001  the failure of one peer is reported, and the others go on
                differing += [peer.name] * isinstance(exc, AnswersDiffer)
                results.fail(peer, _description(exc, directory))
                del environments[peer.name]
    results.conclude()
    return differing


def _environments(results: Results, chosen: Sequence[Peer], directory: Path) -> dict[str, Environment]:
    """The environments of the peers that can be run on this machine, by name."""
    environments = {}
    for peer in chosen:
        results.describe(peer, {"title": peer.title, "tick": peer.tick})
        if reason := peer.why_impossible():
            results.fail(peer, reason)
            continue
        try:
            environments[peer.name] = environment(peer.name)
        except Exception as exc:  # noqa: BLE001  as above
            results.fail(peer, _description(exc, directory))
        else:
            results.describe(peer, {"versions": dict(environments[peer.name].versions)})
    return environments


def _workspace(peer: Peer, directory: Path, number: int) -> Workspace:
    prepared = directory / peer.name
    temporary = prepared / str(number)
    temporary.mkdir(parents=True)
    port, *more = free_ports(PORTS)
    return Workspace(directory / "store", directory / "models", prepared, temporary, port, tuple(more))


def _rotated(peers: Sequence[Peer], number: int) -> list[Peer]:
    """The peers with another one first in each round."""
    start = number % max(len(peers), 1)
    return [*peers[start:], *peers[:start]]


def _description(exc: Exception, directory: Path) -> str:
    notes: Sequence[str] = getattr(exc, "__notes__", [])
    return anonymized("\n".join([f"{type(exc).__name__}: {exc}", *notes]), directory)


if __name__ == "__main__":
    main()
