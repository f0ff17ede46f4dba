"""The architectures that a release is for: an image for each, and an index of them in the registry, whose digest is the release's."""

from scripts.release import engine, registry
from scripts.workspace import settings

FOREIGN = "exec format error"  # the kernel's words for a program of another architecture


def chosen() -> list[str]:
    """Those of the settings, else the engine's own."""
    return named() or [here()]


def named() -> list[str]:
    """Those of the settings, as Kubernetes names them in kubernetes.io/arch; none where the engine's own is meant."""
    return [platform.partition("/")[2] for platform in settings.read().platforms]


def here() -> str:
    """The architecture of the engine's machine."""
    return engine.client().version()["Arch"]


def can_run(image: str) -> bool:
    """Whether the engine can run `image`: of its own architecture, or by an emulator that its kernel knows (binfmt_misc)."""
    import docker.errors

    container = engine.client().containers.create(image, ["--version"], entrypoint="/usr/bin/tensorflow_model_server")
    try:
        container.start()
        container.wait()
        return FOREIGN not in container.logs().decode(errors="replace")
    except docker.errors.APIError as error:
        if FOREIGN not in str(error):
            raise engine.refused(f"the image {image} cannot be started", str(error)) from error
        return False
    finally:
        container.remove(force=True)


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
