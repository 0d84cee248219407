"""The one error a verb reports as refused input (exit code 2) instead of a traceback."""


class InputRefused(Exception):
    """Input or settings that cannot be used; the message names the place, what was expected and what came."""
