"""What pictures of windows are called, as Extractor.extract_by_image reads them back."""

from lib.core.files import fitting_name

AROUND = len("001~~0.123.png")


def picture_name(recording: str, start: float) -> str:
    """`<recording>-<start>`: seconds to hundredths, or to thousandths where needed.

    >>> picture_name("dawn", 1.5), picture_name("dawn", 0.375)
    ('dawn-1.50', 'dawn-0.375')
    """
    return fitting_name(recording, f"-{f'{start:.3f}'.removesuffix('0')}", more=AROUND)
