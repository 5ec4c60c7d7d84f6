"""The same fine-tuning on this machine or at a provider: one line of anywhere.toml decides, and nothing here changes.

cd examples && python anywhere.py
"""

import finetune_sdk as ft

tickets = ft.Dataset.load("tickets.jsonl")
train, validation, test = tickets.split(validation=0.1, test=0.1, seed=7)

job = ft.Job(name="triage", train=train, validation=validation, method=ft.SFT(epochs=2))

client = ft.Client(config="anywhere.toml")
print(client.estimate(job))
run = client.submit(job)
tuned = run.wait()

base = client.base(job)
report = ft.Evaluation(test, [ft.ExactMatch()], sampling=ft.Sampling(max_tokens=64)).run(base=base, tuned=tuned)
print(f"{run.id.partition(':')[0]}: {report.verdict}")
