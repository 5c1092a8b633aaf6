"""A Bot API server for tests: real HTTP, so that the real python-telegram-bot talks to it.

```
script.py   people: `ann.sends_photo(path)`, `await ann.sees("8/10")`, `await ann.taps("Stop")`
   │ puts updates into, and reads messages from
world.py    what Telegram knows: users, chats, messages, files, updates, the record of every call
   ▲ changed by
methods.py  one function a Bot API method, with Telegram's own error texts
   ▲ called by
server.py   HTTP: /bot<token>/<method>, /file/bot<token>/<path>, long polling, webhook, /world
faults.py   429, 500, timeouts, connections cut before or after the call took effect; flood limits
```

`python -m tests.botapi` serves it alone; point `FOODCRITIC_TELEGRAM_API` at the printed address.
"""
