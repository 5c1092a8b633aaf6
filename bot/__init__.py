"""The Telegram bot: updates in, answers out; it loads no model.

```
 getUpdates ─┐                         ┌─▶ handlers ──▶ queue ──▶ (worker)
             ├─▶ inbox (committed) ────┤      albums                  │
 webhook ────┘     ordered per chat    └─▶ keyboards, texts/*.ftl    │ drafts, answers
                                                                     ▼
 Telegram ◀── budget (one per chat) ◀── courier ◀───────────── outbox (job rows)
```
"""

import os

# python-telegram-bot 22 warns, each time Telegram says "retry after", unless told that durations
# may be timedelta; it reads this variable at the moment it makes the error.
os.environ.setdefault("PTB_TIMEDELTA", "1")
