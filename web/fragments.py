"""The parts of the page that are plain HTML: masthead, invitation, gallery of samples."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

from web.samples import Sample, by_cuisine
from web.texts import Texts


def masthead(texts: Texts, *, with_exit: bool) -> str:
    other = "zh" if texts.lang == "en" else "en"
    leave = f'<a class="fc-link" href="../logout">{texts.logout}</a>' if with_exit else ""
    return (
        f'<header class="fc-masthead" data-said="{html.escape(json.dumps(_said(texts)))}"'
        f' data-labels="{html.escape(json.dumps(_labels(texts)))}"'
        f' data-fix="{html.escape(texts.fix)}">'
        f"<div><h1>{texts.title}</h1><p>{texts.tagline}</p></div>"
        f'<nav><button type="button" class="fc-link" id="fc-new" aria-label="{texts.new}">'
        f'<b aria-hidden="true">+</b><span>{texts.new}</span></button>{leave}'
        f'<a class="fc-link" id="fc-privacy" href="../privacy">{texts.privacy}</a>'
        f'<button type="button" class="fc-link" id="fc-theme" title="{texts.theme}"'
        f' aria-label="{texts.theme}">◐</button><a class="fc-link" id="fc-language"'
        f' href="../{other}/" hreflang="{other}" lang="{other}">{texts.other}</a></nav></header>'
    )


def _said(texts: Texts) -> dict[str, str]:
    """What Gradio's browser side says in English alone, by its beginning, in our words."""
    return {
        "Connection to the server was lost": texts.lost,
        "File(s) exceed the maximum allowed size": texts.too_large,
        "Invalid file type": texts.not_an_image,
        "Upload failed": texts.not_arrived,
    }


def _labels(texts: Texts) -> dict[str, str]:
    """What Gradio's browser side calls its parts in English alone, in our words."""
    return {
        "chatbot conversation": texts.chat,
        "Multimedia input field": texts.box,
        "Upload a file": texts.add,
        "Upload file": texts.add,
        "File upload": texts.add,
        "Click to upload or drop files": texts.add,
        "Uploaded files": texts.added,
        "File thumbnail": texts.photo_of,
        "Remove file": texts.remove,
        "Remove Image": texts.remove,
        "Paste from clipboard": texts.paste,
        "Submit": texts.send,
        "Stop": texts.stop,
        "Fullscreen": texts.larger,
        "Exit fullscreen mode": texts.smaller,
        "Reset to default value": texts.reset,
        "Close": texts.close,
        f"number input for {texts.top_p}": texts.top_p,
        f"range slider for {texts.top_p}": texts.top_p,
        f"number input for {texts.temperature}": texts.temperature,
        f"range slider for {texts.temperature}": texts.temperature,
    }


def invitation(title: str, text: str) -> str:
    return f'<div class="fc-invite"><div class="fc-plate"></div><h2>{title}</h2><p>{text}</p></div>'


def caution(texts: Texts) -> str:
    return f'<p class="fc-caution">{texts.disclaimer} {_privacy(texts)}</p>'


def consent(texts: Texts) -> str:
    later = texts.consent_later.format(privacy=_privacy(texts))
    return f"<p>{texts.consent_ask}</p><p>{later}</p>"


def _privacy(texts: Texts) -> str:
    return f'<a href="../privacy">{texts.privacy}</a>'


def gallery(texts: Texts, shown: Mapping[str, Sample]) -> str:
    if not shown:
        return ""
    groups = []
    for cuisine, group in by_cuisine(shown, texts.lang):
        plates = "".join(_plate(sample, texts) for sample in group)
        groups.append(f"<section><h3>{html.escape(cuisine)}</h3><div>{plates}</div></section>")
    return (
        f'<div class="fc-gallery"><h2>{texts.samples}</h2><p>{texts.samples_hint}</p>'
        f'<div class="fc-cuisines">{"".join(groups)}</div></div>'
    )


def _plate(sample: Sample, texts: Texts) -> str:
    name = html.escape(sample.dish.text("name", texts.lang))
    label = html.escape(texts.ask_about.format(dish=sample.dish.text("name", texts.lang)))
    return (
        f'<button type="button" class="fc-sample" data-sample="{html.escape(sample.name)}"'
        f' title="{label}" aria-label="{label}"><img src="../sample/{html.escape(sample.name)}.jpg"'
        f' alt="" loading="lazy" width="200" height="200"><span>{name}</span></button>'
    )
