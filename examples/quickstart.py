"""Teach a small model to label support tickets, and find out how much better it became.

cd examples && python quickstart.py
"""

import finetune_sdk as ft

tickets = ft.Dataset.load("tickets.jsonl")
train, validation, test = tickets.split(validation=0.1, test=0.1, seed=7, apart=True)

job = ft.Job(name="triage", train=train, validation=validation, method=ft.SFT(epochs=3))
evaluation = ft.Evaluation(
    test, [ft.JSONSchema("ticket.schema.json"), ft.ExactMatch()], sampling=ft.Sampling(max_tokens=64)
)

client = ft.Client()
print(client.estimate(job))
run = client.submit(job, max_cost=10)
tuned = run.wait()

base = client.base(job)
prompted = ft.Prompted(base, examples=train.sample(3))
report = evaluation.run(base=base, prompted=prompted, tuned=tuned)
report.save("report.html")
print(report.verdict)
