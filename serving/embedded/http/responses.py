"""Answers of HTTP/1, written as the event server under TensorFlow Serving writes them."""

import time
from dataclasses import dataclass
from email.utils import formatdate

from ..errors import HTTP_REASONS
from .requests import Head


@dataclass(slots=True)
class Response:
    """An answer; `headers` are complete lines that follow Content-Type."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: str = ""
    close: bool = False


def html(status: int) -> Response:
    """The page that goes with `status` where no API is reached."""
    reason = HTTP_REASONS[status]
    page = f"<HTML><HEAD>\n<TITLE>{status} {reason}</TITLE>\n</HEAD><BODY>\n<H1>{reason}</H1>\n</BODY></HTML>\n"
    return Response(status, page.encode(), "text/html", close=True)


class Date:
    """The current Date header, made once a second."""

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def __str__(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True)
        return self._text


_DATE = Date()


def render(response: Response, head: Head | None) -> bytes:
    """The bytes of `response` to the request `head` (None where it could not be read)."""
    status, minor = response.status, head.minor if head else 1
    lines = (
        f"HTTP/1.{minor} {status} {HTTP_REASONS.get(status, 'Unknown')}\r\nContent-Type: {response.content_type}\r\n"
    )
    lines += response.headers
    if response.close:
        lines += "Connection: close\r\n"
    elif head and head.keep:
        lines += "Connection: keep-alive\r\n"
    if minor:
        lines += f"Date: {_DATE}\r\n"
    if (minor or (head and head.keep)) and not (head and head.method == "HEAD"):
        lines += f"Content-Length: {len(response.body)}\r\n"
    if minor and head and head.close and not response.close and "close" in head.headers.get("connection", "").lower():
        lines += "Connection: close\r\n"
    return f"{lines}\r\n".encode("latin-1") + response.body
