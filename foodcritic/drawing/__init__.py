"""Pictures the bot, the web page and the shell send: memes and score cards, drawn offline.

```
 caption ─▶ text: clean, clusters ─▶ faces: a font for each ─▶ words, widths ─▶ layout: size, lines
   photo ─▶ meme: style, calm place ─▶ paint ─▶ picture
critique ─▶ card ────────────────────▶ paint ─▶ picture
```

Fonts: Anton, Oswald, Noto Sans and Noto Sans CJK come as packages, Twemoji lies in emoji/.
"""
