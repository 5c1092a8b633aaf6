"""An answer whose worker died: what it had written is kept, and the model goes on from there.

    "**Ramen** · 8/10. A rich broth, soft noo" ─▶ "**Ramen** · 8/10. A rich broth," ─▶ the model

So a further attempt is as short as what was left, and nobody sees a text shrink. It goes on behind
a comma or a stop, not in the middle of words: there a model reads them as it would have written
them, but half of a word, or of a score, is made of other tokens than the whole.
"""

import re
from typing import Final

#: Up to the end of the last clause.
_CLAUSES: Final = re.compile(r".*(?:[.,;:!?](?=\s)|[，。；：！？、]|\n)", re.DOTALL)


def behind(kept: str, text: str, following: str) -> tuple[str, bool]:
    """What was `kept` behind `text`, up to what is `following`; and whether that is there.

    Where it is not, the rest is cut behind its last clause. A kept text that does not begin with
    `text` has nothing behind it.
    """
    if not kept.startswith(text):
        return "", False
    left = kept[len(text) :]
    if following and following in left:
        return left.partition(following)[0], True
    clauses = _CLAUSES.match(left)
    return (clauses[0].rstrip() if clauses else ""), False
