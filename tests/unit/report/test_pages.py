"""Blocks become Markdown and HTML that say the same, and nothing in them can break a page."""

from pathlib import Path

import pytest

from vlmfrontier.report.blocks import (
    Caution,
    Heading,
    Highlight,
    Items,
    Lines,
    More,
    Picture,
    Text,
    markdown,
    right_columns,
    table,
)
from vlmfrontier.report.explorer import explorer_page
from vlmfrontier.report.explorer_data import round_numbers
from vlmfrontier.report.html_page import inline, page

BLOCKS = [
    Heading("Title", level=1),
    Highlight(("deploy this",)),
    Caution("not sure"),
    Heading("Part one"),
    Text("with `code` and **weight**"),
    Items(("first", "second")),
    Lines(("f = α·N^(−a)",)),
    table(("name", "value"), [("a|b", 1.5), ("c", "2 to 3")], "numbers"),
]


def test_both_formats_say_everything(tmp_path: Path):
    for text in (markdown(BLOCKS, tmp_path), page(BLOCKS)):
        for said in ("Title", "deploy this", "not sure", "Part one", "first", "f = α·N^(−a)", "2 to 3", "numbers"):
            assert said in text


def test_numbers_stand_to_the_right_and_words_to_the_left():
    rows = [("a", "1.5", "2 to 3", "3.11.7", "12%", ""), ("b", "−2k", "0.1 → 0.2", "2.4.6", "**7**", "")]
    assert right_columns(table(("", "", "", "", "", ""), rows)) == [False, True, True, False, True, False]


def test_a_table_in_markdown_keeps_its_columns(tmp_path: Path):
    lines = markdown(BLOCKS[-1:], tmp_path).splitlines()
    assert "| a\\|b | 1.5 |" in lines
    assert "| --- | ---: |" in lines


def test_text_is_escaped_before_it_is_marked_up():
    assert inline("a < b `x & y` **<i>**") == "a &lt; b <code>x &amp; y</code> <strong>&lt;i&gt;</strong>"


def test_a_picture_is_inside_the_html_and_beside_the_markdown(tmp_path: Path):
    path = tmp_path / "figures" / "one.png"
    path.parent.mkdir()
    path.write_bytes(b"PNG")
    picture = Picture(path, "What it shows. [Its numbers](figures/one.csv).")
    assert "![What it shows. Its numbers.](figures/one.png)" in markdown([picture], tmp_path)
    assert 'src="data:image/png;base64,UE5H"' in page([Heading("Title", level=1), picture])


def test_images_to_be_opened_are_inside_both_pages(tmp_path: Path):
    path = tmp_path / "bags.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x05\xd0\x00\x00\x01\xf4")
    blocks = [Heading("Title", level=1), More("More figures: bags", (Picture(path, "How fits spread."),))]
    for text in (markdown(blocks, tmp_path), page(blocks)):
        assert "<details><summary>More figures: bags</summary>" in text
        assert "How fits spread." in text
    assert 'width="893"' in page(blocks)  # 0.6 of its 1488 pixels


def test_a_page_refuses_a_block_it_cannot_write(tmp_path: Path):
    with pytest.raises(TypeError, match="str"):
        markdown(["no block"], tmp_path)


def test_data_cannot_end_the_script_they_stand_in_nor_be_taken_for_a_place():
    text = explorer_page({"study": "</script><b>", "main": "{{plotly}}"})
    assert "\\u003c/script>\\u003cb>" in text
    assert '"main":"{{plotly}}"' in text
    assert "<title>&lt;/script&gt;&lt;b&gt;: explorer</title>" in text


def test_steps_of_n_are_the_numbers_of_two_digits():
    steps = round_numbers(95, 1250)
    assert list(steps[:7]) == [95, 96, 97, 98, 99, 100, 110]
    assert list(steps[-3:]) == [1000, 1100, 1200]
