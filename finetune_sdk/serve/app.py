"""The routes: what is asked for is read, handed on, and answered in the protocol's shapes."""

from __future__ import annotations

import asyncio
import errno
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from finetune_sdk.errors import FinetuneError
from finetune_sdk.serve import chat, completions, shapes
from finetune_sdk.serve.bodies import read_json
from finetune_sdk.serve.definitions import NewJob
from finetune_sdk.serve.errors import ProtocolError, disk_full, invalid, refusal
from finetune_sdk.serve.files import Completion, NewUpload
from finetune_sdk.serve.guard import Guard
from finetune_sdk.serve.service import Service

_T = TypeVar("_T")
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


def build(service: Service) -> ASGIApp:
    """The whole server as an ASGI app. Its queue runs from start-up to shutdown."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.queue.start()
        try:
            yield
        finally:
            await run_in_threadpool(service.close)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, redirect_slashes=False)
    _errors(app)
    _files(app, service)
    _uploads(app, service)
    _jobs(app, service)
    _models(app, service)
    _chat(app, service)

    @app.get("/health")
    async def health() -> Response:
        return _json({"status": "ok"})

    return Guard(app, service.keyring, service.options.names)


def _json(value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def _owner(request: Request) -> str:
    return str(request.state.owner)


def _errors(app: FastAPI) -> None:
    def answered(fault: ProtocolError) -> Response:
        return _json(fault.body(), fault.status, fault.headers)

    @app.exception_handler(ProtocolError)
    async def refused(_: Request, fault: ProtocolError) -> Response:
        return answered(fault)

    @app.exception_handler(FinetuneError)
    async def failed(_: Request, fault: FinetuneError) -> Response:
        return answered(refusal(fault))

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return answered(ProtocolError("The client has gone.", status=499, code="client_gone"))

    @app.exception_handler(OSError)
    async def unwritten(_: Request, fault: OSError) -> Response:
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise fault
        return answered(disk_full())

    @app.exception_handler(sqlite3.OperationalError)
    async def unstored(_: Request, fault: sqlite3.OperationalError) -> Response:
        if fault.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise fault
        return answered(disk_full())

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, fault: HTTPException) -> Response:
        method, path = request.method, request.url.path
        known = {404: f"Invalid URL ({method} {path})", 405: f"Not allowed: {method} {path}"}
        return answered(ProtocolError(known.get(fault.status_code, str(fault.detail)), status=fault.status_code))

    @app.exception_handler(Exception)
    async def defect(_: Request, __: Exception) -> Response:
        return answered(ProtocolError("The server had an error.", status=500, kind="server_error", code="server_error"))


def _limit(request: Request, usual: int, most: int) -> int:
    given = request.query_params.get("limit")
    if given is None:
        return usual
    if not given.isdecimal() or not 1 <= int(given[:9]) <= most:
        raise invalid("limit", f"give a whole number from 1 to {most:,}.")
    return int(given)


def _only(request: Request, *names: str) -> None:
    stray = next((name for name in request.query_params if name not in names), None)
    if stray is not None:
        raise ProtocolError(f"Unknown parameter: '{stray}'.", param=stray, code="unknown_parameter")


def _files(app: FastAPI, service: Service) -> None:
    files = service.files

    @app.post("/v1/files")
    async def create(request: Request) -> Response:
        return _json(shapes.file_object(await files.receive(request, _owner(request))))

    @app.get("/v1/files")
    async def page(request: Request) -> Response:
        _only(request, "purpose", "limit", "order", "after")
        asked, limit = request.query_params, _limit(request, 10_000, 10_000)
        order = asked.get("order", "desc")
        if order not in ("asc", "desc"):
            raise invalid("order", "it is 'asc' or 'desc'.")
        purpose, after, newest = asked.get("purpose"), asked.get("after"), order == "desc"
        return _json(await run_in_threadpool(files.page, _owner(request), purpose, after, limit, newest))

    @app.get("/v1/files/{file}")
    async def get(request: Request, file: str) -> Response:
        return _json(shapes.file_object(await run_in_threadpool(files.get, _owner(request), file)))

    @app.get("/v1/files/{file}/content")
    async def content(request: Request, file: str) -> Response:
        found = await run_in_threadpool(files.get, _owner(request), file)
        return FileResponse(files.path(found.id), media_type="application/octet-stream")

    @app.delete("/v1/files/{file}")
    async def delete(request: Request, file: str) -> Response:
        await run_in_threadpool(files.delete, _owner(request), file)
        return _json(shapes.deleted(file, "file"))


def _uploads(app: FastAPI, service: Service) -> None:
    files = service.files

    @app.post("/v1/uploads")
    async def begin(request: Request) -> Response:
        asked = await read_json(request, NewUpload)
        return _json(shapes.upload_object(await run_in_threadpool(files.begin, _owner(request), asked)))

    @app.post("/v1/uploads/{upload}/parts")
    async def part(request: Request, upload: str) -> Response:
        return _json(shapes.part_object(await files.receive_part(request, _owner(request), upload)))

    @app.post("/v1/uploads/{upload}/complete")
    async def complete(request: Request, upload: str) -> Response:
        asked = await read_json(request, Completion)
        done, file = await run_in_threadpool(files.complete, _owner(request), upload, asked)
        return _json(shapes.upload_object(done, file))

    @app.post("/v1/uploads/{upload}/cancel")
    async def cancel(request: Request, upload: str) -> Response:
        return _json(shapes.upload_object(await run_in_threadpool(files.cancel, _owner(request), upload)))


def _jobs(app: FastAPI, service: Service) -> None:
    jobs = service.jobs

    @app.post("/v1/fine_tuning/jobs")
    async def create(request: Request) -> Response:
        asked = await read_json(request, NewJob)
        return _json(await run_in_threadpool(jobs.create, _owner(request), asked))

    @app.get("/v1/fine_tuning/jobs")
    async def page(request: Request) -> Response:
        metadata, bare = _metadata(request)
        after, limit = request.query_params.get("after"), _limit(request, 20, 1000)
        return _json(await run_in_threadpool(jobs.page, _owner(request), after, limit, metadata, bare))

    @app.get("/v1/fine_tuning/jobs/{job}")
    async def get(request: Request, job: str) -> Response:
        return _json(shapes.job_object(await run_in_threadpool(jobs.get, _owner(request), job)))

    @app.post("/v1/fine_tuning/jobs/{job}/cancel")
    async def cancel(request: Request, job: str) -> Response:
        return _json(await jobs.cancel(_owner(request), job))

    @app.post("/v1/fine_tuning/jobs/{job}/pause")
    async def pause(request: Request, job: str) -> Response:
        return _json(await jobs.pause(_owner(request), job))

    @app.post("/v1/fine_tuning/jobs/{job}/resume")
    async def resume(request: Request, job: str) -> Response:
        return _json(await run_in_threadpool(jobs.resume, _owner(request), job))

    @app.get("/v1/fine_tuning/jobs/{job}/events")
    async def events(request: Request, job: str) -> Response:
        _only(request, "after", "limit")
        after, limit = request.query_params.get("after"), _limit(request, 20, 1000)
        return _json(await run_in_threadpool(jobs.events, _owner(request), job, after, limit))

    @app.get("/v1/fine_tuning/jobs/{job}/checkpoints")
    async def checkpoints(request: Request, job: str) -> Response:
        _only(request, "after", "limit")
        after, limit = request.query_params.get("after"), _limit(request, 10, 1000)
        return _json(await run_in_threadpool(jobs.checkpoints, _owner(request), job, after, limit))


def _metadata(request: Request) -> tuple[dict[str, str] | None, bool]:
    """The filters `metadata[key]=value`, and whether `metadata=null` asks for jobs without any."""
    filters, bare = dict[str, str](), False
    for name, value in request.query_params.multi_items():
        matched = _METADATA.fullmatch(name)
        if matched:
            if filters.get(matched[1], value) != value:
                raise invalid(name, "it is given twice, and no job has both.")
            filters[matched[1]] = value
        elif name == "metadata" and value == "null":
            bare = True
        elif name not in ("after", "limit"):
            raise ProtocolError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if filters and bare:
        raise invalid("metadata", "ask for pairs, or for jobs without any.")
    return filters or None, bare


def _models(app: FastAPI, service: Service) -> None:
    catalogue = service.catalogue

    @app.get("/v1/models")
    async def page(request: Request) -> Response:
        return _json(await run_in_threadpool(catalogue.listed, _owner(request)))

    @app.get("/v1/models/{model:path}")
    async def get(request: Request, model: str) -> Response:
        return _json(await run_in_threadpool(catalogue.shown, _owner(request), model))

    @app.delete("/v1/models/{model:path}")
    async def delete(request: Request, model: str) -> Response:
        return _json(await run_in_threadpool(catalogue.delete, _owner(request), model))


def _chat(app: FastAPI, service: Service) -> None:
    @app.post("/v1/chat/completions")
    async def create(request: Request) -> Response:
        body = await read_json(request, chat.Chat)
        model = service.catalogue.base(body.model)
        if model is None:
            model = await run_in_threadpool(service.catalogue.find, _owner(request), body.model)
        question = await chat.question(body, model, service.options.usual_tokens)
        asking = chat.Asking(question, service.desks)
        if not question.stream:
            answers = await _unless_gone(request, asking, asking.answers())
            timing = {"Server-Timing": f"model;dur={1000 * asking.seconds:.2f}"}
            return _json(completions.completion(question, answers), headers=timing)
        chunks = completions.Chunks(question).of(asking.pieces())
        # What goes wrong before a word is said has a status of its own.
        first = await _unless_gone(request, asking, anext(chunks))
        return StreamingResponse(_events(first, chunks, asking), media_type="text/event-stream")


async def _unless_gone(request: Request, asking: chat.Asking, what: Awaitable[_T]) -> _T:
    """What is waited for, unless the client goes away first. Raises ClientDisconnect."""
    awaited, gone = asyncio.ensure_future(what), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({awaited, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not awaited.done():
            asking.leave()
            raise ClientDisconnect
        return await awaited
    finally:
        gone.cancel()
        awaited.cancel()


async def _events(
    first: Mapping[str, Any], chunks: AsyncIterator[Mapping[str, Any]], asking: chat.Asking
) -> AsyncIterator[bytes]:
    try:
        yield _event(first)
        async for chunk in chunks:
            yield _event(chunk)
    except ProtocolError as fault:
        yield _event(fault.body())
    finally:
        asking.leave()
    yield b"data: [DONE]\n\n"


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
