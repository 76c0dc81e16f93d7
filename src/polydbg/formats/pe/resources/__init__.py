"""What the resource section of a PE image holds."""
