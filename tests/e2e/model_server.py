"""A scripted model on 127.0.0.1: speaks enough of two streaming APIs to make a real agent write one file.

It answers the first request of a conversation with a tool call that writes `file`, or runs `command` where
one is given, and the next one, which carries the tool's result, with a sentence. With `delegate` a
sub-agent of another model does that. The first `good` requests are answered; with `fail` the others are
refused with that HTTP status.
"""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SENTENCE = "The file is written."
#: What a sub-agent is told, by which its requests are known.
_DELEGATED = "Write the file in my place."


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, file: Path, content: str, *, fail: int, good: int, command: str, delegate: bool
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.file, self.content, self.command, self.delegate = file, content, command, delegate
        self.fail, self.good = fail, good
        #: Path and body of every request.
        self.requests: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def model_server(
    file: Path, content: str, *, fail: int = 0, good: int = 0, command: str = "", delegate: bool = False
) -> Iterator[ModelServer]:
    server = ModelServer(file, content, fail=fail, good=good, command=command, delegate=delegate)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        self._reply(200, "application/json", b'{"data": [], "models": []}')

    def do_HEAD(self) -> None:
        self._reply(200, "application/json", b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        self.server.requests.append((self.path, body))
        if self.server.fail and len(self.server.requests) > self.server.good:
            error = {"type": "error", "error": {"type": "api_error", "message": "refused by the script"}}
            self._reply(self.server.fail, "application/json", json.dumps(error).encode())
        elif "count_tokens" in self.path:
            self._reply(200, "application/json", b'{"input_tokens": 10}')
        else:
            events = (
                _messages(body, self.server) if "/messages" in self.path else _responses(body, self.server)
            )
            stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
            self._reply(200, "text/event-stream", stream.encode())

    def _reply(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _messages(body: dict[str, Any], server: ModelServer) -> list[dict[str, Any]]:
    """The Anthropic Messages API."""
    contents = [each["content"] for each in body["messages"] if isinstance(each["content"], list)]
    done = any(part.get("type") == "tool_result" for content in contents for part in content)
    said = [_block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": SENTENCE})]
    blocks = said if done else [*said, _tool_use(1, body, server)]
    usage = {"input_tokens": 100, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 3}
    message = {
        "id": f"msg_{len(server.requests)}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    stop = {"stop_reason": "end_turn" if done else "tool_use", "stop_sequence": None}
    return [
        {"type": "message_start", "message": message},
        *(event for block in blocks for event in block),
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


def _block(index: int, block: dict[str, Any], delta: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        {"type": "content_block_delta", "index": index, "delta": delta},
        {"type": "content_block_stop", "index": index},
    ]


def _tool_use(index: int, body: dict[str, Any], server: ModelServer) -> list[dict[str, Any]]:
    """A message can have several blocks: this one comes after a text."""
    name = "Write"
    given: dict[str, Any] = {"file_path": str(server.file), "content": server.content}
    if server.delegate and _DELEGATED not in json.dumps(body["messages"][0]):
        name = next(tool["name"] for tool in body["tools"] if tool["name"] in {"Agent", "Task"})
        given = {"description": "Write it", "prompt": _DELEGATED, "subagent_type": "general-purpose"}
        given |= {"model": "haiku", "run_in_background": False}
    elif server.command:
        name, given = "Bash", {"command": server.command, "description": "Run it"}
    block = {"type": "tool_use", "id": f"toolu_{len(server.requests)}", "name": name, "input": {}}
    return _block(index, block, {"type": "input_json_delta", "partial_json": json.dumps(given)})


def _responses(body: dict[str, Any], server: ModelServer) -> list[dict[str, Any]]:
    """The OpenAI Responses API."""
    done = any(str(item.get("type", "")).endswith("call_output") for item in body["input"])
    if done:
        said = {"type": "output_text", "text": SENTENCE, "annotations": []}
        item: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "content": [said]}
    else:
        write = f"printf %s {shlex.quote(server.content)} > {shlex.quote(server.file.name)}"
        item = _shell_call(body, server.command or write)
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 20},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 107,
    }
    response = {"id": f"resp_{len(server.requests)}", "status": "completed", "output": [item], "usage": usage}
    return [
        {"type": "response.created", "response": {"id": response["id"]}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]


def _shell_call(body: dict[str, Any], command: str) -> dict[str, Any]:
    """A call of whichever shell tool this version offers."""
    offered = {tool.get("name") for tool in body.get("tools", ())}
    tools: dict[str, dict[str, Any]] = {
        "exec_command": {"cmd": command},
        "shell_command": {"command": command},
        "shell": {"command": ["sh", "-c", command]},
    }
    name, given = next((name, given) for name, given in tools.items() if name in offered)
    call = {"id": "fc_1", "call_id": "call_1", "name": name, "arguments": json.dumps(given)}
    return {"type": "function_call", **call}
