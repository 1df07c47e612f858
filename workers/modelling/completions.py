"""One server that speaks OpenAI's chat completions: its connections, what may go wrong with it, what its answers hold.

A thread of its own runs the event loop, whoever asks, so that many requests are under way at once and each can be
dropped. What is asked, and what an answer means, is the caller's business: see `workers/models/remote_vlm.py`.
"""

import asyncio
import math
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import BaseModel, Field, ValidationError

from domain.errors import ModelError, ModelUnavailable

T = TypeVar("T")
Messages = Sequence[Mapping[str, Any]]
"""A conversation: who says it, and its parts, texts and pictures."""

LOOK_EVERY_S = 0.1
"""How often it is looked whether anybody still wants an answer that is under way."""
BUSY = {408, 425, 429}
"""What a server says to what it may well do later; and everything from 500 on."""
ELSEWHERE = {401, 403, 404}
"""What a server says to whoever has the wrong key, address or model, and so does every 3xx: no job's input is to blame.
"""
WORDS = 500
"""So many characters of what a server says are told."""


class Token(BaseModel):
    """A token and the logarithm of its probability."""

    token: str
    logprob: float = Field(allow_inf_nan=False)


class Position(Token):
    """A token that was written, and the likeliest that might have been."""

    top_logprobs: tuple[Token, ...] = ()


class Logprobs(BaseModel):
    """What a server tells of probabilities."""

    content: tuple[Position, ...] | None = None


class Message(BaseModel):
    """What the model wrote, or why it did not."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One of the texts that a server offers."""

    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None

    @property
    def text(self) -> str:
        """What the model wrote. Raises ModelError where it wrote nothing, not even an empty text."""
        if self.message.content is None:
            why = self.message.refusal or self.finish_reason or "it gives no reason"
            raise ModelError(f"the server's answer has no text: {why[:WORDS]}")
        return self.message.content.strip()

    @property
    def positions(self) -> tuple[Position, ...]:
        """The tokens with their probabilities; none where the server does not tell."""
        return (self.logprobs.content if self.logprobs else None) or ()

    @property
    def score(self) -> float | None:
        """The geometric mean of the tokens' probabilities; None without them."""
        told = [position.logprob for position in self.positions]
        return min(math.exp(math.fsum(told) / len(told)), 1.0) if told else None


class Completion(BaseModel):
    """What is read of a server's answer. The client's own types are built without being checked."""

    choices: tuple[Choice, ...] = Field(min_length=1)


class Server:
    """A server and the model that it is asked for.

    `timeout_s` is that of one attempt; `retries` follow with growing waits between, and as the server asks for; no more
    than `concurrency` requests are in flight. Nothing connects to it before the first request.
    """

    def __init__(self, url: str, model: str, *, key: str, timeout_s: float, retries: int, concurrency: int) -> None:
        self._url, self._model, self._key = url, model, key
        self._slots = asyncio.Semaphore(concurrency)
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=key or "none",
            timeout=timeout_s,
            max_retries=retries,
            # What is sent is for this server, not for one that it points to.
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"server-{model}", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run something on the server's event loop. Raises ModelUnavailable after `close`."""
        if not self._thread.is_alive():
            coroutine.close()
            raise ModelUnavailable("this model was closed")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Drop what is under way and close the connections."""
        if self._thread.is_alive():
            self.start(self._dropped()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def choices(
        self, asked: Sequence[Messages], more: Mapping[str, Any], stopped: threading.Event, limit_s: float
    ) -> list[Choice] | None:
        """Ask how each conversation goes on, all at once; None where it was stopped meanwhile.

        `more` goes into each request besides. Raises ModelUnavailable where the server cannot be reached, has too much
        to do, fails, knows neither the key nor the model, or does not answer within `limit_s` for all; ModelError where
        it refuses the request or gives no completion.
        """
        task = asyncio.ensure_future(self._together(asked, more))
        until = self._loop.time() + limit_s
        try:
            while not task.done():
                if stopped.is_set():
                    return None
                if self._loop.time() >= until:
                    raise ModelUnavailable(f"{self._url} gave no answer within {limit_s:g} s")
                await asyncio.wait({task}, timeout=LOOK_EVERY_S)
            return task.result()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            task.cancel()

    async def _together(self, asked: Sequence[Messages], more: Mapping[str, Any]) -> list[Choice]:
        async with asyncio.TaskGroup() as group:  # where one fails it drops the others
            tasks = [group.create_task(self._choice(messages, more)) for messages in asked]
        return [task.result() for task in tasks]

    async def _choice(self, messages: Any, more: Mapping[str, Any]) -> Choice:  # noqa: ANN401
        try:
            async with self._slots:
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=self._model, messages=messages, temperature=0, **more
                )
        except APIConnectionError as error:
            raise ModelUnavailable(f"{self._url} cannot be reached: {error} {error.__cause__ or ''}") from error
        except APIStatusError as error:
            final = 400 <= error.status_code < 500 and error.status_code not in BUSY | ELSEWHERE
            refusal = f"{self._url} refuses with {error.status_code}: {self._words(error.response.text)}"
            raise (ModelError if final else ModelUnavailable)(refusal) from error
        try:
            return Completion.model_validate_json(raw.text).choices[0]
        except ValidationError as error:
            raise ModelError(f"{self._url} gave no completion: {self._words(raw.text)!r}") from error

    def _words(self, text: str) -> str:
        """Return what the server said, cut, and without the key should it have said that."""
        return (text.replace(self._key, "***") if self._key else text)[:WORDS]

    async def _dropped(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()
