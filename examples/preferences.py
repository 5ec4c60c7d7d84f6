"""Teach a small model which of two replies to a customer is the better one (DPO).

cd examples && python preferences.py
"""

import finetune_sdk as ft

pairs = ft.Dataset.load("preferences.jsonl")
held_out = ft.Dataset.load("preferences_heldout.jsonl")

job = ft.Job(name="replies", train=pairs, validation=held_out, method=ft.DPO(epochs=3, beta=0.1))

client = ft.Client()
print(client.estimate(job))
run = client.submit(job, max_cost=10)
tuned = run.wait()

# The margin: beta times how much more than the base the tuned model prefers the chosen reply, in nats a pair.
(_, before), *_, (step, after) = run.curves()["validation_margin"]
print(f"held-out margin: {before:.3f} before, {after:.3f} after {step} steps")
print(tuned.answer(held_out[0].prompt, ft.Sampling(max_tokens=96)).text)
