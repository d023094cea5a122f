"""Posts JSON to one address: repeated where that may help, never longer than it was given time, never elsewhere."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urljoin, urlsplit

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from xai_audit.spec import Model

Post = Callable[[bytes], bytes]

ATTEMPTS = 6
"""Requests made for one batch at most."""
WAIT = 0.2
"""Seconds before the second attempt; each further one waits twice as long."""
LARGEST = 32 << 20
"""Bytes of an answer that are read at most."""
REPEATED = frozenset({429, 500, 502, 503, 504})
"""Answers that may be others a moment later."""
REDIRECTS = 3
_CHUNK = 1 << 16
_HEADERS: Mapping[str, str] = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "xai-audit",
}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SECRET = re.compile(r"auth|token|secret|key|cookie|passw|credential|session|signature", re.IGNORECASE)
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding"}
)
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""What stands for an environment variable in a header."""


def faults(spec: Model) -> Iterator[tuple[str, str]]:
    """What is wrong with the address and the headers of a spec: the key it stands under, and why."""
    if spec.url is None:
        yield "model.url", "format http posts rows to a URL; give one"
    elif (why := url_fault(spec.url)) is not None:
        yield "model.url", why
    for name, value in spec.headers.items():
        why = header_fault(name, value)
        if why is not None:
            yield f"model.headers.{name}", why
        for variable in unset(value):
            yield f"model.headers.{name}", f"the environment variable {variable} is not set"
    for key in ("path", "sha256"):
        if getattr(spec, key) is not None:
            yield f"model.{key}", _NOT_HTTP[key]


_NOT_HTTP = {
    "path": "format http has a url and no path",
    "sha256": "no digest of a model behind a URL can be checked; take the key out",
}


def url_fault(url: str) -> str | None:
    """Why a URL is none that rows can be posted to; None where it is one."""
    asked = "http://host:port/path or https://host/path is asked"
    try:
        parts = urlsplit(url)
        there = parts.scheme.lower() in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return asked
    if not there or re.search(r"[^\x21-\x7e]", url):
        return asked
    if parts.username is not None or parts.password is not None:
        return "a URL is published; put the credential under headers: {Authorization: ...${NAME}...}"
    secret = next((name for name, _ in parse_qsl(parts.query) if _SECRET.search(name)), None)
    if secret is not None:
        return f"a URL is published, and {secret!r} in it looks like a credential; put it under headers as ${{NAME}}"
    if "${" in url:
        return "environment variables are taken in headers alone"
    return None


def header_fault(name: str, value: str) -> str | None:
    """Why a header cannot be sent or must not stand in a spec, which is published; None where it may."""
    if not _TOKEN.fullmatch(name):
        return "this is no header's name"
    if name.lower() in _OURS:
        return "this header is set by the program"
    if not _VALUE.fullmatch(value):
        return "a header holds no line breaks and no letters beyond Latin-1"
    if "${" in VARIABLE.sub("", value):
        return "an environment variable is written ${NAME}"
    if _SECRET.search(name) and not VARIABLE.search(value):
        return (
            "a credential would be published with the spec; write ${NAME} and set that environment variable"
        )
    return None


