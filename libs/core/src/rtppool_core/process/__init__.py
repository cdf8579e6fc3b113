"""A program's life: settings, logs, scheduling, start and stop."""
