"""An answer whose worker died: what it had written is kept, and the model goes on from there.

    "**Ramen** · 8/10. A rich broth, soft noo" ─▶ the same, given to the model ─▶ "dles, …"

So a further attempt is as short as what was left, and nobody sees a text shrink. A draft ends where
a token ended: read again it is the same tokens, and a greedy model says what it would have said.
"""


def behind(kept: str, text: str, following: str) -> tuple[str, bool]:
    """What was `kept` behind `text`, up to what is `following`; and whether that is there.

    Where it is not, the model writes the space at the end anew. A kept text that does not begin
    with `text` has nothing behind it.
    """
    if not kept.startswith(text):
        return "", False
    left, ended = kept[len(text) :], False
    if following:
        left, found, _ = left.partition(following)
        ended = bool(found)
    return left if ended else left.rstrip(), ended
