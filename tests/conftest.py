"""Fixtures that several test modules share."""

pytest_plugins = ["nnunet_project"]
