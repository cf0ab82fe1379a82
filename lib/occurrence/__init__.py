"""Where and when a class occurs: a table of 48 weekly values for each county and class, and questions to it."""

from lib.errors import EarshotError


class OccurrenceError(EarshotError):
    """Occurrences cannot be read, stored or asked for."""
