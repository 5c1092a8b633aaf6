"""HTTP over a World: /bot<token>/<method>, /file/bot<token>/<path>, webhooks, /world."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.botapi import methods
from tests.botapi.faults import Fault, Kind
from tests.botapi.methods import METHODS, Upload
from tests.botapi.world import ApiError, Call, Json, World

#: Fields that hold plain text, whatever it looks like; everything else is decoded when it is JSON.
PLAIN = {
    "text", "caption", "parse_mode", "callback_query_id", "inline_query_id", "guest_query_id",
    "file_id", "url", "secret_token", "action", "description", "short_description", "name",
    "language_code", "photo", "document",
}  # fmt: skip
#: What a poll hears that a newer one ends.
TAKEN_OVER = (
    "Conflict: terminated by other getUpdates request; "
    "make sure that only one bot instance is running"
)
#: Calls that name a chat but only read.
FREE = {"getchat", "getchatmember", "getchatadministrators"}


class Cut(Response):
    """Promises a body, sends less and lets the connection drop: the client never gets its reply."""

    def __init__(self) -> None:
        super().__init__(b"", media_type="application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


def refuse(code: int, description: str, parameters: Json | None = None) -> JSONResponse:
    content: Json = {"ok": False, "error_code": code, "description": description}
    if parameters:
        content["parameters"] = parameters
    return JSONResponse(content, status_code=code)


async def read_params(request: Request) -> Json:
    """The parameters of a call from JSON, form or multipart."""
    if request.headers.get("content-type", "").startswith("application/json"):
        return dict(await request.json())
    params: Json = {}
    async with request.form(max_part_size=60_000_000) as form:
        for key, value in form.multi_items():
            if isinstance(value, UploadFile):
                params[key] = Upload(name=value.filename or "file", data=await value.read())
            elif key in PLAIN:
                params[key] = value
            else:
                try:
                    params[key] = json.loads(value)
                except ValueError:
                    params[key] = value
    for key, value in list(params.items()):
        if isinstance(value, str) and value.startswith("attach://"):
            params[key] = params[value.removeprefix("attach://")]
    return params


def recorded(params: Json) -> Json:
    """Parameters for the record: files by size only."""
    return {k: len(v.data) if isinstance(v, Upload) else v for k, v in params.items()}


class Api:
    """The endpoints. `world` may be exchanged between tests."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def call(self, request: Request) -> Response:
        """One Bot API call: faults and flood limits first, then the method."""
        world = self.world
        if request.path_params["token"] != world.token:
            return refuse(401, "Unauthorized")
        name = request.path_params["method"].lower()
        params = await read_params(request)
        if not name.startswith("get"):
            params = {**request.query_params, **params}
        if name == "getupdates":
            return await self.get_updates(request, params)
        if name not in METHODS:
            return refuse(404, "Not Found")
        chat_id = (
            int(params["chat_id"]) if str(params.get("chat_id", "")).lstrip("-").isdigit() else None
        )
        record = Call(
            at=world.clock(),
            method=request.path_params["method"],
            params=recorded(params),
            chat_id=chat_id,
        )
        world.calls.append(record)
        world.tick()
        fault = self.fault(name, chat_id)
        record.fault = fault.kind if fault else ""
        try:
            return await self.perform(name, params, chat_id, record, fault)
        except ApiError as error:
            record.ok, record.error = False, error.description
            return refuse(error.code, error.description, error.parameters)

    def fault(self, name: str, chat_id: int | None) -> Fault | None:
        for fault in self.world.faults:
            if fault.matches(name, chat_id, self.world.rng):
                fault.used += 1
                return fault
        return None

    async def perform(
        self, name: str, params: Json, chat_id: int | None, record: Call, fault: Fault | None
    ) -> Response:
        if chat_id is not None and name not in FREE:
            wait = self.world.meter.charge(chat_id)
            if wait > 0:
                self.flood(wait)
        if fault and fault.kind is Kind.FLOOD:
            self.flood(fault.seconds)
        if fault and fault.kind is Kind.SERVER_ERROR:
            raise ApiError(500, "Internal Server Error")
        if fault and fault.kind is Kind.CUT_BEFORE:
            record.ok, record.error = False, "cut"
            return Cut()
        result = METHODS[name](self.world, params)
        if isinstance(result, dict):
            record.message_id = result.get("message_id")
        if fault and fault.kind is Kind.CUT_AFTER:
            return Cut()
        if fault and fault.kind is Kind.SLOW:
            await asyncio.sleep(fault.seconds)
        return JSONResponse({"ok": True, "result": result})

    def flood(self, wait: float) -> None:
        seconds = max(1, -int(-wait // 1))
        raise ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)

    async def get_updates(self, request: Request, params: Json) -> Response:
        """Long polling; a newer poll ends an older one with 409, as Telegram does."""
        world = self.world
        if world.webhook["url"]:
            return refuse(409, "Conflict: can't use getUpdates method while webhook is active; "
                               "use deleteWebhook to delete the webhook first")  # fmt: skip
        fault = self.fault("getupdates", None)
        if fault and fault.kind is Kind.SERVER_ERROR:
            return refuse(500, "Internal Server Error")
        if fault and fault.kind is Kind.CONFLICT:
            return refuse(409, TAKEN_OVER)
        if fault:
            return Cut()
        methods.allow(world, params)
        world.poll_generation += 1
        generation = world.poll_generation
        offset, limit = int(params.get("offset") or 0), int(params.get("limit") or 100)
        world.pending(offset, 0)  # confirms what came before
        world.tick()

        def ready() -> bool:
            return generation != world.poll_generation or bool(world.pending(offset, limit))

        world.polling += 1
        try:
            with contextlib.suppress(TimeoutError):
                await world.until(ready, "updates", float(params.get("timeout") or 0))
        finally:
            world.polling -= 1
        if generation != world.poll_generation:
            return refuse(409, TAKEN_OVER)
        return JSONResponse({"ok": True, "result": world.pending(offset, limit)})

    async def file(self, request: Request) -> Response:
        if request.path_params["token"] != self.world.token:
            return refuse(401, "Unauthorized")
        fault = self.fault("download", None)
        if fault and fault.kind is Kind.SERVER_ERROR:
            return refuse(500, "Internal Server Error")
        if fault:
            return Cut()
        for path, data in self.world.files.values():
            if path == request.path_params["path"]:
                return Response(data, media_type="application/octet-stream")
        return refuse(404, "Not Found")

    async def show(self, request: Request) -> Response:
        """GET /world: the chats, for a page or a person."""
        return JSONResponse(
            {
                "bot": self.world.bot,
                "users": list(self.world.users.values()),
                "chats": {
                    chat.id: {
                        "info": chat.info,
                        "messages": [m for _, m in sorted(chat.messages.items())],
                        "draft": chat.draft,
                    }
                    for chat in self.world.chats.values()
                },
            }
        )

    async def says(self, request: Request) -> Response:
        """POST /world/say {user, name?, language?, text?, file?, caption?, tap?}: be a person."""
        from tests.botapi.script import Person

        form = await read_params(request)
        user_id = int(form["user"])
        if user_id not in self.world.users:
            self.world.user(user_id, form.get("name") or f"User {user_id}", form.get("language"))
        person = Person(self.world, self.world.users[user_id])
        if form.get("tap"):
            await person.taps(str(form["tap"]))
        elif isinstance(form.get("file"), Upload):
            person.sends_photo(form["file"].data, caption=form.get("caption"))
        else:
            person.says(str(form.get("text", "")))
        return JSONResponse({"ok": True})

    async def push(self) -> None:
        """Webhook delivery: one POST an update, in order, again until the bot says 2xx."""
        async with httpx.AsyncClient(timeout=60, verify=False) as client:
            while True:
                await self.world.until(
                    lambda: self.world.webhook["url"] and self.world.pending(0, 1), "updates", 1e9
                )
                update = self.world.pending(0, 1)[0]
                secret = self.world.webhook.get("secret")
                headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
                try:
                    reply = await client.post(
                        self.world.webhook["url"], json=update, headers=headers
                    )
                    delivered = reply.is_success
                except httpx.HTTPError:
                    delivered = False
                if delivered:
                    self.world.pending(update["update_id"] + 1, 0)
                else:
                    await asyncio.sleep(0.1)


def application(api: Api) -> Starlette:
    """The ASGI application."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pusher = asyncio.create_task(api.push())
        yield
        pusher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pusher

    return Starlette(
        routes=[
            Route("/bot{token}/{method}", api.call, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", api.file),
            Route("/world", api.show),
            Route("/world/say", api.says, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


class Server(uvicorn.Server):
    """uvicorn in a task of the test's own loop: signals stay with the test runner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def serving(world: World, port: int = 0) -> AsyncIterator[str]:
    """Serve a world on localhost; yields the address, like `http://127.0.0.1:4711`."""
    config = uvicorn.Config(
        application(Api(world)),
        host="127.0.0.1",
        port=port,
        log_level="critical",
        timeout_graceful_shutdown=1,
        lifespan="on",
    )
    server = Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        world.poll_generation += 1  # let go of a poll that still waits
        world.tick()
        server.should_exit = True
        await task
