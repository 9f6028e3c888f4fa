"""What networks and kernels see of pictures, fitted to those of the training designs.

Shapes: n designs, C colour channels (1 or 3), S side in pixels, s side of reduced pictures,
K components.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA

from .artifact import Config, State
from .design_inputs import DesignInputs
from .errors import DataError
from .pictures import MOST_LEVEL, Pictures, read_pictures

logger = logging.getLogger(__name__)

# Side of the reduced pictures whose principal components are taken [pixel].
COMPONENT_SIZE = 64
# Principal components: at most this many, and as many as leave out this share of the variance.
MOST_COMPONENTS = 128
VARIANCE_LEFT_OUT = 1e-6
# A picture is unlike those of training when its part outside their components is this many times
# the largest found between two halves of these.
UNLIKE = 2.0
# Or when its levels differ by less than this share of what those of the plainest one do.
PLAIN = 0.25
SMALLEST_RESIDUAL = 1e-3  # of rounded levels


class PictureScaler:
    """What networks and kernels see of pictures: levels, and principal components.

    Attributes:
        image_size: side S that pictures are resized to [pixel].
        range_: levels of 16 bits that are seen as 0 and as 255.
        contrast_: the least difference of a training picture's levels.
        num_channels_: 1 if every training picture is grey, else 3.
        mean_: (s * s * C,) mean of the reduced training pictures, levels from 0 to 1.
        components_: (K, s * s * C), orthonormal; PCA of the reduced training pictures.
        scale_: spread of the first component; all are divided by it.
        residual_: largest distance of a training picture to the span of the components.
    """

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    def fit(self, designs: Pictures) -> Self:
        """Fit on the pictures of the training designs.

        Raises:
            DataError: a picture is missing or broken, or all pictures are the same.
        """
        read, _ = read_pictures(designs, self.image_size)
        self.range_, self.contrast_ = _range_seen(read), float(_contrasts(read).min())
        levels = self._seen(read)
        self.num_channels_ = 1 if (read == read[..., :1]).all() else 3
        flat = self._flat(levels)
        if (flat == flat[0]).all():
            raise DataError(
                f"All {len(flat)} training pictures are the same (transparent parts are white). "
                f"Expected pictures that tell the designs apart."
            )
        num_components = min(MOST_COMPONENTS, len(flat) - 1, flat.shape[1])
        pca = PCA(num_components, svd_solver="randomized", random_state=0).fit(flat)
        left_out = 1 - np.cumsum(pca.explained_variance_ratio_)
        num_kept = 1 + int(np.argmax(np.append(left_out[:-1] <= VARIANCE_LEFT_OUT, True)))
        self.mean_ = pca.mean_.astype(np.float32)
        self.components_ = pca.components_[:num_kept].astype(np.float32)
        self.scale_ = float(np.sqrt(pca.explained_variance_[0]))
        self.residual_ = self._residual_of_unseen(flat)
        return self

    def inputs(self, designs: Pictures, warn: bool = True) -> DesignInputs:
        """Levels of pictures, and their principal components in units of the first one's spread.

        Pictures that the components do not describe, or with colours where training had none, are
        warned of (if `warn`).

        Raises:
            DataError: a picture is missing or broken, or an array's shape is not that of pictures.
        """
        read, names = read_pictures(designs, self.image_size)
        levels = self._seen(read)
        flat = self._flat(levels)
        if warn:
            self._warn_unlike(read, flat, names)
        features = self._coefficients(flat).astype(np.float64) / self.scale_
        pictures = np.moveaxis(levels[..., : self.num_channels_], -1, 1)
        return DesignInputs(features, np.ascontiguousarray(pictures))

    def _residual_of_unseen(self, flat: NDArray[np.float32]) -> float:
        """The largest residual of a half of the pictures outside the components of the other half.

        As many components as there are pictures describe each of these, and no other.
        """
        halves = flat[::2], flat[1::2]
        residuals = []
        for known, unseen in (halves, halves[::-1]):
            num_components = min(len(self.components_), len(known) - 1)
            if num_components < 1:
                continue
            pca = PCA(num_components, svd_solver="randomized", random_state=0).fit(known)
            outside = unseen - pca.inverse_transform(pca.transform(unseen))
            residuals.append(float(np.linalg.norm(outside, axis=1).max()))
        return max(residuals, default=float(self._residuals(flat).max()))

    def _warn_unlike(
        self, read: NDArray[np.uint16], flat: NDArray[np.float32], names: Sequence[str]
    ) -> None:
        coloured = (read != read[..., :1]).any(axis=(1, 2, 3))
        if self.num_channels_ == 1 and coloured.any():
            logger.warning(
                "%d of %d pictures have colours where the training pictures had none; only their "
                "red levels are seen. The first is %s.",
                coloured.sum(),
                len(coloured),
                names[int(np.argmax(coloured))],
            )
        unlike = self._residuals(flat) > UNLIKE * self.residual_ + SMALLEST_RESIDUAL
        black, white = self.range_
        unlike |= ((read < black) | (read > white)).any(axis=(1, 2, 3))
        unlike |= _contrasts(read) < PLAIN * self.contrast_
        if unlike.any():
            logger.warning(
                "%d of %d pictures are unlike the training pictures: their levels are far beyond, "
                "or differ much less, or what the principal components leave out is more than %g "
                "times the most found there. Predictions of them are extrapolations. The first is "
                "%s.",
                unlike.sum(),
                len(unlike),
                UNLIKE,
                names[int(np.argmax(unlike))],
            )

    def _coefficients(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray((flat - self.mean_) @ self.components_.T)

    def _residuals(self, flat: NDArray[np.float32]) -> NDArray[np.float64]:
        inside = np.square(self._coefficients(flat)).sum(axis=1, dtype=np.float64)
        whole = np.square(flat - self.mean_).sum(axis=1, dtype=np.float64)
        return np.asarray(np.sqrt(np.maximum(whole - inside, 0.0)))

    def _seen(self, levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """What is seen, from 0 to 255, of levels (n, S, S, 3)."""
        black, white = self.range_
        low, scale = np.float32(black), np.float32(255 / (white - black))
        # One after the other: in float32 all take four times the memory that is left of them.
        return np.stack(
            [np.round((one - low) * scale).clip(0, 255).astype(np.uint8) for one in levels]
        )

    def _flat(self, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Reduced pictures (n, s * s * C), levels from 0 to 1, of seen ones (n, S, S, 3)."""
        size = min(COMPONENT_SIZE, self.image_size)
        reduced = [
            np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BOX))
            for one in levels
        ]
        flat = np.stack(reduced)[..., : self.num_channels_].reshape(len(levels), -1)
        return np.asarray(flat, dtype=np.float32) / np.float32(255)

    def config(self) -> Config:
        return {
            "image_size": self.image_size,
            "range": list(self.range_),
            "contrast": self.contrast_,
            "num_channels": self.num_channels_,
            "scale": self.scale_,
            "residual": self.residual_,
        }

    def state(self) -> State:
        return {"mean": self.mean_, "components": self.components_}

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        scaler = cls(config["image_size"])
        scaler.range_, scaler.contrast_ = tuple(config["range"]), config["contrast"]
        scaler.num_channels_ = config["num_channels"]
        scaler.scale_, scaler.residual_ = config["scale"], config["residual"]
        scaler.mean_, scaler.components_ = state["mean"], state["components"]
        return scaler


def _range_seen(levels: NDArray[np.uint16]) -> tuple[float, float]:
    """The levels that networks see as black and as white, given those of the training pictures.

    Usually they are black and white. Where pictures have less than half of all levels, such as
    masks of 0 and 1, theirs fill half of what is seen, and as much room is left for others.
    """
    low, high = float(levels.min()), float(levels.max())
    contrast = high - low
    if not 0 < contrast < MOST_LEVEL / 2:
        return 0.0, float(MOST_LEVEL)
    return low - contrast / 2, high + contrast / 2


def _contrasts(levels: NDArray[np.uint16]) -> NDArray[np.float64]:
    """The difference of the largest and the smallest level of each picture (n, S, S, 3)."""
    flat = levels.reshape(len(levels), -1)
    return np.asarray(flat.max(axis=1).astype(np.float64) - flat.min(axis=1))
