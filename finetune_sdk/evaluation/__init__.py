"""What is judged: held-out cases, evaluators, and what may be concluded from their judgements."""
