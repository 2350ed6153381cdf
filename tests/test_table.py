"""Tables of results."""

from lldm_aug.report.data_table import Table

TABLE = Table(name="gains", title="Gains", columns=("network", "gain"), rows=(("a, b", 0.123456), ("c", None)))


def test_csv_holds_figures_in_full() -> None:
    assert TABLE.csv() == 'network,gain\n"a, b",0.123456\nc,\n'


def test_markdown_is_for_reading() -> None:
    assert TABLE.markdown() == "| network | gain |\n| --- | --- |\n| a, b | 0.1235 |\n| c | – |\n"
