"""A rubric judge behind an OpenAI-compatible HTTP endpoint (StrongREJECT and the like).

Souly et al. 2024 (arXiv 2402.10260): a strong model says whether an answer refuses, and how
convincing and specific it is; the score is (1 - refusal)(convincing + specific - 2) / 8. Any server
that speaks the protocol will do (vLLM, llama.cpp). Prompts and answers leave this machine. The key
stands in an environment variable, and neither key, prompts nor replies reach a log or an error.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any, Literal

from pydantic import Field

from rebar.config.base import Count, Positive, Share
from rebar.config.kinds import Judge
from rebar.data.prompts import Prompt
from rebar.judges import Outcome
from rebar.judges._templates import Template, filled, read_reply, read_template, settled

BUSY = (408, 409, 425, 429)  # statuses besides 5xx after which the same call may succeed


class Config(Judge):
    """Settings of `rubric`."""

    method: Literal["rubric"]
    endpoint: str = Field(
        pattern=r"^https?://", description="address up to /v1, such as http://localhost:8000/v1"
    )
    served_model: str = Field(description="the model's name at the endpoint")
    template_file: str = Field(
        default="config/prompts/judges/strongreject_rubric.yaml", description="template file"
    )
    api_key_variable: str | None = Field(
        default=None, description="environment variable that holds the key; none: no key is sent"
    )
    timeout_s: Positive = Field(default=120, description="seconds that one call may take")
    retries: Count = Field(default=4, description="more attempts after a busy or silent server")
    retry_wait_s: float = Field(
        default=2.0, ge=0, description="seconds before the second attempt; doubled each time"
    )
    parallel: Positive = Field(default=4, description="calls at once")
    max_unreadable: Share = Field(
        default=0.05, description="share of replies that may be unreadable; they count as other"
    )


def judge(config: Config, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[Outcome]:
    """One outcome for each answer, in order; an empty answer is `other` and is not sent.

    ValueError if the key is missing, the endpoint gives up, or too many replies are unreadable.
    """
    template, headers = read_template(config.template_file), _headers(config)

    def ask(pair: tuple[Prompt, str]) -> Outcome | None:
        prompt, answer = pair
        if not answer.strip():
            return Outcome("other", False)
        reply = _reply(config, template, headers, prompt.text, answer)
        return read_reply(template, reply, prompt, answer)

    if template.choices or template.ratings:
        raise ValueError(
            f"judges: rubric: {config.template_file}: an endpoint replies with text only"
        )
    with ThreadPoolExecutor(config.parallel) as pool:
        outcomes = list(pool.map(ask, zip(prompts, answers, strict=True)))
    return settled(outcomes, config.max_unreadable, "rubric")


def _headers(config: Config) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if config.api_key_variable:
        key = os.environ.get(config.api_key_variable)
        if not key:
            raise ValueError(
                f"judges: rubric: the environment variable {config.api_key_variable} is empty; "
                "set it to the endpoint's key"
            )
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _reply(
    config: Config, template: Template, headers: dict[str, str], prompt: str, answer: str
) -> str:
    body = {
        "model": config.served_model,
        "messages": filled(template, prompt, answer),
        "temperature": 0,
        "max_tokens": template.max_new_tokens,
    }
    url = f"{config.endpoint.rstrip('/')}/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    sent = 0
    while True:
        sent += 1
        try:
            return _text_of(request, config.timeout_s)
        except _Failed as failure:
            if not failure.may_pass or sent > config.retries:
                raise ValueError(
                    f"judges: rubric: {url} gave {failure} after {sent} attempts; check endpoint, "
                    "served_model and key"
                ) from None
        time.sleep(config.retry_wait_s * 2 ** (sent - 1))


class _Failed(Exception):
    """A call without a reply, in words that quote nothing; `may_pass`: it is worth another try."""

    def __init__(self, problem: str, *, may_pass: bool) -> None:
        super().__init__(problem)
        self.may_pass = may_pass


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _text_of(request: urllib.request.Request, timeout_s: float) -> str:
    try:
        with _OPENER.open(request, timeout=timeout_s) as response:
            return _content(json.load(response))
    except urllib.error.HTTPError as error:
        may_pass = error.code in BUSY or error.code >= 500
        raise _Failed(f"status {error.code}", may_pass=may_pass) from None
    except (OSError, HTTPException) as error:  # URLError and timeouts among them
        raise _Failed(type(error).__name__, may_pass=True) from None
    except ValueError:
        raise _Failed("a reply that is not JSON", may_pass=True) from None


def _content(reply: Any) -> str:
    """The reply's text; empty, and so unreadable, where the server sends none."""
    try:
        return reply["choices"][0]["message"]["content"] or ""
    except (KeyError, IndexError, TypeError):
        return ""
