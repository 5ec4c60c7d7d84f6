"""What a job will take: as it comes, after a probe of a few steps, and on cards that are not here. Nothing is sent or kept.

cd examples && python estimates.py
"""

import finetune_sdk as ft

job = ft.Job(name="triage", train=ft.Dataset.load("tickets.jsonl"), method=ft.SFT(epochs=1), base="tiny")
client = ft.Client("local")

for name, estimate in {"as it comes": client.estimate(job), "after a probe": client.estimate(job, probe=True)}.items():
    print(f"{name}: {estimate.time}, {estimate.memory} | {estimate.time.basis}")

for gpu in ("L4", "A100 80GB", "H100 80GB"):
    there = client.estimate(job, gpu=gpu)
    print(f"{gpu}: {there.time}, {there.memory}, {there.machine}, {there.energy}; {there.notes[0]}")
