"""Parameters of training: the engine (`training.*`), an optimisation, and the models."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveInt,
    model_validator,
)

from .field_augmentation import FieldAugmentation
from .picture_augmentation import PictureAugmentation
from .presets import (
    BASED_VALUES,
    CONDITIONER_PRESETS,
    FEWEST_PATCHES,
    LONE_VALUES,
    VAE_PRESETS,
    settled,
    with_preset,
)
from .rendezvous import split_rendezvous

Loss = Literal["mse", "mae", "smooth_l1", "huber"]
LatentScaling = Literal["spread", "range"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EngineConfig(_Frozen):
    """How training processes run (`training.*`)."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of matrix products; weights and reductions stay float32"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute residual blocks again in the backward pass: less memory"
    )
    compile: bool = Field(False, description="torch.compile the networks, or warn and go on")
    num_processes: Literal["auto"] | int = Field(
        "auto", description="training processes on each machine; auto: one per GPU, or one on a CPU"
    )
    num_nodes: int = Field(1, ge=1, description="machines that train together")
    rendezvous: str | None = Field(
        None, description="HOST:PORT where they meet: this machine's address, and a free port"
    )
    seed: int = Field(0, ge=0)
    checkpoint_interval: float = Field(20.0, ge=0, description="seconds between checkpoints")
    timeout: float = Field(
        600.0, gt=0, description="seconds after which a process that does not answer is given up"
    )

    @model_validator(mode="after")
    def _consistent(self) -> EngineConfig:
        if isinstance(self.num_processes, int) and self.num_processes < 1:
            raise ValueError(
                f"num_processes must be 'auto' or at least 1, got {self.num_processes}"
            )
        if self.rendezvous is not None:
            split_rendezvous(self.rendezvous)
        if self.num_nodes > 1 and self.rendezvous is None:
            raise ValueError(
                f"num_nodes={self.num_nodes} needs a rendezvous=HOST:PORT: the address by which "
                f"the other machines reach this one, and a free port; got none"
            )
        if self.num_nodes == 1 and self.rendezvous is not None:
            raise ValueError(
                f"rendezvous is where several machines meet: expected num_nodes above 1 with it, "
                f"got num_nodes=1 and rendezvous={self.rendezvous}"
            )
        return self


