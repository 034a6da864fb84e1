"""Every value logged while training, in a file that outlives the process."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

COLUMNS = ("epoch", "step", "name", "value")


class MetricHistory:
    """Appends metrics to `history.csv` and reads them back epoch by epoch.

    A call writes whole lines at once, so they stand in the file before it returns and a killed process leaves at
    most one torn line, which is not read and is cut off before the next line is written.

    Args:
        path: the file; it and its folder are made by the first `append`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = False

    def append(self, metrics: Mapping[str, float], epoch: int, step: int) -> None:
        """Write one row a metric; NaN and infinities are kept."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._begun and self._begin():
            writer.writerow(COLUMNS)
        self._begun = True
        writer.writerows((epoch, step, name, repr(float(value))) for name, value in metrics.items())
        with self.path.open("ab", buffering=0) as file:
            file.write(text.getvalue().encode())

    def table(self) -> pd.DataFrame:
        """Return one row an epoch: `epoch` and a column for every metric, in the order they first appeared.

        The last value of an epoch counts. Where a metric goes back to an earlier epoch, a resumed run trained that
        epoch again, and what stood for it and for later ones is superseded. A missing file gives an empty table.
        """
        rows = pd.DataFrame(self._rows(), columns=list(COLUMNS)).astype({"epoch": "int64", "value": "float64"})
        names = rows["name"].unique()
        earliest_from_here = rows[::-1].groupby("name")["epoch"].cummin().sort_index()
        rows = rows[rows["epoch"] <= earliest_from_here].drop_duplicates(["epoch", "name"], keep="last")
        wide = rows.pivot(index="epoch", columns="name", values="value")[list(names)]
        return wide.rename_axis(columns=None).reset_index()

    def _begin(self) -> bool:
        """Cut off a torn last line; True if the file is still to be given its head."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            return file.seek(0, io.SEEK_END) == 0

    def _rows(self) -> Iterator[tuple[int, int, str, float]]:
        if not self.path.exists():
            return
        text = self.path.read_bytes().rpartition(b"\n")[0].decode(errors="replace")
        for row in csv.reader(io.StringIO(text)):
            try:
                epoch, step, name, value = row
                yield int(epoch), int(step), name, float(value)
            except ValueError:  # the head
                continue