def expanded(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with their variables' values; MethodError, without any value, where one cannot be sent."""
    made = {}
    for name, value in headers.items():
        gone = unset(value)
        if gone:
            raise MethodError(f"the environment variable {gone[0]} is not set")
        made[name] = VARIABLE.sub(lambda match: os.environ[match[1]], value)
        if not _VALUE.fullmatch(made[name]):
            raise MethodError(f"the header {name} would hold a line break or letters beyond Latin-1")
    return made


def unset(value: str) -> list[str]:
    """Variables in a header's value that the environment does not have."""
    return [name for name in VARIABLE.findall(value) if name not in os.environ]


def plain_url(url: str) -> str:
    """A URL without what may be secret in it: no user, password, query or fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"


def local(url: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class _Refusal(Exception):  # noqa: N818 - never leaves this module
    """An attempt that failed, and whether another may help."""

    reason: str
    again: bool
    after: float | None = None
    """Seconds the server asks to wait."""


@dataclass(eq=False)
class Poster:
    """Connections to one address, used by several threads and closed at the end."""

    url: str
    headers: Mapping[str, str]
    timeout: float
    """Seconds for one batch, repetitions included."""
    _idle: list[http.client.HTTPConnection] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def post(self, body: bytes) -> bytes:
        """The answer to one body; MethodError, with neither headers nor contents in it, where there is none."""
        deadline = time.monotonic() + self.timeout
        wait = WAIT
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._followed(body, deadline)
            except _Refusal as refusal:
                pause = wait if refusal.after is None else refusal.after
                left = deadline - time.monotonic()
                if not refusal.again or attempt == ATTEMPTS or pause >= left:
                    tried = f" ({attempt} attempts)" if attempt > 1 else ""
                    raise MethodError(f"{plain_url(self.url)}: {refusal.reason}{tried}") from None
            time.sleep(pause)
            wait *= 2
        raise AssertionError

    def _followed(self, body: bytes, deadline: float) -> bytes:
        """The answer, after redirects within the same host that keep the method."""
        url = self.url
        for _ in range(REDIRECTS + 1):
            status, headers, content = self._sent(url, body, deadline)
            if status == 200:
                return content
            if 300 <= status < 400:
                url = _redirected(url, status, headers.get("Location"))
                continue
            phrase = http.client.responses.get(status, "unknown status")
            raise _Refusal(
                f"the server answers {status} {phrase}",
                status in REPEATED,
                _asked(headers.get("Retry-After")),
            )
        raise _Refusal(f"more than {REDIRECTS} redirects", again=False)

    def _sent(self, url: str, body: bytes, deadline: float) -> tuple[int, Mapping[str, str], bytes]:
        parts = urlsplit(url)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection = self._connection(deadline)
        try:
            connection.request("POST", path, body, {**_HEADERS, **self.headers})
            sock = connection.sock  # the connection lets go of it where the server will close
            response = connection.getresponse()
            content = _whole(sock, response, deadline)
        except _Refusal:
            connection.close()
            raise
        except TimeoutError:
            connection.close()
            raise _Refusal(f"no answer within {self.timeout:g} seconds", again=False) from None
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise _Refusal(f"its certificate is not trusted: {error.verify_message}", again=False) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _Refusal(f"no connection: {_why(error)}", again=True) from None
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return response.status, dict(response.headers.items()), content

    def _connection(self, deadline: float) -> http.client.HTTPConnection:
        left = max(deadline - time.monotonic(), 0.001)
        try:
            connection = self._idle.pop()
        except IndexError:
            parts = urlsplit(self.url)
            host = parts.hostname or ""
            if parts.scheme.lower() == "https":
                context = ssl.create_default_context()
                return http.client.HTTPSConnection(host, parts.port, timeout=left, context=context)
            return http.client.HTTPConnection(host, parts.port, timeout=left)
        connection.sock.settimeout(left)
        return connection


def _whole(sock: socket.socket, response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body, in pieces: a server that drips or floods is left."""
    parts: list[bytes] = []
    size = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        with contextlib.suppress(OSError):
            sock.settimeout(left)
        piece = response.read1(_CHUNK)
        if not piece:
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            response.close()  # or the connection takes no other request
            return b"".join(parts)
        size += len(piece)
        if size > LARGEST:
            raise _Refusal(f"the answer is over {LARGEST >> 20} MiB", again=False)
        parts.append(piece)


def _redirected(url: str, status: int, location: str | None) -> str:
    there = urljoin(url, location or "")
    here, other = urlsplit(url), urlsplit(there)
    if (here.scheme, here.hostname, here.port) != (other.scheme, other.hostname, other.port):
        raise _Refusal("the server sends the rows on to another host, which is not followed", again=False)
    if status not in (307, 308) or not location:
        raise _Refusal(f"the server answers {status}, which does not keep a posted body", again=False)
    return there


def _asked(after: str | None) -> float | None:
    """Seconds of a Retry-After header, given as a number or a date."""
    if after is None:
        return None
    try:
        return max(float(int(after)), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(after).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None


def _why(error: Any) -> str:
    """A connection's error in words that hold nothing of what was sent."""
    return str(getattr(error, "strerror", None) or type(error).__name__)
