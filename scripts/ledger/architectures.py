"""The nodes that a release may run on: the patch `architectures.yaml` in an overlay, written with each promotion."""

from collections.abc import Sequence

FILE = "architectures.yaml"
TEXT = """\
# The nodes that can run the release's image. Written by `promote`, which knows for which architectures that is.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: serving
spec:
  template:
    spec:
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions:
                  - key: kubernetes.io/arch
                    operator: In
                    values: [{}]
"""


def patch(architectures: Sequence[str]) -> bytes:
    return TEXT.format(", ".join(architectures)).encode()
