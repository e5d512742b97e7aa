"""Fuzz of the kernels that read and write bodies, compiled with AddressSanitizer: `python -m bench.fuzz.sanitized`.

Bodies with a little changed are read by every reader, and answered by the kernel that makes answers and by the general
way. A byte read or written out of bounds ends the process; so does an answer that is not the general way's.
"""

import importlib.machinery
import importlib.util
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "fuzz-kernels.json"
STORE, EXTENSION = "MYRIAD_FUZZED_STORE", "MYRIAD_FUZZED_EXTENSION"
FULL_SECONDS = 300
"""A run this long is kept."""
SERIES = 200
UNCHANGED = 0.25
"""Share of the bodies that are left as they are."""


@click.command()
@click.option("--seconds", default=FULL_SECONDS, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(seconds: int, seed: int) -> None:
    """Build the extension with the sanitizer and fuzz it in a process of its own."""
    if STORE in os.environ:
        _fuzz(seconds, seed)
        return
    from bench.shared import myriad_cli

    with tempfile.TemporaryDirectory(prefix="myriad-sanitized-") as name:
        directory = Path(name)
        extension = _built(directory)
        store = f"file://{directory / 'store'}"
        myriad_cli.synth(store, SERIES)
        library = subprocess.run(
            ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        environment = {
            **os.environ, STORE: store, EXTENSION: str(extension), "LD_PRELOAD": library,
            "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc",
        }  # fmt: skip
        command = [sys.executable, "-m", "bench.fuzz.sanitized", f"--seconds={seconds}", f"--seed={seed}"]
        raise SystemExit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)


def _built(directory: Path) -> Path:
    source, extension = directory / "_compiled.c", directory / "_compiled.so"
    subprocess.run(
        [sys.executable, "-m", "cython", str(ROOT / "kernels" / "_compiled.pyx"), "-o", str(source)], check=True
    )
    flags = ["-shared", "-fPIC", "-O1", "-g", "-ffp-contract=off", "-fsanitize=address", "-fno-omit-frame-pointer"]
    include = f"-I{sysconfig.get_paths()['include']}"
    subprocess.run(["cc", *flags, include, str(source), "-o", str(extension)], check=True)
    return extension


def _take_sanitized() -> Any:
    """Have the sanitized extension imported wherever the kernels are."""
    import myriad.kernels

    name = "myriad.kernels._compiled"
    loader = importlib.machinery.ExtensionFileLoader(name, os.environ[EXTENSION])
    spec = importlib.util.spec_from_loader(name, loader)
    if spec is None:
        raise RuntimeError("the sanitized extension cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    vars(myriad.kernels)["_compiled"] = module
    return module


def _fuzz(seconds: int, seed: int) -> None:
    compiled = _take_sanitized()  # before anything imports the kernels
    from bench.fuzz.byte_level import mutate
    from bench.shared.report import machine
    from myriad.formats.base import Bounds
    from myriad.formats.bodies.json_series import parse
    from myriad.formats.bodies.json_series_answer import encode
    from myriad.models.errors import MyriadError
    from myriad.serving.predict import PredictEndpoint
    from myriad.serving.predictor import Predictor
    from myriad.serving.settings import Settings
    from myriad.storage.shard import Shard

    settings = Settings(store=os.environ[STORE])
    predictor = Predictor.open(settings.store)
    bounds, endpoint, rng = (
        Bounds(settings.max_points, settings.max_series),
        PredictEndpoint(predictor, settings),
        random.Random(seed),
    )
    names = []
    for artifact in predictor.manifest.artifacts:
        shard = predictor._cache.get(artifact)
        opened = shard if isinstance(shard, Shard) else shard.result()
        names += [opened.name_of(k) for k in range(len(opened))]
    counted = {"bodies": 0, "answered": 0, "read as rows": 0, "read as columns": 0}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        series = rng.choice(names)._asdict()
        points = [{"timestamp": 1_767_571_200 + 60 * i, "value": _value(rng)} for i in range(rng.choice((1, 2, 5, 90)))]
        kind = rng.randrange(3)
        if kind == 0:
            options = {
                "bands": rng.random() < 0.5,
                "digits": rng.randrange(18),
                "combine": rng.choice(("max", "weighted")),
            }
            body: dict[str, Any] = {**series, "datapoints": points, **options}
        elif kind == 1:
            body = {"datapoints": [{**series, **point} for point in points]}
        else:
            body = {name: [text] * len(points) for name, text in series.items()}
            body |= {name: [point[name] for point in points] for name in ("timestamp", "value")}
        changed = json.dumps(body).encode()
        if rng.random() > UNCHANGED:
            changed, _ = mutate(rng, changed)
        counted["bodies"] += 1
        counted["read as rows"] += compiled.rows_of(changed, 1000) is not None
        counted["read as columns"] += compiled.columns_of(changed, 1000) is not None
        answer = endpoint.answer_at_once(changed, b"HTTP/1.1 200 OK\r\ncontent-length: ")
        try:
            request = parse(changed, bounds)
            general = encode(request, predictor.score(request.query))
        except MyriadError:
            general = b""
        if answer is not None:
            counted["answered"] += 1
            if answer.partition(b"\r\n\r\n")[2] != general:
                raise RuntimeError(f"another answer than the general way's: {changed!r}")
        compiled.written([np.array([_value(rng) for _ in range(20)])], rng.randrange(18))
    print(json.dumps(counted))
    if seconds >= FULL_SECONDS:
        RESULTS.write_text(
            json.dumps({"machine": machine(), "seconds": seconds, "seed": seed, **counted}, indent=2) + "\n"
        )


def _value(rng: random.Random) -> float:
    return rng.choice((rng.random(), rng.randrange(1000), rng.random() * 10.0 ** rng.randrange(-300, 150), 0.0, -1.5))


if __name__ == "__main__":
    main()
