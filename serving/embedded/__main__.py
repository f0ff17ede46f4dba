"""python -m serving.embedded: the command `tensorflow_model_server`."""

import logging
import sys

from . import flags

SERVING_VERSION = "2.20.0"  # of TensorFlow Serving, whose behaviour this server has
FAILED = 255  # TensorFlow Serving's exit code for everything that goes wrong at its start


def main(arguments: list[str]) -> int:
    """Runs the server; the exit code is 0 after an orderly end."""
    try:
        settings = flags.parse(arguments)
    except flags.UsageError as error:
        print(error, file=sys.stderr)
        print(flags.usage(), end="")
        return FAILED
    if "--help" in arguments:
        print(flags.usage(), end="")
        return FAILED
    for argument in settings.unknown:
        print(f"unknown argument: {argument}", flush=True)
    if settings.unknown:
        print(flags.usage(), end="", flush=True)
    if settings["version"]:
        from . import tensorflow_c

        print(f"TensorFlow ModelServer: {SERVING_VERSION}+embedded\nTensorFlow Library: {tensorflow_c.version()}")
        return 0
    return _serve(settings)


def _serve(settings: flags.Settings) -> int:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03d %(levelname).1s %(name)s: %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    for flag in flags.FLAGS:
        if flag.ignored and flag.name in settings.given:
            logging.getLogger("flags").warning("--%s has no effect on the embedded server", flag.name)
    from . import onednn  # imported after --help and --version, which need no TensorFlow

    onednn.choose(settings)
    from .errors import StatusError
    from .server import PortTaken, Server

    try:
        Server(settings).run()
    except (StatusError, PortTaken) as error:
        print(
            f"Failed to start server. Error: {error}", flush=True
        )  # on standard output, as TensorFlow Serving says it
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
