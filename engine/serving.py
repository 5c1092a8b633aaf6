"""`foodcritic engine serve`: LMDeploy's own server with our settings, kept alive.

```
 --replicas 1   api_server on PORT
 --replicas N   proxy on PORT ◀── `front` ── api_server on PORT + 1 … PORT + N, one GPU each
```

Each process is a supervised child with a log of its own; one that dies, or stops answering
/health, starts again, and none outlives us. Any number of workers, here or elsewhere, use it with
FOODCRITIC_ENGINE_URL.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

import structlog

from engine import apart, card, choice, copies, front, hub, turbomind
from engine.plan import Plan
from foodcritic import supervise
from foodcritic.errors import ModelError, SettingsError
from foodcritic.settings import Settings

#: LMDeploy's own default.
PORT: Final = 23333
#: What LMDeploy's processes get beside our own settings.
ENVIRONMENT: Final = {
    # Cards are counted as the driver counts them; CUDA's own order is by speed.
    "CUDA_DEVICE_ORDER": card.ORDER,
    # Not a line in the log for each request, and each look at /health.
    "UVICORN_LOG_LEVEL": "warning",
    # A scheduler that stands still is as good as dead, as in the worker (engine.streams).
    "LMDEPLOY_HEALTH_UNHEALTHY_AFTER": "60",
}

#: What api_server is to multiply with, in its environment.
GEMM: Final = "FOODCRITIC_GEMM"
#: Starts with weights in 8 bits that may fail before 16 are taken.
TRIES: Final = 2

log = structlog.get_logger(__name__)


#: LMDeploy's command line. The kernel ends it with us, whatever ends us; the key comes by the
#: environment, since others can read commands.
LAUNCH: Final = f"""
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(os.environ["FOODCRITIC_PARENT"]):
    sys.exit("orphaned")
from lmdeploy.cli.entrypoint import run
if os.environ.get("{GEMM}"):
    from engine import turbomind
    turbomind.multiply(os.environ["{GEMM}"])
if "pytorch" in sys.argv:
    from engine import mortal
    mortal.bind()
if os.environ.get("FOODCRITIC_ENGINE_KEY"):
    sys.argv += ["--api-keys", os.environ["FOODCRITIC_ENGINE_KEY"]]
from engine import front
if sys.argv[2] == "proxy":
    from lmdeploy.serve.proxy import proxy
    front.guard(orders=True, well=lambda: proxy.node_manager.nodes)
    front.left_out(proxy.node_manager)
else:
    front.guard(orders=False)
