"""`myriad serve`: the HTTP service."""

import os
import resource
import shutil
import signal
import ssl
import tempfile
from typing import Any

import click
from pydantic import ValidationError
from pythonjsonlogger.core import RESERVED_ATTRS

from myriad.serving.settings import Settings


def _options(command: click.Command) -> click.Command:
    """A flag for each setting; what is not given comes from the environment."""
    for name, field in reversed(Settings.model_fields.items()):
        flag = f"--{name.replace('_', '-')}"
        help_text = f"{field.description}.  [default: {field.default}]"
        command.params.insert(0, click.Option([flag, name], metavar="VALUE", help=help_text))
    return command


@_options
@click.command()
def serve(**flags: Any) -> None:
    """Serve /predict over HTTP.

    Every flag can be set as an environment variable too: `myriad settings` lists them.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as exc:
        wrong = exc.errors()[0]
        raise click.UsageError(f"--{str(wrong['loc'][0]).replace('_', '-')}: {wrong['msg']}") from exc
    # Workers are processes of their own and find their settings in the environment.
    os.environ |= {f"MYRIAD_{name.upper()}": str(value) for name, value in given.items()}
    shared = tempfile.mkdtemp(prefix="myriad-metrics-")
    if settings.workers > 1:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
    try:
        _run(settings)
    finally:
        shutil.rmtree(shared, ignore_errors=True)
    os._exit(0)  # what was accepted has been answered; a load under way is not waited for


def _run(settings: Settings) -> None:
    import uvicorn

    from myriad.serving.plain import PlainProtocol

    # uvicorn finishes what it accepted and then raises the signal anew: that is a good end.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # An open shard is an open file.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvicorn.run(
        "myriad.serving.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_config=_logging(settings.log_level.upper()),
        loop="myriad.serving.event_loop:Loop",
        http=PlainProtocol,
        ws="none",
        timeout_keep_alive=settings.keep_alive_seconds,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
        ssl_ca_certs=settings.tls_client_ca or None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.tls_client_ca else ssl.CERT_NONE,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        server_header=False,
        proxy_headers=False,
    )


def _logging(level: str) -> dict[str, Any]:
    """One line of JSON a record."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s %(process)d",
                "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
    }
