"""The same job at two places, and when its training is paid back beside the base with a longer prompt. Nothing is sent.

cd examples && python costs.py
"""

import finetune_sdk as ft

tickets = ft.Dataset.load("tickets.jsonl")
job = ft.Job(name="triage", train=tickets, method=ft.SFT(epochs=2))

for offer in ft.compare(["local", "openai"], job, config="anywhere.toml"):
    print(f"{offer.place}: {offer.estimate.charge if offer.estimate else offer.refused}")

hourly = 1.8  # USD for an hour of your machine, which you know
once = ft.Range(0.5, 1, 2, "h", "hours of training, measured").scaled(hourly, "USD", f"${hourly} an hour")
short, long = ft.Range(9, 12, 15, "USD", "200 tokens an answer"), ft.Range(70, 90, 110, "USD", "2,000 tokens an answer")
kept = ft.Range.exactly(0, "USD", "on a machine that is there anyway")
plan = ft.Plan(
    answers=50_000,
    training=once,
    tuned=ft.Upkeep(short, kept),
    rivals={"the longer prompt": ft.Upkeep(long, kept)},
    hours=4,
    retraining_hours=0.5,
    usd_per_hour=80,
    storage=1,
)
found = ft.break_even(plan)
print(f"up front {found.up_front}, then {found.a_month} a month")
print(found.against[0])
