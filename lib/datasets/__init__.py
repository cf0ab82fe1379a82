"""Labelled sound as people store it, read into one annotation table.

A format is a module with `recognizes(folder) -> bool` and `read(folder, include)`, which returns recordings,
annotations and problems; to add one, write that module and name it in FORMATS. `auto` tries them in this order.
"""

FORMATS = {
    name: f"lib.datasets.{name}"
    for name in ("segments", "raven", "audacity", "kaleidoscope", "aoef", "batdetect2", "folders")
}
