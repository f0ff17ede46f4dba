"""Any engine, with unpacked layers or with a containerd store: the same content is the same image, whenever it is built."""

import io
import tarfile

import docker

from scripts.release import engine as engines

DOCKERFILE = b"FROM pipeline-tiny:latest\nCOPY rootfs /\nUSER 65532:65532\n"
SECONDS = 1_750_000_000


def build(tag: str) -> str:
    with engines.context() as (tar, file):
        engines.add(tar, "Dockerfile", DOCKERFILE, SECONDS)
        engines.add_folder(tar, "rootfs", SECONDS)
        engines.add(tar, "rootfs/a", b"content", SECONDS)
        tar.close()
        file.seek(0)
        return engines.build(file, tag, {"a": "label"}, SECONDS, lambda line: None)


def test_the_same_content_is_the_same_image(engine: docker.DockerClient) -> None:
    base = io.BytesIO()
    with tarfile.open(fileobj=base, mode="w") as tar:
        engines.add(tar, "etc/base", b"", SECONDS)
    engine.api.import_image_from_data(base.getvalue(), repository="pipeline-tiny", tag="latest")
    found = []
    for tag in ("pipeline-tiny:a", "pipeline-tiny:b"):
        found.append(build(tag))
        assert engine.images.get(tag).attrs["Created"].startswith("2025-06-15T15:06:40")
        engine.images.remove(tag)
        # What the engine would build the next one of goes by its name: on Docker 29 a prune breaks other builds (moby/moby#53321).
        for image in engine.images.list(filters={"dangling": True, "label": "a=label"}):
            engine.images.remove(image.id)
    engine.images.remove("pipeline-tiny:latest")
    assert found[0] == found[1]
