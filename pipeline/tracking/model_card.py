"""What the page of a logged decoder says: its input, its output, and the lines that use it."""

from pipeline.config.run_record import RunRecord
from pipeline.storage.reading import read_json

# The tag that MLflow's pages show as a description, which a person may edit there.
NOTE = "mlflow.note.content"


def model_card(uri: str, record: RunRecord) -> str:
    """Return the page, in Markdown; `uri` is where MLflow has the model."""
    config = read_json(record.paths.model(record.run.name) / "model.json")["config"]
    latent_dim = record.run.latent_dim
    image = ", ".join(str(size) for size in config["image_shape"])
    return f"""The decoder of `{record.run.name}`. It needs mlflow and torch, and none of our code.

- Input: codes, float32 [B, {latent_dim}], of any batch size and any value; for new images drawn
  from N(0, I).
- Output: images, float32 [B, {image}], values in [0, 1].

```python
import mlflow, numpy  # MLFLOW_TRACKING_URI names this store
codes = numpy.random.standard_normal((8, {latent_dim})).astype("float32")
images = mlflow.pyfunc.load_model("{uri}").predict(codes)
```
"""
