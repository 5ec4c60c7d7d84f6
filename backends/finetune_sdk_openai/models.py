"""Models that answer over chat completions: many questions at once, no faster than the place allows, each by itself.

A question may be asked again where what went wrong may pass; it is answered at most once for what is counted, though a
reply that was lost may have been paid for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from queue import SimpleQueue
from random import uniform
from typing import TYPE_CHECKING, Any

from finetune_sdk.data.formats.openai import write_messages
from finetune_sdk.errors import AnswersError, BackendError, UnsupportedError
from finetune_sdk.estimate import Price
from finetune_sdk.messages import Asked, Conversation
from finetune_sdk.model import Answer, Identity, Origin, Question, Sampling
from finetune_sdk_openai import looping
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.completions import answer as read
from finetune_sdk_openai.completions import spoken, whole
from finetune_sdk_openai.ears import Ears, Hear
from finetune_sdk_openai.errors import GarbledError, passing, retry_after, translated
from finetune_sdk_openai.known import family, snapshot
from finetune_sdk_openai.options import Options
from finetune_sdk_openai.pools import Pools
from finetune_sdk_openai.retrying import LONGEST, MOST, pause

if TYPE_CHECKING:
    import openai
    from tenacity import RetryCallState

_TOO_FAST = frozenset({429, 503, 529})  # that it is asked too much, and that it has too much to do
_SHORTEST, _LOOK_EVERY = 0.1, 1.0  # seconds
Hand = Callable[[int, Answer | BackendError], Awaitable[None]]


class Gate:
    """How many questions may be under way: as many as asked for, half as many after a refusal for haste, then one more each time.

    While the place wants to be left alone, nobody goes through; where it does not say how long, ever longer until it answers.
    Once it has refused everybody for `patience` seconds, those who wait get what it said last.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._refused = 0
        self._refusing_since: float | None = None
        self._said: Exception | None = None
        self._allowed = float(most)
        self._inside = 0
        self._closed_until = 0.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._changed:
            while self._inside >= int(self._allowed) or self._closed():
                if self._said is not None and self.given_up(0.0):
                    raise self._said
                wait = self._closed_until - time.monotonic() if self._closed() else _LOOK_EVERY
                try:
                    await asyncio.wait_for(self._changed.wait(), wait)
                except TimeoutError:
                    continue
            self._inside += 1

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def _closed(self) -> bool:
        return time.monotonic() < self._closed_until

    def given_up(self, ahead: float) -> bool:
        """Whether in so many seconds the place will have refused everybody for too long."""
        return self._refusing_since is not None and time.monotonic() + ahead - self._refusing_since > self._patience

    def begin(self) -> None:
        """Somebody asks who was not here before: a place that nobody is asking now may have changed its mind."""
        if not self._inside:
            self._refusing_since = None

    def went_well(self) -> None:
        self._refused, self._refusing_since = 0, None
        self._allowed = min(float(self._most), self._allowed + 1 / max(1.0, self._allowed))

    def too_fast(self, said: Exception, wait: float | None) -> None:
        now = time.monotonic()
        self._said, self._refusing_since = said, self._refusing_since or now
        if not self._closed():  # those that were under way are refused together, and count once
            self._allowed = max(1.0, self._allowed / 2)
            self._refused += 1
            if wait is None:
                wait = min(LONGEST, _SHORTEST * 2**self._refused)
        self._closed_until = max(self._closed_until, now + (wait or 0.0))


