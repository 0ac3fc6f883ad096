"""Charts as files: whole SVG of a size, one for each chart of the page, with names that no title can bend."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from report_data import every_block

from mer.report.chart_files import chart_files

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "../<script>alert(1)</script>]]>\"'&\u202e"


@pytest.mark.parametrize("name", ["a title", HOSTILE, "", "角" * 300])
def test_every_chart_is_a_whole_file(name: str) -> None:
    files = chart_files(every_block(name))
    kinds = ["dots", "lines", "bars", "reliability", "map"]
    assert len(files) == len(kinds), "tables and remarks are no charts"
    for number, (file, data) in enumerate(files.items(), 1):
        assert re.fullmatch(rf"all-{number:02d}-[a-z0-9-]+\.svg", file) and len(file) < 100
        root = ElementTree.fromstring(data)
        assert root.tag == f"{SVG}svg" and float(root.attrib["width"]) == 760
        style = root.find(f"{SVG}style")
        assert style is not None and "--c0" in (style.text or "")
        assert not [one for one in root.iter() if one.tag.endswith("script")]
        assert b"url(" not in data and b"@import" not in data, "nothing is fetched"
