"""Settings: pydantic models, YAML presets and ``--set a.b=c`` overrides."""
