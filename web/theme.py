"""The page's colours and letters as a Gradio theme: paper, ink, one red. No font is fetched."""

from __future__ import annotations

from typing import Final

from web.blocks import gr

_PAPER: Final = gr.themes.Color(
    *("#fffdf8", "#fbf7ef", "#f3ecdf", "#e8dfcf", "#d3c7b3", "#a89a85"),
    *("#7c7061", "#5a5147", "#3a332c", "#26211c", "#171310"),
    name="paper",
)
_TOMATO: Final = gr.themes.Color(
    *("#fdf0ec", "#fbdcd3", "#f6b9aa", "#ee8f79", "#e2634a", "#c8391f"),
    *("#ad2e17", "#8d2413", "#6d1c10", "#4f150d", "#330d08"),
    name="tomato",
)
_SANS: Final = (
    *("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial"),
    *("PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "sans-serif"),
)
_MONO: Final = ("ui-monospace", "Menlo", "Consolas", "monospace")

THEME: Final = gr.themes.Base(
    primary_hue=_TOMATO,
    secondary_hue=_TOMATO,
    neutral_hue=_PAPER,
    radius_size=gr.themes.sizes.radius_md,
    font=[*_SANS],
    font_mono=[*_MONO],
).set(
    body_background_fill="#fbf7ef",
    body_background_fill_dark="#171310",
    body_text_color="#26211c",
    body_text_color_dark="#f3ecdf",
    body_text_color_subdued="#7c7061",
    body_text_color_subdued_dark="#a89a85",
    background_fill_primary="#fffdf8",
    background_fill_primary_dark="#1f1a16",
    background_fill_secondary="#f3ecdf",
    background_fill_secondary_dark="#26211c",
    block_title_text_color="#5a5147",
    block_title_text_color_dark="#d3c7b3",
    block_label_text_color="#5a5147",
    block_label_text_color_dark="#d3c7b3",
    block_info_text_color="#6f6456",
    block_info_text_color_dark="#b3a692",
    border_color_primary="#e8dfcf",
    border_color_primary_dark="#3a332c",
    block_background_fill="#fffdf8",
    block_background_fill_dark="#1f1a16",
    block_border_width="1px",
    block_shadow="none",
    input_background_fill="#fffdf8",
    input_background_fill_dark="#1f1a16",
    button_secondary_background_fill="transparent",
    button_secondary_background_fill_dark="transparent",
    button_secondary_background_fill_hover="#f3ecdf",
    button_secondary_background_fill_hover_dark="#3a332c",
    button_secondary_border_color="#d3c7b3",
    button_secondary_border_color_dark="#5a5147",
    button_secondary_text_color="#3a332c",
    button_secondary_text_color_dark="#e8dfcf",
    checkbox_border_color="#a89a85",
    checkbox_border_color_dark="#7c7061",
    slider_color="#c8391f",
    slider_color_dark="#e2634a",
    color_accent="#c8391f",
    color_accent_soft="#fdf0ec",
    color_accent_soft_dark="#33221c",
)