class ProtocolModel:
    """A base or a tuned model at such a place. `asks_for` is what it is called there, such as the name of a deployment.

    Any thread may ask; all who ask one model go through one gate. Each conversation is asked by itself (`alone`).
    """

    alone = True

    def __init__(
        self,
        name: str,
        origin: Origin,
        address: Address,
        options: Options,
        asks_for: str,
        prices: Iterable[Price] = (),
    ) -> None:
        self.name = name
        self.prices = tuple(prices)
        self.origin = origin
        self._address = address
        self._options = options
        self._asks_for = asks_for
        self._pools = Pools(address, options.at_once, options.timeout)
        self._gate: tuple[asyncio.AbstractEventLoop, Gate] | None = None

    def __repr__(self) -> str:
        return f"ProtocolModel({self.name!r}, {self._address.url!r})"

    @property
    def at_once(self) -> int:
        """As many conversations as keep all that may be under way busy."""
        return 16 * self._options.at_once

    @property
    def identity(self) -> Identity:
        """The address, the account and the name there. Only OpenAI's own snapshots and tuned models stay what they are."""
        known = family(self.name)
        lasting = self._options.lasting
        if lasting is None:
            lasting = self._address.official and snapshot(self._asks_for)
        draws_always = known is not None and known.reasons
        return Identity(f"{self._address} {self._asks_for}", lasting and not draws_always)

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        outcome = self._outcomes([asked], sampling)[0]
        if isinstance(outcome, Answer):
            return outcome
        raise outcome

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        """One answer to each. Where some fail, AnswersError has the others."""
        return _together(self._outcomes(list(asked), sampling))

    def speak(self, asked: Iterable[Asked], hear: Mapping[int, Hear], sampling: Sampling | None = None) -> list[Answer]:
        """As `answers`; `hear[i]` is called in this thread with each piece of answer i, and returns False to end it.

        What anything was heard of is never asked again. Of an answer that was ended, the place tells no tokens.
        """
        requests = [self._request(Conversation.of(one), sampling) for one in asked]
        if not requests:
            return []
        ears = Ears(hear)
        future = asyncio.run_coroutine_threadsafe(self._all(requests, ears), looping.loop())
        future.add_done_callback(lambda _: ears.close())
        try:
            ears.hand_out()
            outcomes = future.result()
        except BaseException:
            future.cancel()
            raise
        return _together([ears.kept(row, outcome) for row, outcome in enumerate(outcomes)])

    def outcomes(self, questions: Iterable[Question]) -> Iterator[tuple[int, Answer | BackendError]]:
        """Each answer as it comes. For each that was taken in, and not before, another question is taken, in our loop's thread."""
        loop = looping.loop()
        came: SimpleQueue[tuple[int, Answer | BackendError, asyncio.Event] | None] = SimpleQueue()
        requests = (self._request(Conversation.of(asked), sampling) for asked, sampling in questions)

        async def hand(number: int, outcome: Answer | BackendError) -> None:
            taken_in = asyncio.Event()
            came.put((number, outcome, taken_in))
            await taken_in.wait()

        future = asyncio.run_coroutine_threadsafe(self._each(requests, self._options.at_once, hand), loop)
        future.add_done_callback(lambda _: came.put(None))
        try:
            while (one := came.get()) is not None:
                yield one[0], one[1]
                loop.call_soon_threadsafe(one[2].set)
            future.result()
        finally:
            future.cancel()

    def _outcomes(self, asked: list[Asked], sampling: Sampling | None) -> list[Answer | BackendError]:
        requests = [self._request(Conversation.of(one), sampling) for one in asked]
        return looping.run(self._all(requests)) if requests else []

    def _request(self, conversation: Conversation, sampling: Sampling | None) -> dict[str, Any]:
        messages = write_messages([message.canonical() for message in conversation.messages])
        for message in messages:
            message.pop("weight", None)
        request: dict[str, Any] = {"model": self._asks_for, "messages": messages}
        if conversation.tools:
            request["tools"] = [dict(tool) for tool in conversation.tools]
            if conversation.parallel_tool_calls is not None:
                request["parallel_tool_calls"] = conversation.parallel_tool_calls
        return {**request, **self._sampled(sampling)}

    def _sampled(self, sampling: Sampling | None) -> dict[str, Any]:
        drawn = sampling or Sampling()
        newer = self._address.official or self._address.kind == "azure"
        request: dict[str, Any] = {"max_completion_tokens" if newer else "max_tokens": drawn.max_tokens}
        known = family(self.name)
        if known is not None and known.reasons and newer:
            if sampling is not None and (sampling.temperature != 1.0 or sampling.top_p != 1.0):
                raise UnsupportedError(
                    f"{self.name} reasons, and its temperature and top_p cannot be chosen.",
                    cure="leave the sampling out, or give temperature=1.0 and top_p=1.0",
                )
        else:
            if drawn.temperature > 2:
                raise UnsupportedError(f"temperature={drawn.temperature:g} cannot be done there.", cure="give 0 to 2")
            request |= {"temperature": drawn.temperature, "top_p": drawn.top_p}
        if drawn.seed is not None:
            request["seed"] = drawn.seed
        if drawn.logprobs is not None:
            request |= {"logprobs": True, "top_logprobs": drawn.logprobs}
        return request

    async def _all(self, requests: list[dict[str, Any]], ears: Ears | None = None) -> list[Answer | BackendError]:
        outcomes: dict[int, Answer | BackendError] = {}

        async def hand(number: int, outcome: Answer | BackendError) -> None:
            outcomes[number] = outcome

        await self._each(requests, min(self._options.at_once, len(requests)), hand, ears)
        return [outcomes[number] for number in range(len(requests))]

    async def _each(
        self, requests: Iterable[dict[str, Any]], at_once: int, hand: Hand, ears: Ears | None = None
    ) -> None:
        gate, clients = self._entrance(), self._pools.clients()
        gate.begin()
        waiting = enumerate(requests)

        async def work(client: openai.AsyncOpenAI) -> None:
            for number, request in waiting:
                tell = partial(ears.tell, number) if ears is not None and number in ears else None
                await hand(number, await self._one(client, gate, request, tell))

        workers = [asyncio.ensure_future(work(clients[n % len(clients)])) for n in range(at_once)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    def _entrance(self) -> Gate:
        """Called in the loop; after a fork that is another one."""
        loop = looping.loop()
        if self._gate is None or self._gate[0] is not loop:
            self._gate = (loop, Gate(self._options.at_once, self._options.patience))
        return self._gate[1]

    async def _one(
        self, client: openai.AsyncOpenAI, gate: Gate, request: dict[str, Any], tell: Hear | None
    ) -> Answer | BackendError:
        import httpx2
        import openai
        from tenacity import AsyncRetrying, retry_if_exception

        begun, faults, started = False, 0, time.monotonic()

        def told(piece: str) -> bool:
            nonlocal begun
            begun = True
            assert tell is not None
            return tell(piece)

        async def ask() -> Answer:
            async with gate:
                sent = time.perf_counter()
                try:
                    said = await (whole(client, request) if tell is None else spoken(client, request, told))
                    answer = read(said, time.perf_counter() - sent)
                except openai.APIStatusError as fault:
                    if fault.status_code in _TOO_FAST:
                        gate.too_fast(fault, retry_after(fault))
                    raise
                except (ValueError, httpx2.TransportError) as fault:
                    raise GarbledError(str(fault)) from None
                gate.went_well()
                return answer

        def enough(state: RetryCallState) -> bool:
            # A place that answers others is not given up for having too much to do.
            nonlocal faults
            if _too_fast(state.outcome.exception() if state.outcome else None):
                return gate.given_up(state.upcoming_sleep)
            faults += 1
            return faults >= MOST or time.monotonic() - started + state.upcoming_sleep > self._options.patience

        waiting: dict[str, Any] = {"wait": _pause, "stop": enough}
        again = retry_if_exception(lambda fault: not begun and _may_pass(fault))
        try:
            return await AsyncRetrying(**waiting, retry=again, reraise=True)(ask)
        except (openai.OpenAIError, GarbledError) as fault:
            return translated(fault, f"ask {self.name}", self._address)


def _too_fast(fault: BaseException | None) -> bool:
    return getattr(fault, "status_code", None) in _TOO_FAST


def _pause(state: RetryCallState) -> float:
    """Of what was refused for haste the gate decides when it goes on; all else waits by itself."""
    fault = state.outcome.exception() if state.outcome else None
    return uniform(0.05, 0.5) if _too_fast(fault) and retry_after(fault) is None else pause(state)


def _may_pass(fault: BaseException) -> bool:
    return isinstance(fault, Exception) and passing(fault)


def _together(outcomes: list[Answer | BackendError]) -> list[Answer]:
    """All answers. Where some are missing, an AnswersError with the others; the fault itself where there was one question."""
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    failed = [outcome for outcome in outcomes if not isinstance(outcome, Answer)]
    if not failed:
        return answers
    if len(outcomes) == 1:
        raise failed[0]
    message = f"{len(failed)} of {len(outcomes)} conversations were not answered; the first: {failed[0].message}"
    raise AnswersError(message, tuple(outcomes), cure=failed[0].cure)
