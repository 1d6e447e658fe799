"""Blocks become Markdown and HTML that say the same, and nothing in them can break a page."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vlmfrontier.report.as_html import inline, page
from vlmfrontier.report.as_markdown import markdown, right_columns
from vlmfrontier.report.blocks import Answer, Caution, Heading, Items, Lines, More, Picture, Text, table
from vlmfrontier.report.explorer import explorer_page
from vlmfrontier.report.explorer_data import round_numbers

BLOCKS = [
    Heading("Title", level=1),
    Answer(("deploy this",)),
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


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><!--",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "</pre></td></p></title></style><b>",
    "&lt;b&gt; &#106;avascript:",
    "{{body}} {{title}} {{style}}",
    "<https://example.org>",
    "a < b & c > d",
]
LINKS = [
    "[t](javascript:alert)",
    "[t](JaVaScRiPt:alert)",
    "[t](\x01javascript:alert)",
    "[t](data:text/html;base64,PHNjcmlwdD4=)",
    "[t](vbscript:x)",
    "[t](file:///etc/passwd)",
    "[t](//example.org)",
    "[t](\\\\example.org)",
    '[t](http://a"onclick="alert)',
    "[t](http://a'onclick='alert)",
    "[t](https://a<b>)",
    "[t](javascript&#58;alert)",
    "[t](#a:javascript)",
    "[<b>](javascript:x)",
    '[`"`](x"y)',
    '[**"**](figures/a.csv)',
    "[t](http:javascript:alert)",
]
MADE = {"nav", "ol", "li", "a", "main", "h1", "h2", "p", "div", "ul", "pre", "code", "strong", "table", "thead"}
MADE |= {"tbody", "tr", "th", "td", "html", "head", "body", "meta", "link", "title", "style", "figure", "img"}
MADE |= {"figcaption", "details", "summary"}
KNOWN = {"href", "id", "class", "scope", "role", "tabindex", "aria-label", "alt", "width", "src", "lang", "charset"}
KNOWN |= {"name", "content", "http-equiv", "rel"}


class Read(HTMLParser):
    """What a browser makes of a page: elements, attributes, addresses, text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.addresses, self.text = set(), set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value for name, value in attrs if name == "href"}

    def handle_data(self, data: str) -> None:
        self.text += data


def everywhere(text: str, folder: Path) -> list:
    """Return blocks of every kind that say `text`."""
    picture = folder / "one.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x05\xd0\x00\x00\x01\xf4")
    shown = Picture(picture, text)
    return [
        Heading(text, level=1),
        Heading(text),
        Text(text),
        Answer((text,)),
        Caution(text),
        Items((text,)),
        Lines((text,)),
        table((text,), [(text,)], text),
        table((text,), [(text,)]),
        shown,
        More(text, (shown,)),
    ]


@pytest.mark.parametrize("text", [*HOSTILE, *LINKS])
def test_whatever_a_name_is_it_is_text(tmp_path: Path, text: str):
    made = page(everywhere(text, tmp_path))
    read = Read(made)
    assert read.tags <= MADE
    assert read.attributes <= KNOWN
    told = [address for address in read.addresses if not address.startswith(("#", "data:,"))]
    assert all(address.startswith(("http://", "https://", "figures/")) for address in told)
    if text in HOSTILE:
        assert read.text.count(text) >= 10


@pytest.mark.parametrize("text", ["[t](http://example.org/a?b=c&d=e)", "[t](figures/one.csv)", "[t](#part-one)"])
def test_links_to_pages_files_and_parts_stay(text: str):
    assert Read(inline(text)).addresses == {text[4:-1]}


@pytest.mark.parametrize("text", [*HOSTILE[:7], *LINKS])
def test_whatever_a_name_is_markdown_has_no_html_of_it(tmp_path: Path, text: str):
    blocks = [block for block in everywhere(text, tmp_path) if not isinstance(block, Lines)]
    assert Read(markdown(blocks, tmp_path)).tags <= {"details", "summary"}
    if "script" in text.lower():
        assert not any(line.startswith("[t](") for line in markdown([Text(text)], tmp_path).splitlines())


def test_kept_lines_cannot_end_their_block(tmp_path: Path):
    assert markdown([Lines(("```", "<b>", "````"))], tmp_path) == "`````\n```\n<b>\n````\n`````\n"


def test_a_cell_of_several_lines_stays_a_row(tmp_path: Path):
    assert "| a b\\|c |" in markdown([table(("x",), [("a\nb|c",)])], tmp_path).splitlines()


@pytest.mark.parametrize("text", HOSTILE)
def test_data_of_the_explorer_are_whatever_they_were(text: str):
    made = explorer_page({"study": text, "names": {text: text}})
    opening = '<script type="application/json" id="data">'
    (inside,) = [part.split("</script>")[0] for part in made.split(opening)[1:]]
    assert "<" not in inside
    assert json.loads(inside) == {"study": text, "names": {text: text}}


def test_a_picture_is_inside_the_html_and_beside_the_markdown(tmp_path: Path):
    path = tmp_path / "figures" / "one.png"
    path.parent.mkdir()
    path.write_bytes(b"PNG")
    picture = Picture(path, "What it shows. [Its numbers](figures/one.csv).")
    assert "![What it shows. Its numbers.](figures/one.png)" in markdown([picture], tmp_path)
    assert 'src="data:image/png;base64,UE5H"' in page([Heading("Title", level=1), picture])


def test_pictures_to_be_opened_are_inside_both_pages(tmp_path: Path):
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
