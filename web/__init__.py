"""The web page: Gradio over the same queue as the bot; it talks to database, queue and bells only.

```
 browser ─▶ guard (hosts, headers, login, session) ─┬▶ /zh /en        Gradio (page) ─▶ talk ─▶ queue
                                                    ├▶ /photo /sample pictures, to whom they belong
                                                    └▶ /login /logout
```
"""
