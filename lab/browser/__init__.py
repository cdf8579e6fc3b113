"""What browser tests and pictures need: Chromium, and the rules of accessibility."""
