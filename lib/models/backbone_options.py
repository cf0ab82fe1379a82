"""How a backbone is made."""

from typing import NamedTuple


class BackboneOptions(NamedTuple):
    """How a backbone is made.

    Args:
        pretrained: whether to start from published weights; or a file of weights, or a folder where published ones are
            looked for and kept.
        in_time: whether the last dimension of its features must be time.
        drop_path: share of its blocks that are skipped in training.
        in_chans: channels of the images.
        width_factor, depth_factor: factors of its channels and of its layers.
    """

    pretrained: bool | str = False
    in_time: bool = False
    drop_path: float = 0.0
    in_chans: int = 1
    width_factor: float = 1.0
    depth_factor: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether the backbone is not scaled."""
        return (self.width_factor, self.depth_factor) == (1, 1)
