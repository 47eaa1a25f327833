"""Networks that do not train, each faulty and repaired, and healthy ones, to try the doctor on."""

from benchmarks.doctor.cases.case import Case, Task, train
from benchmarks.doctor.cases.own import FAULTY, HEALTHY
from benchmarks.doctor.cases.public import PUBLIC

CASES: dict[str, Case] = {case.name: case for case in (*PUBLIC, *FAULTY, *HEALTHY)}

__all__ = ["CASES", "FAULTY", "HEALTHY", "PUBLIC", "Case", "Task", "train"]
