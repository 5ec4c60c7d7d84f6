"""Teach a small model a format that is easier to check than to write (RFT): its answers are graded, the better ones reinforced.

cd examples && python reinforcement.py
"""

import finetune_sdk as ft

chats = ft.Dataset.load("tickets.jsonl")
tasks = ft.Dataset.of([ft.TaskExample(chat.prompt, {"expected": chat.answer.text}) for chat in chats])

# An answer is worth 1 for JSON of the right shape, and up to 1 for fields that are right; the mean of both is its reward.
graders = (ft.JSONSchema("ticket.schema.json"), ft.FieldMatch(("category", "priority")))
job = ft.Job(
    name="triage",
    train=tasks,
    method=ft.RFT(graders=graders, steps=60, learning_rate=3e-3, batch_size=8, samples=8, max_tokens=48),
)

client = ft.Client()
print(client.estimate(job))
run = client.submit(job, max_cost=10)
tuned = run.wait()

rewards = [reward for _, reward in run.curves()["reward"]]
print(f"mean reward: {sum(rewards[:5]) / 5:.3f} in the first five steps, {sum(rewards[-5:]) / 5:.3f} in the last five")
print(tuned.answer(tasks[0].prompt, ft.Sampling(max_tokens=48)).text)
