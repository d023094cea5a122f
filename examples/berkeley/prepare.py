"""Expand the published counts of Berkeley's 1973 graduate admissions to one row an applicant.

The counts are those of Bickel, Hammel and O'Connell (1975, Science 187:398), six largest departments.
"""

from __future__ import annotations

import csv
from pathlib import Path

# department: (men admitted, men rejected, women admitted, women rejected)
COUNTS = {
    "A": (512, 313, 89, 19),
    "B": (353, 207, 17, 8),
    "C": (120, 205, 202, 391),
    "D": (138, 279, 131, 244),
    "E": (53, 138, 94, 299),
    "F": (22, 351, 24, 317),
}


def main() -> None:
    """Write applicants.csv beside this file."""
    with (Path(__file__).parent / "applicants.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["gender", "department", "decision"])
        for department, cells in COUNTS.items():
            kinds = [("man", "admitted"), ("man", "rejected"), ("woman", "admitted"), ("woman", "rejected")]
            for (gender, decision), count in zip(kinds, cells, strict=True):
                writer.writerows([[gender, department, decision]] * count)


if __name__ == "__main__":
    main()
