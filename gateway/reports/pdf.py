"""A report as PDF. Of an unsigned version every page says so above and below its text, in the page itself."""

import io
from functools import cache, partial
from html import escape

from reportlab.lib.colors import HexColor, white
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer

from gateway.drawing.letters import FONT, printable
from gateway.reports.rendered import Rendered
from gateway.reports.sections import about, sections, title

BAR = 9 * mm
MARGIN = 18 * mm
RED = HexColor("#a40e26")
WIDE_FONT = "DejaVuSans-Bold"
"""For texts that the fonts of every PDF reader have no letters for."""


def as_pdf(told: Rendered) -> bytes:
    """Return the report as PDF, A4; the same bytes for the same report, uncompressed, so that it can be searched."""
    out = io.BytesIO()
    document = BaseDocTemplate(
        out, pagesize=A4, title=title(told), author="Sightline", invariant=1, pageCompression=0, lang="en"
    )
    width, height = A4
    frame = Frame(MARGIN, MARGIN + BAR, width - 2 * MARGIN, height - 2 * (MARGIN + BAR), 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate(frames=[frame], onPage=partial(_page, told))])
    document.build(_story(told))
    return out.getvalue()


def _story(told: Rendered) -> list[Flowable]:
    texts = [title(told), *about(told), *(line for section in sections(told) for line in section.lines)]
    plain, bold = ("Helvetica", "Helvetica-Bold") if all(map(_latin, texts)) else (_wide_font(), _wide_font())
    normal = ParagraphStyle("normal", fontName=plain, fontSize=10, leading=14)
    heading = ParagraphStyle("heading", fontName=bold, fontSize=11, leading=15, spaceBefore=8, keepWithNext=1)
    story: list[Flowable] = [_paragraph(title(told), heading), *(_paragraph(line, normal) for line in about(told))]
    for section in sections(told):
        story += [Spacer(1, 4), _paragraph(section.title, heading)]
        story += [_paragraph(line, normal) for line in section.lines]
    return story


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    shown = text if style.fontName != WIDE_FONT else printable(text)
    return Paragraph(escape(" ".join(shown.split())), style)


def _page(told: Rendered, canvas: Canvas, document: BaseDocTemplate) -> None:
    """Write what stands on every page: what is unverified, and which version's page it is."""
    width, height = A4
    canvas.saveState()
    if told.version.banner is not None:
        canvas.setFillColor(RED)
        canvas.rect(0, height - BAR, width, BAR, stroke=0, fill=1)
        canvas.rect(0, 0, width, BAR, stroke=0, fill=1)
        canvas.setFillColor(white)
        canvas.setFont("Helvetica-Bold", 12)
        for baseline in (height - BAR + 3 * mm, 3 * mm):
            canvas.drawCentredString(width / 2, baseline, told.version.banner)
    canvas.setFillColor(HexColor("#000000"))
    canvas.setFont("Helvetica", 8)
    canvas.drawString(MARGIN, BAR + 5 * mm, f"{told.report_id}, version {told.version.number}, page {document.page}")
    canvas.restoreState()


def _latin(text: str) -> bool:
    """Say whether the fonts of every PDF reader have the text's letters (Windows code page 1252)."""
    return text.encode("cp1252", "ignore").decode("cp1252") == text


@cache
def _wide_font() -> str:
    pdfmetrics.registerFont(TTFont(WIDE_FONT, FONT))
    return WIDE_FONT
