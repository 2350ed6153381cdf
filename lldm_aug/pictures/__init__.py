"""Pictures of volumes and their masks."""
