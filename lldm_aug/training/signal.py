"""What the prepared cases of a run look like, structure by structure: the gate's measure of synthetic ones."""

from __future__ import annotations

from lldm_aug.data.signal import RealSignal, case_signal, real_signal
from lldm_aug.training.cases import CaseSet


def measure_cases(cases: CaseSet) -> RealSignal:
    """The range of signal over the cases of a run that have all structures; over all if none has.

    A vessel that was not annotated would count as liver, and make the gate let more pass.
    """
    whole = any(case_id not in cases.record.unknown for case_id in cases.case_ids)
    chosen = cases.fully_annotated() if whole else cases
    found = []
    for case_id in chosen.case_ids:
        case = chosen.load(case_id)
        zeros = 1 - case.foreground.numpy()
        found.append(case_signal(case.image.numpy(), case.label.numpy(), zeros, cases.schema))
    return real_signal(found)
