"""What is said of every metric, and the units they come in."""

from dataclasses import dataclass

from pipeline.report.i18n import NOTHING, Message, _

DB = _("dB")
NATS = _("nats")
NATS_PER_IMAGE = _("nats/image")
NATS_PER_DIM = _("nats/dim")
BITS_PER_DIM = _("bits/dim")
SECONDS = _("s")
IMAGES_PER_SECOND = _("images/s")
FLOPS_PER_IMAGE = _("FLOP/image")


@dataclass(frozen=True)
class Metric:
    """One column of summary.csv or one number of baselines.json."""

    key: str
    """Its name in JSON, CSV and MLflow."""
    title: Message
    """Its name in tables and figures."""
    description: Message
    """What exactly it is."""
    table: str
    """The table of the report that shows it: a key of `metrics.TABLES`, or of its own."""
    unit: Message = NOTHING
    digits: int = 4
    """Decimals shown; the files keep all."""
    greater_is_better: bool | None = None
    """None where neither direction is better."""
    source: str = ""
    """The paper that defines it."""

    @property
    def head(self) -> Message:
        """The title with its unit, as an axis or a table's head has it."""
        return (
            _("{title}, {unit}", title=self.title, unit=self.unit) if self.unit.text else self.title
        )
