"""What was found, shown: HTML and terminal. Renders plain values that are handed to it."""
