"""The one error type for defects that the user can mend: what is wrong, and the next command."""


class YourTurn(Exception):
    """A defect that only the user can mend; printed without a traceback, exit code 1.

    `problem` names the defect, `remedy` is the next command or the setting to change.
    """

    def __init__(self, problem: str, remedy: str):
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy

    def render(self) -> str:
        return f"error: {self.problem}\n  next: {self.remedy}"
