"""The report as a PDF of a few A4 pages that a person sends to the operator: terms, verdict, picture, intervals, drop-outs, methods.

Every figure has its unit; times are UTC; what is not good data says so. Drawn with matplotlib's objects only (no pyplot), so that several
can be drawn at once in threads; the same report gives the same file.
"""

from datetime import UTC, datetime
from io import BytesIO

from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
from matplotlib.figure import Figure

from counterflow import __version__
from counterflow.adapters.reports import pdf_words as words
from counterflow.adapters.reports.names import file_name
from counterflow.adapters.reports.pdf_chart import draw_chart
from counterflow.adapters.reports.pdf_layout import ACCENT, BOTTOM, GREY, INK, LEFT, RIGHT, Page, Table
from counterflow.domain.delivery import DeliveryReport

_FEW_ROWS = 8
"""No fewer rows of a table stand at the foot of a page, unless there are no more."""
_AROUND_ROWS = 6
"""So many rows' room is taken by title, header, total and note."""
_FIRST_ROWS = 16
_BOX_LETTERS = 9
"""So many letters of a figure that counts fit into its box; more are smaller."""
_SIZE_IN = (8.27, 11.69)


def pdf_files(report: DeliveryReport) -> dict[str, bytes]:
    """One PDF."""
    figures = pages_of(report)
    made = datetime.fromtimestamp(report.generated_at_s, UTC)
    sink = BytesIO()
    about = {
        "Title": f"Delivery report of dispatch {report.dispatch_id}, version {report.version}",
        "Author": f"Counterflow {__version__}",
        "CreationDate": made,
        "ModDate": made,
    }
    with PdfPages(sink, metadata=about) as pages:
        for figure in figures:
            pages.savefig(figure)
    return {file_name(report, ".pdf"): sink.getvalue()}


def pages_of(report: DeliveryReport) -> list[Figure]:
    """The pages, drawn."""
    figures = [_front(report), *_tables(report), _methods(report)]
    for number, figure in enumerate(figures, start=1):
        _foot(figure, report, number, len(figures))
    return figures


def _page() -> Figure:
    figure = Figure(figsize=_SIZE_IN, facecolor="white", layout=None)
    FigureCanvasPdf(figure)
    return figure


def _front(report: DeliveryReport) -> Figure:
    """Who, what, how much: the page that is read."""
    figure = _page()
    page = Page(figure)
    page.text("Delivery report", size=21, weight="bold", down=0.03)
    page.text(words.heading(report), size=9.5, colour=GREY, down=0.024)
    page.rule()
    _verdict(page, report)
    page.heading("Order")
    page.pairs(words.terms(report))
    page.heading("Target and delivery")
    draw_chart(figure, report, (LEFT + 0.045, page.y - 0.245, RIGHT - LEFT - 0.045, 0.225))
    page.y -= 0.29
    rows = words.interval_rows(report)
    if len(rows) <= _FIRST_ROWS:
        page.heading("Intervals")
        page.table(Table(words.INTERVAL_HEADER, rows, words.INTERVAL_WIDTHS, total=words.interval_total(report)))
    return figure


def _verdict(page: Page, report: DeliveryReport) -> None:
    """The figures that count, in a row of boxes, and a sentence."""
    boxes = words.figures(report)
    width = (RIGHT - LEFT) / len(boxes)
    size = 14.5 * min(1.0, _BOX_LETTERS / max(len(figure) for _, figure, _ in boxes))
    top = page.y
    for place, (name, figure, below) in enumerate(boxes):
        at = LEFT + place * width
        page.put(at, top - 0.008, name, size=8, colour=GREY)
        page.put(at, top - 0.031, figure, size=size, weight="bold", colour=ACCENT if place == 0 else INK)
        page.put(at, top - 0.047, below, size=7.5, colour=GREY)
    page.y = top - 0.068
    for sentence in words.verdict(report):
        page.paragraph(sentence)
    page.y -= 0.004


def _tables(report: DeliveryReport) -> list[Figure]:
    """Intervals, where they do not fit on the first page; drop-outs; EVSEs."""
    parts: list[tuple[str, Table, str]] = []
    rows = words.interval_rows(report)
    if len(rows) > _FIRST_ROWS:
        total = words.interval_total(report)
        parts.append(("Intervals", Table(words.INTERVAL_HEADER, rows, words.INTERVAL_WIDTHS, total=total), ""))
    lost, beyond = words.drop_out_rows(report)
    if lost:
        parts.append(("Drop-outs", Table(words.DROP_OUT_HEADER, lost, words.DROP_OUT_WIDTHS), beyond))
    evses, beyond = words.evse_rows(report)
    if evses:
        parts.append(("By EVSE", Table(words.EVSE_HEADER, evses, words.EVSE_WIDTHS, total=words.evse_total(report)), beyond))
    figures: list[Figure] = []
    page: Page | None = None
    for title, table, note in parts:
        begin = 0
        while begin < len(table.rows):
            left = len(table.rows) - begin
            if page is None or page.room_for() < min(left, _FEW_ROWS) + _AROUND_ROWS:
                figures.append(_page())
                page = Page(figures[-1])
            end = begin + min(left, page.room_for() - _AROUND_ROWS)
            page.heading(title if begin == 0 else f"{title}, continued")
            page.table(table.part(begin, end))
            begin = end
        if note and page is not None:
            page.paragraph(note, colour=GREY)
    return figures


def _methods(report: DeliveryReport) -> Figure:
    """How it was worked out, how sure it is, and how anybody can check it."""
    figure = _page()
    page = Page(figure)
    for title, sentences in words.methods(report):
        if sentences:
            page.heading(title)
            for sentence in sentences:
                if page.y < BOTTOM + 0.03:
                    return figure
                page.paragraph(sentence)
            page.y -= 0.006
    return figure


def _foot(figure: Figure, report: DeliveryReport, number: int, pages: int) -> None:
    left = f"Dispatch {report.dispatch_id}, report version {report.version}"
    figure.text(LEFT, 0.035, left, fontsize=7.5, color=GREY, parse_math=False)
    figure.text(0.5, 0.035, f"Counterflow {__version__}", fontsize=7.5, color=GREY, ha="center", parse_math=False)
    figure.text(RIGHT, 0.035, f"Page {number} of {pages}", fontsize=7.5, color=GREY, ha="right", parse_math=False)
