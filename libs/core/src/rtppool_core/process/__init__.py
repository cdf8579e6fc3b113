"""The life of a program: settings, logs, scheduling, start and stop, child processes."""
