"""Why a request is not carried out."""


class RefusedError(Exception):
    """The VTN answers `status` with a problem document."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
