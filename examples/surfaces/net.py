"""A small convolutional network that tells ground surfaces apart, 32 by 32 pixels in grey."""

from __future__ import annotations

from torch import Tensor, nn


class Surfaces(nn.Module):
    """Two convolutions and two linear layers; the outputs are logits of brick, grass and gravel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 5, padding=2)
        self.conv2 = nn.Conv2d(12, 24, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(24 * 8 * 8, 48)
        self.out = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (rows, 3) of pictures (rows, 1, 32, 32)."""
        x = self.pool(self.conv1(x).relu())
        x = self.pool(self.conv2(x).relu())
        return self.out(self.hidden(x.flatten(1)).relu())


def build() -> nn.Module:
    """The network, its weights still to be loaded."""
    return Surfaces()
