"""A POST with the notice as JSON; a server that does not answer is tried again."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from yoke_notify.failure import FailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from yoke_notify.settings import Webhook
    from yokeflow.model import Notice

#: Seconds before each further try.
_PAUSES = (0.5, 2.0)
#: Answers after which another try may help.
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


async def send(notice: Notice, settings: Webhook) -> None:
    """Send a notice. Raises FailedError after the last try."""
    url = _address(settings)
    request = Request(  # noqa: S310 - the scheme has been checked
        url,
        data=json.dumps(asdict(notice), ensure_ascii=False).encode(),
        headers=_headers(settings),
        method="POST",
    )
    host = urlsplit(url).hostname
    for pause in (*_PAUSES, None):
        reason, hopeless = await _in_thread(lambda: _post(request, settings.timeout))
        if not reason:
            return
        if hopeless or pause is None:
            raise FailedError(f"{host} {reason}")
        await asyncio.sleep(pause)


def _address(settings: Webhook) -> str:
    if settings.url:
        return settings.url
    name = settings.url_from or ""
    url = os.environ.get(name, "")
    if urlsplit(url).scheme not in {"http", "https"}:
        raise FailedError(f"the variable {name} has no address" if url else f"the variable {name} is not set")
    return url


def _headers(settings: Webhook) -> dict[str, str]:
    found = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "yoke"}
    for header, name in settings.headers.items():
        value = os.environ.get(name)
        if value is None:
            raise FailedError(f"the variable {name} for the header {header} is not set")
        if "\n" in value or "\r" in value:
            raise FailedError(f"the variable {name} has more than one line, which no header may")
        found[header] = value
    return found


class _Stay(HTTPRedirectHandler):
    """Headers with secrets are for the server that was named, and for no other."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Go nowhere."""


def _post(request: Request, timeout: float) -> tuple[str, bool]:
    """Why it did not work, and whether it never will; an empty reason for success. Blocks."""
    try:
        with build_opener(_Stay).open(request, timeout=timeout):
            return "", False
    except HTTPError as error:
        error.close()
        return f"answered {error.code}", error.code not in _AGAIN
    except URLError as error:
        return f"cannot be reached: {error.reason}", False
    except (OSError, HTTPException, ValueError) as error:
        return f"cannot be reached: {type(error).__name__}", isinstance(error, ValueError)


async def _in_thread(work: Callable[[], tuple[str, bool]]) -> tuple[str, bool]:
    """Wait for blocking work in a thread that nobody waits for at the end, unlike those of asyncio."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[str, bool]] = loop.create_future()

    def tell(result: tuple[str, bool]) -> None:
        if not done.done():
            done.set_result(result)

    def do() -> None:
        result = work()
        # The run may be over, and its loop with it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=do, name="yoke-notify", daemon=True).start()
    return await done
