"""The message catalogues, one for each language of the report, and sentences said in them."""

from pathlib import Path
from typing import Any

from pipeline.report.conclusions import Message
from pipeline.storage.yaml_io import read_yaml

FOLDER = Path(__file__).parent / "words"


class Translator:
    """One language's catalogue: `words["headings"]["verdict"]`, and computed sentences through `say`."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.catalogue = read_yaml(FOLDER / f"{language}.yaml")

    def __getitem__(self, key: str) -> Any:
        return self.catalogue[key]

    def translate(self, sentence: Message) -> str:
        """A conclusion in this language; numbers are written alike in every language."""
        values = {
            name: self.translate(v) if isinstance(v, Message) else v
            for name, v in sentence.values.items()
        }
        return str(self.catalogue["sentences"][sentence.key]).format(**values).strip()

    def label(self, row: Any) -> str:
        """What a run was judged and how good its reconstructions are; `row` is its row of the summary."""
        verdict = self.catalogue["verdicts"].get(row.collapse, row.collapse)
        return str(self.catalogue["labelled"]).format(verdict=verdict, psnr=row.psnr_db)

    def column_description(self, column: str) -> str:
        """What a column of summary.csv holds."""
        if column in self.catalogue["columns"]:
            return str(self.catalogue["columns"][column])
        measure, _, of = column.partition("_")
        return str(self.catalogue["per_image_set"]).format(
            measure=self.catalogue["measures"][measure], of=self.catalogue["of"][of]
        )


def load_catalogs() -> dict[str, Translator]:
    """Every catalogue there is, by language."""
    return {path.stem: Translator(path.stem) for path in sorted(FOLDER.glob("*.yaml"))}
