"""Two steps: a few examples teach a small model a format (SFT), then its own graded answers teach it to be right (RFT).

cd examples && python reinforcement.py
"""

import finetune_sdk as ft

chats = ft.Dataset.load("tickets.jsonl")
client = ft.Client()

first = client.submit(ft.Job(name="format", train=chats[:96], method=ft.SFT(epochs=4)), max_cost=10)
first.wait()
first.export("beginner", kind="merged")

# A task is what is asked, and what graders need. An answer is worth 1 for JSON of the right shape, and up to 1 for fields that are right.
tasks = ft.Dataset.of([ft.TaskExample(chat.prompt, {"expected": chat.answer.text}) for chat in chats[96:]])
graders = (ft.JSONSchema("ticket.schema.json"), ft.FieldMatch(("category", "priority")))
method = ft.RFT(graders=graders, steps=40, batch_size=8, samples=8, max_tokens=48, learning_rate=2e-3)
job = ft.Job(name="right", base="beginner", train=tasks, method=method)

print(client.estimate(job))
run = client.submit(job, max_cost=10)
tuned = run.wait()

rewards = [reward for _, reward in run.curves()["reward"]]
print(f"mean reward: {sum(rewards[:5]) / 5:.3f} in the first five steps, {sum(rewards[-5:]) / 5:.3f} in the last five")
print(tuned.answer(tasks[0].prompt, ft.Sampling(max_tokens=48)).text)
