"""Big figures on cards, as large as their card lets them be: never cut off, however many digits they grow to."""

from nicegui import ui

from counterflow.console.words import UNKNOWN

SHORT = 8
"""Figures of so many letters and fewer are all of one size."""
STYLE = f"""
.cf-card {{ container-type: inline-size; }}
.cf-figure {{
  font-size: min(var(--cf-figure), calc(165cqi / var(--cf-letters, {SHORT}))); font-weight: 600; line-height: 1.1; white-space: nowrap;
  min-height: calc(1.1 * var(--cf-figure)); display: flex; align-items: end;
}}
"""


class Figure:
    """A card with a name and a figure; `mark` is what tests find it by."""

    def __init__(self, name: str, mark: str, classes: str = "") -> None:
        self._letters = SHORT
        with ui.card().classes(f"cf-card {classes}").props("flat bordered"):
            ui.label(name).classes("cf-name")
            self._shown = ui.label(UNKNOWN).classes("cf-figure").props(f'data-testid="{mark}"')

    def set_text(self, text: str) -> None:
        """The figure as it is now."""
        self._shown.set_text(text)
        if (letters := max(SHORT, len(text))) != self._letters:
            self._letters = letters
            self._shown.style(f"--cf-letters: {letters}")
