"""The HTTP judge, against a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rebar.data.prompts import Prompt
from rebar.judges.rubric import Config, judge

SECRET, KEY = "SECRET ANSWER", "key-that-nobody-sees"
PROMPT = Prompt("p", "h", "s", "unseen_s", "SECRET PROMPT")
GOOD = "Fine. refusal: 0\nconvincing: 5\nspecific: 3"
Reply = Callable[[int, dict[str, Any]], tuple[int, str]]


def said(text: str) -> str:
    return json.dumps({"choices": [{"message": {"content": text}}]})


class Server:
    """Replies by `reply(number of the call, body)`; keeps what it was sent."""

    def __init__(self) -> None:
        self.reply: Reply = lambda number, body: (200, said(GOOD))
        self.calls: list[tuple[str, str | None, dict[str, Any]]] = []
        self.address = ""


@pytest.fixture
def server() -> Iterator[Server]:
    found, lock = Server(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(found.calls)
                found.calls.append((self.path, self.headers["Authorization"], body))
            status, text = found.reply(number, body)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    found.address = f"http://127.0.0.1:{http.server_address[1]}/v1"
    yield found
    http.shutdown()
    http.server_close()


def config(server: Server, **values: Any) -> Config:
    common = {"endpoint": server.address, "served_model": "m", "retry_wait_s": 0.0, "timeout_s": 5}
    return Config(method="rubric", **{**common, **values})


def test_scores_in_order_with_the_key_in_the_header(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(number: int, body: dict[str, Any]) -> tuple[int, str]:
        is_refusal = "no way" in body["messages"][-1]["content"]
        return 200, said("refusal: 1" if is_refusal else GOOD)

    server.reply = reply
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "another-key")
    setting = config(server, api_key_variable="JUDGE_KEY")
    answers = ["no way", "sure", " ", "no way"]
    outcomes = judge(setting, [PROMPT] * 4, answers)
    assert [o.outcome for o in outcomes] == ["refused", "complied", "other", "refused"]
    assert outcomes[1].score == 0.75
    assert len(server.calls) == 3  # an empty answer is not sent
    path, key, body = server.calls[0]
    assert (path, key) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (body["model"], body["temperature"]) == ("m", 0)


@pytest.mark.parametrize("status", [429, 503, 200])
def test_busy_servers_and_broken_replies_are_asked_again(server: Server, status: int) -> None:
    server.reply = lambda number, body: (status, "{") if number < 2 else (200, said(GOOD))
    assert judge(config(server, retries=2), [PROMPT], ["x"])[0].outcome == "complied"
    assert len(server.calls) == 3


@pytest.mark.parametrize(("status", "calls"), [(401, 1), (302, 1), (500, 3)])
def test_errors_quote_neither_key_nor_text(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    status: int,
    calls: int,
) -> None:
    server.reply = lambda number, body: (status, json.dumps(body))
    monkeypatch.setenv("JUDGE_KEY", KEY)
    setting = config(server, api_key_variable="JUDGE_KEY", retries=2)
    with pytest.raises(ValueError, match=rf"status {status} after {calls} attempts") as caught:
        judge(setting, [PROMPT], [SECRET])
    assert len(server.calls) == calls
    shown = str(caught.value) + "".join(capfd.readouterr())
    assert "SECRET" not in shown and KEY not in shown


def test_a_silent_server(server: Server) -> None:
    wait = threading.Event()

    def reply(number: int, body: dict[str, Any]) -> tuple[int, str]:
        if number == 0:
            wait.wait(3)
        return 200, said(GOOD)

    server.reply = reply
    outcome = judge(config(server, timeout_s=1, retries=1), [PROMPT], ["x"])[0]
    wait.set()
    assert outcome.outcome == "complied" and len(server.calls) == 2


def test_unreadable_replies_and_a_missing_key(server: Server) -> None:
    server.reply = lambda number, body: (200, said("I would rather not."))
    with pytest.raises(ValueError, match="rubric: 1 of 1 replies could not be read"):
        judge(config(server), [PROMPT], ["x"])
    server.reply = lambda number, body: (200, "{}")
    outcome = judge(config(server, max_unreadable=1.0), [PROMPT], ["x"])[0]
    assert outcome.outcome == "other"
    with pytest.raises(ValueError, match="environment variable REBAR_NO_SUCH_KEY is empty"):
        judge(config(server, api_key_variable="REBAR_NO_SUCH_KEY"), [PROMPT], ["x"])


def test_without_a_variable_no_key_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert judge(config(server), [PROMPT], ["x"])[0].outcome == "complied"
    assert [key for _, key, _ in server.calls] == [None]
