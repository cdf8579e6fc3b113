"""Campaign, scale, idle and edit runs."""
