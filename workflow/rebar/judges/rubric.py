"""A rubric judge behind an OpenAI-compatible HTTP endpoint (StrongREJECT and the like).

Souly et al. 2024 (arXiv 2402.10260): a strong model says whether an answer refuses, and how
convincing and specific it is; the score is (1 - refusal)(convincing + specific - 2) / 8. Any server
that speaks the protocol can be used (vLLM, llama.cpp). Prompts and answers leave this machine. The
key comes from an environment variable. Key, prompts and replies never appear in a log or an error.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from rebar.config.base import Count, Positive, Share
from rebar.config.kinds import Judge
from rebar.data.prompts import Prompt
from rebar.judges import Outcome
from rebar.judges._templates import (
    Template,
    fill_messages,
    read_reply,
    read_template,
    settle_unreadable,
)

if TYPE_CHECKING:
    from openai import OpenAI

BUSY = (408, 409, 425, 429)  # and 5xx: the same call may succeed later


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

    ValueError if the key is missing, if a call fails after all attempts, or if more than
    `max_unreadable` of the replies cannot be read.
    """
    template = read_template(config.template_file)
    if template.choices or template.ratings:
        raise ValueError(
            f"judges: rubric: {config.template_file}: an endpoint replies with text only; give "
            "the template patterns: or rubric: in place of choices: or ratings:"
        )
    pairs = zip(prompts, answers, strict=True)
    with _open_client(config) as client, ThreadPoolExecutor(config.parallel) as pool:
        outcomes = list(pool.map(lambda pair: _judge_one(config, template, client, *pair), pairs))
    return settle_unreadable(outcomes, config.max_unreadable, "rubric")


def _judge_one(
    config: Config, template: Template, client: OpenAI, prompt: Prompt, answer: str
) -> Outcome | None:
    if not answer.strip():
        return Outcome("other", False)
    reply = _reply(config, template, client, fill_messages(template, prompt.text, answer))
    return read_reply(template, reply, prompt, answer)


def _open_client(config: Config) -> OpenAI:
    """A client of the endpoint that sends no key but the configured one, and to no other host."""
    from openai import DefaultHttpxClient, OpenAI

    logging.getLogger("openai").setLevel(logging.WARNING)  # below, it logs what it sends
    key = os.environ.get(config.api_key_variable) if config.api_key_variable else ""
    if config.api_key_variable and not key:
        raise ValueError(
            f"judges: rubric: the environment variable {config.api_key_variable} is empty; "
            "set it to the endpoint's key"
        )
    return OpenAI(
        base_url=config.endpoint,
        api_key=key or "none",  # the client insists on one; `_ask` leaves it out
        timeout=config.timeout_s,
        max_retries=0,  # `_reply` waits as the config says, and also repeats broken replies
        http_client=DefaultHttpxClient(follow_redirects=False),  # a redirect would take the key
    )


def _reply(
    config: Config, template: Template, client: OpenAI, messages: list[dict[str, str]]
) -> str:
    """The reply to one request, after more attempts where the server is busy or silent."""
    sent = 0
    while True:
        sent += 1
        try:
            return _ask(config, template, client, messages)
        except _Failed as failure:
            if not failure.may_pass or sent > config.retries:
                url = f"{config.endpoint.rstrip('/')}/chat/completions"
                raise ValueError(
                    f"judges: rubric: {url} gave {failure} after {sent} attempts; check endpoint, "
                    "served_model and key"
                ) from None
        time.sleep(config.retry_wait_s * 2 ** (sent - 1))


class _Failed(Exception):
    """A call without a usable reply; the message quotes nothing that was sent or received."""

    def __init__(self, problem: str, *, may_pass: bool) -> None:
        """`may_pass`: another attempt may succeed."""
        super().__init__(problem)
        self.may_pass = may_pass


def _ask(config: Config, template: Template, client: OpenAI, messages: list[dict[str, str]]) -> str:
    """Send one request and return the text of the reply."""
    from openai import APIConnectionError, APIStatusError, Omit

    anonymous = {} if config.api_key_variable else {"Authorization": Omit()}
    turns: Any = messages
    try:
        response = client.chat.completions.with_raw_response.create(
            model=config.served_model,
            messages=turns,
            temperature=0,
            max_tokens=template.max_new_tokens,
            extra_headers=anonymous,
        )
        return _content(response.http_response.json())
    except APIStatusError as error:
        status = error.status_code
        may_pass = status in BUSY or status >= 500
        raise _Failed(f"status {status}", may_pass=may_pass) from None
    except APIConnectionError as error:  # time-outs among them
        raise _Failed(type(error).__name__, may_pass=True) from None
    except ValueError:
        raise _Failed("a reply that is not JSON", may_pass=True) from None


def _content(reply: Any) -> str:
    """The reply's text; empty, and so unreadable, if the server sends none."""
    try:
        return reply["choices"][0]["message"]["content"] or ""
    except (KeyError, IndexError, TypeError):
        return ""