run()
"""
#: Seconds between the proxy's own looks at its servers: one that hangs is left out by then.
PROXY_LOOKS: Final = "10"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """What a card serves: by a plan, from a folder."""

    plan: Plan
    folder: Path
    #: The plan with weights in 16 bits, should 8 fail.
    spare: Plan | None = None


def api_server(folder: Path, name: str, plan: Plan, *, host: str, port: int) -> list[str]:
    """The command of one api_server."""
    command = [
        *(sys.executable, "-c", LAUNCH, "serve", "api_server", str(folder)),
        *("--server-name", host, "--server-port", str(port), "--model-name", name),
        *("--backend", plan.backend, "--dtype", plan.dtype),
        *("--session-len", str(plan.session_len), "--max-batch-size", str(plan.max_batch_size)),
        *("--cache-max-entry-count", str(plan.cache_max_entry_count)),
        *("--max-prefill-token-num", str(plan.max_prefill_token_num)),
        *("--quant-policy", str(plan.quant_policy)),
        # Photos come as data URLs: the server fetches nothing for anybody.
        *("--allowed-media-domains", "none.invalid"),
    ]
    if plan.backend == "turbomind":
        command.append("--enable-prefix-caching")
    if plan.trusted:
        command.append("--trust-remote-code")
    return command


async def serve(
    settings: Settings, stop: asyncio.Event, *, host: str, port: int, replicas: int
) -> None:
    """Serve the configured model until `stop`.

    Raises:
        ModelError: it cannot be had, or does not fit.
        SettingsError: no GPU, fewer GPUs than replicas, no LMDeploy, or a port is taken.
    """
    if not choice.installed():
        raise SettingsError("foodcritic engine serve needs LMDeploy: make gpu")
    cards = card.cards()
    if len(cards) < replicas:
        raise SettingsError(f"--replicas {replicas}: this machine has {len(cards)} NVIDIA GPU(s)")
    model = settings.model or hub.DEFAULT
    folder = await asyncio.to_thread(hub.find, model, settings)
    name = hub.called(model, folder)
    key = settings.engine_key.get_secret_value() if settings.engine_key else None
    if host not in ("127.0.0.1", "localhost") and not key:
        raise SettingsError(f"--host {host} is open to others: set FOODCRITIC_ENGINE_KEY")
    alone = replicas == 1
    for taken in range(port, port + (1 if alone else replicas + 1)):
        _free(host if taken == port else "127.0.0.1", taken)
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    env = ENVIRONMENT | _direct() | {"FOODCRITIC_ENGINE_KEY": key or ""}
    proxy = None if alone else f"http://{_reached(host)}:{port}"
    with ExitStack() as files:
        plans = await _planned(settings, model, folder, cards[:replicas], stop, files)

        def output(what: str) -> IO[bytes]:
            return files.enter_context((logs / f"engine-{what}.log").open("ab"))

        children = []
        if not alone:
            command = [sys.executable, "-c", LAUNCH, "serve", "proxy", "--disable-cache-status"]
            command += ["--server-name", host, "--server-port", str(port)]
            told = env | {"LMDEPLOY_CONTROLLER_HEART_BEAT_EXPIRATION": PROXY_LOOKS}
            children.append(
                supervise.keep(
                    "proxy",
                    command,
                    stop,
                    output=output("proxy"),
                    env=told,
                    healthy=lambda: asyncio.to_thread(front.answers, f"{proxy}/nodes/status"),
                    stuck=supervise.STUCK,
                )
            )
        for number, one in enumerate(plans):
            at, where = (port, host) if alone else (port + 1 + number, "127.0.0.1")
            command = api_server(one.folder, name, one.plan, host=where, port=at)
            spare = api_server(folder, name, one.spare, host=where, port=at) if one.spare else None
            told = env | {"CUDA_VISIBLE_DEVICES": str(cards[number].index)}
            if one.plan.weight_bits == 8:
                told[GEMM] = turbomind.GEMM
            server = f"http://{_reached(where)}:{at}"
            children.append(
                _keep(
                    *(number, command, spare, stop, output(str(number)), told, server, name, proxy),
                    failed=partial(copies.told, settings.models, model),
                )
            )
        url = f"http://{_reached(host)}:{port}/v1"
        log.info("engine.loading", url=url, model=name, replicas=replicas, logs=str(logs))
        await asyncio.gather(*children)


async def _planned(
    settings: Settings,
    model: str,
    folder: Path,
    cards: Sequence[card.Card],
    stop: asyncio.Event,
    files: ExitStack,
) -> list[_Planned]:
    """What each card serves; `files` keeps the copy in 8 bits until we end."""
    usual = settings.model_copy(update={"weight_bits": 16})
    plans = [choice.planned(settings, model, folder, one, alone=True) for one in cards]
    for one, plan in zip(cards, plans, strict=True):
        if plan.weight_bits != settings.weight_bits:
            why = choice.sixteen(folder, one)
            log.warning("engine.weights_as_they_are", gpu=one.index, reason=why)
    copy, eight = folder, next((plan for plan in plans if plan.weight_bits == 8), None)
    if eight is not None:
        try:
            await apart.write(folder, settings.models, eight.dtype, stop)
            if not stop.is_set():
                copy = files.enter_context(copies.held(folder, settings.models, eight.dtype))
        except ModelError as error:
            log.warning("engine.weights_as_they_are", reason=str(error))
            return await _planned(usual, model, folder, cards, stop, files)

    def whole(one: card.Card) -> Plan | None:
        with suppress(ModelError):  # too large for the card
            return choice.planned(usual, model, folder, one, alone=True)
        return None

    return [
        _Planned(plan=plan, folder=copy, spare=whole(one))
        if plan.weight_bits == 8
        else _Planned(plan=plan, folder=folder)
        for one, plan in zip(cards, plans, strict=True)
    ]


async def _keep(
    number: int,
    command: list[str],
    spare: list[str] | None,
    stop: asyncio.Event,
    output: IO[bytes],
    env: dict[str, str],
    server: str,
    model: str,
    proxy: str | None,
    *,
    failed: Callable[[str | None], None],
) -> None:
    """Keep one api_server, and the proxy told of it.

    One that dies twice before it was well goes on as `spare` says: with weights in 16 bits.
    `failed` is told why, and None once 8 bits were well.
    """
    tries: int | None = 0  # None: it has been well

    async def healthy() -> bool:
        nonlocal tries
        well = await asyncio.to_thread(front.answers, f"{server}/health")
        if well and tries is not None and GEMM in env:
            failed(None)
        tries = None if well else tries
        if well and proxy:
            await asyncio.to_thread(front.joined, proxy, server, model)
        return well

    async def died(pid: int) -> None:
        nonlocal tries
        tries = None if tries is None else tries + 1
        if spare and tries == TRIES:
            reason = f"its server died {TRIES} times before it was ready: {output.name}"
            log.warning("engine.weights_as_they_are", gpu=number, reason=reason)
            failed(reason)
            command[:] = spare
            env.pop(GEMM)
        if proxy:
            await asyncio.to_thread(front.gone, proxy, server)

    await supervise.keep(
        f"server-{number}",
        command,
        stop,
        died=died,
        output=output,
        env=env,
        healthy=healthy,
        stuck=supervise.STUCK,
    )


def _reached(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _free(host: str, port: int) -> None:
    """Raise a SettingsError if something listens there: LMDeploy would load its model first."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.create_server(found[0][4][:2], family=found[0][0]):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --port (N replicas "
            "take the N ports behind it, too)"
        ) from error


def _direct() -> dict[str, str]:
    """The environment in which LMDeploy's processes reach each other past any proxy."""
    told = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    past = ",".join(filter(None, (told, "127.0.0.1", "localhost")))
    return {"no_proxy": past, "NO_PROXY": past}
