"""A Kubernetes of one node in a container, for `up --cluster` and for the tests.

`CLUSTER_IMAGE` replaces k3s's image of the node.
"""

import ipaddress
import os
import re
import socket
import time
from pathlib import Path

from scripts.release import engine
from scripts.workspace import console, files, settings
from scripts.workspace.errors import YourTurn

NEEDS = "dev"  # for testcontainers
IMAGE = os.environ.get("CLUSTER_IMAGE") or "rancher/k3s:v1.35.4-k3s1"
KUBECONFIG = Path("build/cluster/kubeconfig")
REGISTRY = "127.0.0.1:5000"
# The 127.0.0.1 of this machine is the node's host, seen from the node.
REGISTRIES = f"""\
mirrors:
  "{REGISTRY}":
    endpoint:
      - "http://host.docker.internal:5000"
"""


def container(folder: Path, name: str | None = None, labels: dict[str, str] | None = None):
    """The node, not started yet: a K3SContainer that pulls what was pushed to `REGISTRY`. `folder` holds a file that the node mounts."""
    from testcontainers.community.k3s import K3SContainer

    _find_engine()
    files.write(folder / "registries.yaml", REGISTRIES)
    # Without the host's /sys/fs/cgroup, pods' cgroups lie in the container's own and go with it.
    node = K3SContainer(IMAGE, enable_cgroup_mount=False)
    node.with_kwargs(privileged=True, extra_hosts={"host.docker.internal": "host-gateway"}, labels=labels or {})
    node.with_volume_mapping((folder / "registries.yaml").absolute(), "/etc/rancher/k3s/registries.yaml")
    return node.with_name(name) if name else node


def _find_engine() -> None:
    """Tells testcontainers where the engine publishes the node's ports, also from within a container.

    If the engine runs in this container, that is here. If only its socket is mounted, that is the container's default gateway.
    """
    from testcontainers.core import utils
    from testcontainers.core.config import ConnectionMode, testcontainers_config

    if not testcontainers_config.connection_mode_override:
        testcontainers_config.connection_mode_override = ConnectionMode.docker_host
    if utils.inside_container() and not testcontainers_config.tc_host_override and not _is_here(engine.client()):
        testcontainers_config.tc_host_override = utils.default_gateway_ip()


def _is_here(client) -> bool:
    """Whether the engine's end of its bridge is an interface of this computer."""
    bridge = client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    gateway = bridge.get("Gateway") or str(next(ipaddress.ip_network(bridge["Subnet"]).hosts()))
    with socket.socket() as probe:
        try:
            probe.bind((gateway, 0))
        except OSError:
            return False
    return True


def check_registry() -> None:
    """Raises YourTurn, before anything is made, if the node could not pull from the registry that pyproject.toml names."""
    image = settings.read().image
    if not image:
        raise YourTurn("a cluster pulls from a registry, and none is set", f"./pipeline init --image {REGISTRY}/NAME")
    if image.startswith(f"{REGISTRY}/"):
        host, port = REGISTRY.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError as error:
            problem = f"no registry answers at {REGISTRY}: {error.strerror or error}"
            raise YourTurn(problem, f"docker run --detach --publish {port}:5000 registry:3") from None


def start() -> Path:
    """Starts this checkout's node unless it runs. Returns its kubeconfig."""
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True  # the reaper would stop the node when this process ends
    client = engine.client()
    with console.stage("cluster") as stage:
        running = KUBECONFIG.exists() and client.containers.list(filters={"name": f"^/{_name()}$"})
        if not running:
            stop()
            node = container(KUBECONFIG.parent, _name())
            with engine.explained(f"the node {IMAGE} cannot be started"):
                node.start()
            files.write(KUBECONFIG, kubeconfig(node))
            KUBECONFIG.chmod(0o600)
        stage.result = f"container {_name()}; export KUBECONFIG={KUBECONFIG.absolute()}"
    return KUBECONFIG


def kubeconfig(node) -> str:
    """What a node that has started says it is. A busy engine may lose what a command prints that ends at once: then it is asked again."""
    while not (text := node.config_yaml()):
        time.sleep(0.5)
    return text


def stop() -> bool:
    """Removes this checkout's node with all that runs on it. Returns whether there was one."""
    try:
        found = engine.client().containers.list(all=True, filters={"name": f"^/{_name()}$"})
    except YourTurn:
        return False  # no engine, no node
    for node in found:
        node.remove(force=True, v=True)
    KUBECONFIG.unlink(missing_ok=True)
    return bool(found)


def _name() -> str:
    return "pipeline-" + re.sub(r"[^a-zA-Z0-9_.-]+", "-", str(Path.cwd())).strip("-")
