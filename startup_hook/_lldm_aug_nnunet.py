"""Start-up hook: shows nnU-Net where lldm_aug's trainer is, by adding one folder to ``nnUNet_extTrainer``.

Runs at every interpreter start, hence: imports nothing but two modules that are always loaded (``importlib.util`` alone
would cost 4 ms), no network, silent. Switched off by ``LLDM_AUG_NO_NNUNET_HOOK=1``.
"""

import os
import sys


def register() -> None:
    """Appends ``nnunet_integration/discover`` to ``nnUNet_extTrainer`` unless it is there already."""
    if os.environ.get("LLDM_AUG_NO_NNUNET_HOOK"):
        return
    try:
        # What importlib.util.find_spec does for a top-level name: it finds editable installs too, and imports nothing.
        spec = next(filter(None, (finder.find_spec("nnunet_integration", None) for finder in sys.meta_path)))
        folder = os.path.join(spec.submodule_search_locations[0], "discover")
        folders = os.environ.get("nnUNet_extTrainer", "").split(os.pathsep)
        if folder not in folders:
            os.environ["nnUNet_extTrainer"] = os.pathsep.join([*filter(None, folders), folder])
    except Exception:  # noqa: BLE001 - no fault of ours may disturb an interpreter that wants something else
        return
