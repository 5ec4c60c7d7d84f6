"""What is learnt: datasets, the files that they are read from, and what can be wrong with them."""
