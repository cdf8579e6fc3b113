"""Places, turns, steps, processes and tables that the lab's programs share."""
