"""Every error foodcritic raises on purpose, one root and few leaves.

    FoodcriticError
    ├── SettingsError      a setting is missing or wrong; names the variable and the remedy
    ├── PhotoError         a photo is refused; ``code`` says why
    ├── CaptionError       a caption cannot be drawn; ``code`` says why
    ├── CorrectionError    a correction is refused; ``code`` says why
    ├── CorrectionNotFound no such correction, or no longer
    ├── QueueFull          no room for another job; ``seconds`` says when to try again
    ├── JobNotFound        no such job
    ├── JobCancelled       the job was cancelled while its worker was at it: stop generating
    ├── LeaseLost          the caller no longer owns the job, delivery or run: drop the work
    ├── RunBusy            another training run waits or is being done
    ├── RunNotFound        no such training run
    ├── RunCancelled       the training run was cancelled: stop training
    ├── EngineError        the engine could not answer
    └── ModelError         a model folder is missing, incomplete or refused
        └── EngineAway     the server that has the model is not there, or not yet

Messages name the thing and the remedy; they are for operators. What a person in a chat reads is
made from ``code`` and the numbers by the front end, in that person's language.
"""

from __future__ import annotations

import gc
import traceback
from typing import Literal

PhotoCode = Literal["not_an_image", "truncated", "too_large", "too_many_pixels"]
CaptionCode = Literal["empty", "too_long", "no_glyph", "no_shaping"]
CorrectionCode = Literal["empty", "too_long", "no_answer", "changed"]


class FoodcriticError(Exception):
    """The root: catch it to catch everything foodcritic raises on purpose."""


class SettingsError(FoodcriticError):
    """A setting is missing or wrong."""


class PhotoError(FoodcriticError):
    """A photo is refused."""

    def __init__(self, code: PhotoCode, message: str | None = None) -> None:
        super().__init__(message or code)
        #: why, one of `PhotoCode`; front ends translate it
        self.code: PhotoCode = code


class CaptionError(FoodcriticError):
    """A caption cannot be drawn."""

    def __init__(self, code: CaptionCode, message: str) -> None:
        super().__init__(message)
        #: why, one of `CaptionCode`; front ends translate it
        self.code: CaptionCode = code


class CorrectionError(FoodcriticError):
    """A correction is refused."""

    def __init__(self, code: CorrectionCode, message: str) -> None:
        super().__init__(message)
        #: why, one of `CorrectionCode`; front ends translate it
        self.code: CorrectionCode = code


class CorrectionNotFound(FoodcriticError):
    """No such correction, or no longer."""


class QueueFull(FoodcriticError):
    """No room for another job."""

    def __init__(self, scope: Literal["user", "total"], limit: int, seconds: float) -> None:
        super().__init__(
            f"the queue holds {limit} unfinished jobs"
            f"{' of this user' if scope == 'user' else ''}: try again in {seconds:.0f} s"
        )
        #: "user": this user's own bound is reached; "total": the whole queue's
        self.scope: Literal["user", "total"] = scope
        #: the bound that was reached, in jobs
        self.limit = limit
        #: estimated seconds until there is room
        self.seconds = seconds


class JobNotFound(FoodcriticError):
    """No such job."""


class JobCancelled(FoodcriticError):
    """The job was cancelled while its worker was at it: stop generating, keep nothing."""


class LeaseLost(FoodcriticError):
    """The caller no longer owns the job, delivery or run: drop the work, someone else has it."""


class RunBusy(FoodcriticError):
    """Another training run waits or is being done."""

    def __init__(self, run_id: int | None, stage: str) -> None:
        name = "another run" if run_id is None else f"run {run_id}"
        super().__init__(
            f"{name} is not finished ({stage}): wait for it, or cancel it (foodcritic train "
            "--cancel); if its trainer was killed, try again in a minute"
        )
        #: of the run in the way; None: it came in the same moment
        self.run_id = run_id
        #: what that one is at
        self.stage = stage


class RunNotFound(FoodcriticError):
    """No such training run."""


class RunCancelled(FoodcriticError):
    """The training run was cancelled while its trainer was at it: stop, promote nothing."""


class EngineError(FoodcriticError):
    """The engine could not answer."""


class ModelError(FoodcriticError):
    """A model folder is missing, incomplete or refused."""


class EngineAway(ModelError):
    """The server that has the model is not there, or not yet."""


def let_go(error: BaseException | None) -> None:
    """Free what the frames of an error and its causes hold, gigabytes of a model, say.

    Its traceback still tells lines and names.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
