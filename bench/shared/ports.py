"""Free TCP ports of this machine."""

import random
import socket

GRPC_OFFSET = 10_000
"""SeaweedFS listens with gRPC this far above each of its ports."""


def free_ports(count: int) -> list[int]:
    """Distinct ports on which nothing listens, each free at +10,000 as well."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 30_000)
        if port not in ports and _is_free(port) and _is_free(port + GRPC_OFFSET):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