class OptimisationConfig(_Frozen):
    """An optimizer with warm-up and cosine annealing, optionally with warm restarts.

    Attributes:
        usual_steps: what `auto_steps: auto` is; of a conditioner unless the VAE says otherwise.
        fewest_auto_epochs: that `num_epochs: auto` makes of its steps.
    """

    usual_steps: ClassVar[int]
    fewest_auto_epochs: ClassVar[int] = 20

    num_epochs: Literal["auto"] | int = Field(
        "auto", description="auto: as many as make auto_steps, and at least fewest_auto_epochs"
    )
    auto_steps: Literal["auto"] | PositiveInt = Field(
        "auto", description="optimizer steps that num_epochs: auto aims at"
    )
    batch_size: int = Field(16, ge=1, description="designs per optimizer step, over all processes")
    learning_rate: float = Field(2e-3, gt=0, description="the highest, after warm-up")
    minimum_learning_rate: float = Field(1e-6, ge=0)
    warm_up: float = Field(0.05, ge=0, lt=1, description="share of the steps")
    first_period: float = Field(
        1.0, gt=0, le=1, description="share of the steps to the first restart; each period doubles"
    )
    weight_decay: float = Field(1e-2, ge=0)
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    patience: float = Field(
        0.3, gt=0, le=1, description="share of the epochs without improvement that ends training"
    )

    @model_validator(mode="after")
    def _positive(self) -> OptimisationConfig:
        if isinstance(self.num_epochs, int) and self.num_epochs < 1:
            raise ValueError(f"num_epochs must be 'auto' or at least 1, got {self.num_epochs}")
        return self

    def steps_per_epoch(self, num_designs: int) -> int:
        """Full batches of an epoch; which designs are left over is drawn anew each epoch."""
        return max(1, num_designs // self.batch_size)

    def epochs(self, num_designs: int) -> int:
        """The number of epochs for some training designs."""
        if self.num_epochs != "auto":
            return self.num_epochs
        num_steps = self.usual_steps if self.auto_steps == "auto" else self.auto_steps
        num_epochs = round(num_steps / self.steps_per_epoch(num_designs))
        return max(self.fewest_auto_epochs, num_epochs)


class DecoderOptimisation(OptimisationConfig):
    """The same where a decoder is trained."""

    optimizer: Literal["adamw", "muon"] = Field(
        "muon",
        description="muon: Muon moves hidden layers of decoder and encoder where they are trained, "
        "AdamW all else; adamw: AdamW moves everything",
    )


class VaeOptimisation(DecoderOptimisation):
    """The same for a VAE."""

    usual_steps: ClassVar[int] = 1750


class ConditionerOptimisation(OptimisationConfig):
    """The same for a conditioner, which is small and trained through a decoder that is done."""

    usual_steps: ClassVar[int] = 250
    fewest_auto_epochs: ClassVar[int] = 10


class KlAnnealing(_Frozen):
    """Weight of the KL terms: `initial_beta`, then a half cosine up to `final_beta`."""

    initial_beta: float = Field(1e-3, ge=0)
    final_beta: float = Field(1.0, ge=0)
    start: float = Field(0.3, ge=0, le=1, description="share of the epochs before the rise")
    end: float = Field(0.8, ge=0, le=1, description="share of the epochs at the end of the rise")

    @model_validator(mode="after")
    def _ordered(self) -> KlAnnealing:
        if self.start > self.end:
            raise ValueError(f"start must not be after end, got {self.start} and {self.end}")
        return self


class PodConfig(_Frozen):
    """The POD basis that `vae.reduction: pod` trains in."""

    tolerance: float = Field(1e-6, gt=0, lt=1, description="share of energy that may be left out")
    max_modes: int = Field(512, ge=1)


class VaeConfig(_Frozen):
    """The VAE and its training (`vae.*`); values not given are the preset's, then the defaults."""

    preset: int = Field(2, ge=1, le=5, strict=True, description="named set of values")
    reduction: Literal["pod", "none"] = Field(
        "pod", description="train in the coefficients of a POD basis, or on the nodes"
    )
    pod: PodConfig = PodConfig()
    size: Literal["small", "large"] = Field("small", description="large: twice the blocks")
    filters: tuple[int, ...] = Field((128, 128, 128), min_length=2, description="widest first")
    num_blocks: PositiveInt = Field(1, description="residual blocks per level")
    time_patch: Literal["auto"] | PositiveInt = Field(
        "auto", description="time steps that are one step of the VAE; auto: more of long series"
    )
    spectral_normalisation: bool = False
    latent_size: int = Field(32, ge=1)
    hierarchical_latent_size: int = Field(8, ge=1)
    posterior: Literal["auto", "design", "field"] = Field(
        "auto",
        description="what the decoder's latents come from in training: a posterior given the "
        "design, the encoder learning by wake-sleep afterwards; or the encoder's posterior; auto: "
        "field for static fields of pictures, else design",
    )
    encoder_epochs: float = Field(
        0.3, gt=0, description="epochs of the encoder's own training, per epoch of the decoder's"
    )
    loss: Loss = "mse"
    relative_loss: bool = Field(
        True, description="each design's error relative to its norm (mse: the relative L2 error)"
    )
    reconstruction_weight: float = Field(
        1e5, gt=0, description="weight of the reconstruction against the KL terms (alpha)"
    )
    kl_annealing: KlAnnealing = KlAnnealing()
    augmentation: FieldAugmentation = FieldAugmentation()
    training: VaeOptimisation = VaeOptimisation()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        return with_preset(values, VAE_PRESETS)

    @model_validator(mode="after")
    def _widest_first(self) -> VaeConfig:
        if min(self.filters) < 1 or list(self.filters) != sorted(self.filters, reverse=True):
            raise ValueError(f"filters must be positive, widest first; got {list(self.filters)}")
        return self

    def for_fields(self, *, num_time_steps: int, have_pictures: bool) -> VaeConfig:
        """What these values mean for a study: it decides what is `auto`.

        Args:
            num_time_steps: T; static fields have one.
            have_pictures: the designs are pictures.
        """
        usual = {
            "time_patch": max(1, num_time_steps // FEWEST_PATCHES),
            "posterior": "field" if num_time_steps == 1 and have_pictures else "design",
        }
        values = settled(self.model_dump(), usual)
        values["time_patch"] = min(values["time_patch"], num_time_steps)
        return VaeConfig.model_validate(values)


class ConditionerConfig(_Frozen):
    """The latent conditioner and its training (`conditioner.*`); as for the VAE, with presets."""

    preset: int = Field(2, ge=1, le=2, strict=True, description="1: the original's sizes")
    kind: Literal["auto", "mlp", "cnn", "vit"] = Field(
        "auto",
        description="mlp: parameters, or principal components of pictures; cnn, vit: pictures; "
        "auto: mlp for a CSV, cnn for pictures",
    )
    filters: tuple[PositiveInt, ...] = Field(
        (128, 128), min_length=1, description="widths of the mlp's blocks"
    )
    picture_filters: tuple[PositiveInt, ...] = Field(
        (32, 48, 64), min_length=1, description="widths of the cnn's levels, finest first"
    )
    squeeze_excitation: bool = Field(False, description="channel attention in the cnn's blocks")
    spatial_attention: bool = Field(False, description="attention over places in the cnn's blocks")
    patch_size: PositiveInt = Field(16, description="side of the vit's patches [pixel]")
    embedding: PositiveInt = Field(64, description="width of the vit")
    num_layers: PositiveInt = Field(2, description="layers of the vit")
    num_heads: PositiveInt = Field(4, description="attention heads of the vit")
    dropout: float = Field(0.0, ge=0, lt=1)
    augmentation: PictureAugmentation = PictureAugmentation()
    num_members: int = Field(
        5, ge=2, description="networks of the ensemble, whose disagreement is the spread"
    )
    latent_weight: Literal["auto"] | NonNegativeFloat = Field(
        "auto",
        description="weight of the error in latents beside that of the decoded field; auto: more "
        "where the VAE has no posterior given the design",
    )
    latent_scaling: LatentScaling = Field(
        "spread",
        description="what an error in a latent counts relative to: its standard deviation over the "
        "training designs, or range: that to [-0.7, 0.7]",
    )
    training: ConditionerOptimisation = ConditionerOptimisation()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        return with_preset(values, CONDITIONER_PRESETS)

    def for_vae(self, *, has_design_posterior: bool) -> ConditionerConfig:
        """What these values mean beside a VAE: it decides what is `auto`.

        Args:
            has_design_posterior: the VAE tells latents of a design itself.
        """
        usual = BASED_VALUES if has_design_posterior else LONE_VALUES
        return ConditionerConfig.model_validate(settled(self.model_dump(), usual))

    @model_validator(mode="after")
    def _heads_divide(self) -> ConditionerConfig:
        if self.embedding % self.num_heads:
            raise ValueError(
                f"num_heads must divide embedding, got {self.num_heads} and {self.embedding}"
            )
        return self


def divides_into_patches(image_size: int, patch_size: int) -> bool:
    """Whether a vision transformer can see pictures of this side: in 2 x 2 patches or more."""
    return image_size % patch_size == 0 and image_size >= 2 * patch_size


class EndToEndOptimisation(DecoderOptimisation):
    """The same for conditioner and decoder together, which are both trained already."""

    usual_steps: ClassVar[int] = 500

    learning_rate: float = Field(3e-4, gt=0, description="the highest, after warm-up")


class EndToEndConfig(_Frozen):
    """Training a conditioner on the decoded field (`end_to_end.*`), after its own training."""

    loss: Loss = Field("huber", description="of the decoded field")
    relative_loss: bool = Field(True, description="each design's error relative to its norm")
    latent_weight: float = Field(
        1e-3, ge=0, description="weight of the error in latents beside that of the field"
    )
    tune_decoder: bool = Field(True, description="train the decoder too, or leave it frozen")
    training: EndToEndOptimisation = EndToEndOptimisation()


class RefitOptimisation(DecoderOptimisation):
    """The same for a refit, which starts from what is trained and goes on for a while."""

    usual_steps: ClassVar[int] = 300
    fewest_auto_epochs: ClassVar[int] = 10

    learning_rate: float = Field(3e-4, gt=0, description="the highest, after warm-up")


class RefitConfig(_Frozen):
    """Conditioner and decoder trained on with the validation designs, too (`refit.*`)."""

    enabled: bool = Field(
        True, description="false: predict with what was trained on training designs only"
    )
    latent_weight: float = Field(
        1e-3, ge=0, description="weight of the error in latents beside that of the field"
    )
    training: RefitOptimisation = RefitOptimisation()
