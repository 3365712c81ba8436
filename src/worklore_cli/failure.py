"""How a command ends when it cannot do what it was asked."""


class Failure(Exception):  # noqa: N818 - it is shown to people under this very heading
    """One line that says what is wrong, and `hint`, what to do about it. The command then exits with `status`."""

    def __init__(self, what: str, hint: str = "", *, status: int = 1) -> None:
        super().__init__(what)
        self.hint = hint
        self.status = status
