"""Peers: the same models and the same requests, on Myriad and on what one would pick instead.

`python -m bench.peers --help`. Every server has one core, the load generator another; servers take turns.
"""

import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from bench.fleet import Fleet
from bench.peers import fleet as fleets
from bench.peers.catalogue import NAMES, PEERS, Peer, Places
from bench.peers.environments import Environment, environment, plain
from bench.peers.measure import AnswersDiffer, Effort, Questions, checked, held, one_round
from bench.peers.processes import ROOT
from bench.peers.results import Results
from bench.weed import free_ports

FULL, QUICK = 10_000, 200
THOROUGH, BRIEF = Effort(rounds=3, seconds=8, ticks=5), Effort(rounds=1, seconds=1, ticks=2)
PORTS = 4


@click.command()
@click.option("--quick", is_flag=True, help="200 series, one short round; nothing of it is to be kept.")
@click.option("--only", default=",".join(NAMES), metavar="NAME,NAME...", help="These servers only.")
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(only: str, output: Path | None, *, quick: bool) -> None:
    """Measure Myriad beside other servers of the same models."""
    signal.signal(signal.SIGTERM, _end)
    if unknown := set(only.split(",")) - set(NAMES):
        raise click.UsageError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    chosen = [peer for peer in PEERS if peer.name in only.split(",")]
    series, effort = (QUICK, BRIEF) if quick else (FULL, THOROUGH)
    results = Results("peers-quick" if quick or len(chosen) < len(PEERS) else "peers", series)
    with tempfile.TemporaryDirectory(prefix="peers-") as directory:
        differing = run(results, chosen, effort, Path(directory))
    results.write(output or ROOT / "bench" / "results")
    if differing:
        raise click.ClickException(f"the answers of {', '.join(differing)} differ from Myriad's")


def run(results: Results, chosen: Sequence[Peer], effort: Effort, directory: Path) -> list[str]:
    """Measure the peers in turns, in another order each round; the names of those whose answers differ."""
    ready = _environments(results, chosen, directory)
    store, models = directory / "store", directory / "models"
    manifest = fleets.publish(store.as_uri(), results.series)
    fleet = Fleet.of(store.as_uri(), directory / "local")
    questions = Questions(fleet, manifest.windows)
    if others := [name for name in ready if name != "myriad"]:
        fleets.export(fleet, ready[others[0]].python, ROOT, models)
    differing: list[str] = []
    for number in range(-1, effort.rounds):  # in the first one answers are compared, and nothing is measured
        for peer in _turned([peer for peer in chosen if peer.name in ready], number):
            places = _places(peer, directory, number)
            try:
                if number < 0:
                    peer.prepare(ready[peer.name], places)
                    checked(peer, ready[peer.name], places, questions)
                    continue
                figures = one_round(peer, ready[peer.name], places, questions, effort, number)
                results.add(peer, {**figures, **held(figures, fleet.models)})
                results.about(peer, {"artifacts": fleets.sizes(peer.artifacts(places))})
            except Exception as exc:  # noqa: BLE001  what one peer cannot do is told, and the others go on
                differing += [peer.name] * isinstance(exc, AnswersDiffer)
                results.fail(peer, _told(exc, directory))
                del ready[peer.name]
    results.conclude()
    return differing


def _environments(results: Results, chosen: Sequence[Peer], directory: Path) -> dict[str, Environment]:
    """The environments of those that can be run here."""
    ready = {}
    for peer in chosen:
        results.about(peer, {"title": peer.title, "tick": peer.tick})
        if why := peer.impossible():
            results.fail(peer, why)
            continue
        try:
            ready[peer.name] = environment(peer.name)
        except Exception as exc:  # noqa: BLE001  as above
            results.fail(peer, _told(exc, directory))
        else:
            results.about(peer, {"versions": dict(ready[peer.name].versions)})
    return ready


def _places(peer: Peer, directory: Path, number: int) -> Places:
    own = directory / peer.name
    fresh = own / str(number)
    fresh.mkdir(parents=True)
    port, *more = free_ports(PORTS)
    return Places(directory / "store", directory / "models", own, fresh, port, tuple(more))


def _turned(peers: Sequence[Peer], number: int) -> list[Peer]:
    """Another one first in each round."""
    at = number % max(len(peers), 1)
    return [*peers[at:], *peers[:at]]


def _told(exc: Exception, directory: Path) -> str:
    notes: Sequence[str] = getattr(exc, "__notes__", [])
    return plain("\n".join([f"{type(exc).__name__}: {exc}", *notes]), directory)


def _end(number: int, _: FrameType | None) -> None:
    """Leave as on Ctrl-C, so that everything started is stopped."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
