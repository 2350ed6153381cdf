"""``python -m lldm_aug``: the command line, so that ``accelerate launch -m lldm_aug train ...`` works."""

from lldm_aug.cli import main

if __name__ == "__main__":
    main()
