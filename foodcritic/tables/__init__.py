"""The database's shape: one typed class per table, no relationships, so nothing loads lazily.

    users ─┬─ dialogues ── jobs ── job_photos ── photos
    chats ─┘                 ├── feedback      (rating, one per person and answer)
                             ├── corrections   (a better dish or text, reviewed)
                             └── askings       (our message that asks for one)
    updates (inbox)   model_versions ── runs ── run_steps   embeddings (of photos, by model)
    broadcasts ── letters (one per chat)   bans   audit   switches

People and chats are keyed by the channel they come from and their number there
(``("telegram", 42)``); web and shell sessions draw a random 52-bit number. Enumerations are stored
by value, times as UTC. The queue's indexes are partial: their size is that of the unfinished work,
so a million finished jobs cost a claim nothing.
"""

from foodcritic.columns import (
    ACTIVE,
    FINISHED,
    Base,
    BroadcastStatus,
    JobKind,
    JobStatus,
    LetterStatus,
    ModelStatus,
    ReviewStatus,
    RunStatus,
)
from foodcritic.tables.house import Audit, Ban, Broadcast, Letter, Switch
from foodcritic.tables.learning import (
    Asking,
    Correction,
    Embedding,
    Feedback,
    ModelVersion,
    Run,
    RunStep,
)
from foodcritic.tables.talk import Chat, Dialogue, Job, JobPhoto, Photo, Update, User

__all__ = [
    "ACTIVE",
    "FINISHED",
    "Asking",
    "Audit",
    "Ban",
    "Base",
    "Broadcast",
    "BroadcastStatus",
    "Chat",
    "Correction",
    "Dialogue",
    "Embedding",
    "Feedback",
    "Job",
    "JobKind",
    "JobPhoto",
    "JobStatus",
    "Letter",
    "LetterStatus",
    "ModelStatus",
    "ModelVersion",
    "Photo",
    "ReviewStatus",
    "Run",
    "RunStatus",
    "RunStep",
    "Switch",
    "Update",
    "User",
]
