"""The architectures that a release is for: an image for each, and an index of them in the registry, whose digest is the release's."""

from scripts.release import engine, registry
from scripts.workspace import settings


def chosen() -> list[str]:
    """As Kubernetes names them in kubernetes.io/arch: those of the settings, else the engine's own."""
    return [platform.partition("/")[2] for platform in settings.read().platforms] or [here()]


def here() -> str:
    """The architecture of the engine's machine."""
    return engine.client().version()["Arch"]


def can_run(image: str) -> bool:
    """Whether the engine can run `image`: of its own architecture, or by an emulator that its kernel knows (binfmt_misc)."""
    import docker.errors

    run = engine.client().containers.run
    try:
        run(image, ["--version"], entrypoint="/usr/bin/tensorflow_model_server", remove=True, network_mode="none")
    except docker.errors.ContainerError as error:
        return b"exec format error" not in (error.stderr or b"")
    except docker.errors.APIError as error:
        return "exec format error" not in str(error)
    return True


def push_index(name: str, tag: str, digests: dict[str, str]) -> tuple[str, bool]:
    """Puts the index of those images (architecture → digest), which the repository `name` has, unless it is there.

    Returns its digest and whether it was put.
    """
    repository = registry.Repository(name)
    entries = [
        repository.manifest(digest)[1] | {"platform": {"architecture": architecture, "os": "linux"}}
        for architecture, digest in sorted(digests.items())
    ]
    kind = registry.INDEX if entries[0]["mediaType"] == registry.MANIFEST else registry.LIST
    described, put = repository.push_manifest({"schemaVersion": 2, "mediaType": kind, "manifests": entries}, tag)
    return described["digest"], put
