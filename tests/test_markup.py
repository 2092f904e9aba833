"""The one builder of HTML tables."""

from __future__ import annotations

from synthprint.markup import escaped, table


def test_a_strangers_text_is_no_html() -> None:
    assert escaped("<b>&\"'\u202e") == "&lt;b&gt;&amp;&quot;&#x27;\ufffd"
    made = table(("<i>",), [["<em>of ours</em>"]], "<caption>", groups=(("<g>", 1),))
    assert "&lt;i&gt;" in made
    assert "&lt;caption&gt;" in made
    assert "&lt;g&gt;" in made
    assert "<em>of ours</em>" in made


def test_a_column_of_numbers_is_set_to_the_right_or_one_that_is_named() -> None:
    rows = [("a", "1.5", "12 (3 to 4)"), ("b", "-2", "")]
    assert table(("x", "y", "z"), rows) == (
        '<div class="scroll" tabindex="0"><table class=""><thead><tr>'
        '<th scope="col">x</th><th scope="col" class=n>y</th><th scope="col">z</th></tr></thead><tbody>'
        '<tr><th scope="row">a</th><td class=n>1.5</td><td>12 (3 to 4)</td></tr>'
        '<tr><th scope="row">b</th><td class=n>-2</td><td></td></tr></tbody></table></div>'
    )
    assert "<td>1.5</td><td class=n>12 (3 to 4)</td>" in table(("x", "y", "z"), rows, numbers=(2,))


def test_groups_stand_above_the_columns_that_they_span() -> None:
    made = table(("x", "y", "z"), [], groups=(("", 1), ("both", 2)))
    assert made.count("<tr>") == 2
    assert '<tr><th scope="colgroup" colspan="1"></th><th scope="colgroup" colspan="2">both</th></tr><tr>' in made
