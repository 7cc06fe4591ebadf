"""What the page of a logged decoder says: its input, its output, and the lines that use it."""

import math
from typing import Any

from pipeline.config.run_record import RunRecord
from pipeline.storage.reading import read_json

# The tag that MLflow's pages show as a description, which a person may edit there.
NOTE = "mlflow.note.content"


def input_size(record: RunRecord) -> int:
    """Return how many numbers the decoder takes for an image: its code, and a flow's its noise."""
    config = _config(record)
    is_flow = config.get("flow_channels") is not None
    return record.run.latent_dim + (math.prod(config["image_shape"]) if is_flow else 0)


def model_card(uri: str, record: RunRecord) -> str:
    """Return the page, in Markdown; `uri` is where MLflow has the model."""
    image = ", ".join(str(size) for size in _config(record)["image_shape"])
    latent_dim, size = record.run.latent_dim, input_size(record)
    what = "for new images drawn\n  from N(0, I)"
    if size > latent_dim:
        what += (
            f"; the first {latent_dim} are the code. It is a flow: the other\n"
            f"  {size - latent_dim}, always from N(0, I), are the noise that becomes the image"
        )
    return f"""The decoder of `{record.run.name}`. It needs mlflow and torch, and none of our code.

- Input: codes, float32 [B, {size}], of any batch size and any value; {what}.
- Output: images, float32 [B, {image}], values in [0, 1].

```python
import mlflow, numpy  # MLFLOW_TRACKING_URI names this store
codes = numpy.random.standard_normal((8, {size})).astype("float32")
images = mlflow.pyfunc.load_model("{uri}").predict(codes)
```
"""


def _config(record: RunRecord) -> dict[str, Any]:
    config: dict[str, Any] = read_json(record.paths.model(record.run.name) / "model.json")["config"]
    return config
