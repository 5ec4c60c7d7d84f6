"""Backends that each break one promise: the fake one, with a method or two that are wrong."""

from __future__ import annotations

from dataclasses import dataclass

LATE_AND_SILENT = """
    @property
    def capabilities(self):
        return replace(super().capabilities, visible_within=0.0)
"""
PICKY = """
    def resolve(self, job):
        if any(value is not None for name, value in vars_of(job.method).items() if name != "kind"):
            raise UnsupportedError("this place takes no wishes.")
        return super().resolve(job)
"""
ROUNDS = """
    def resolve(self, job):
        made = super().resolve(job)
        return replace(made, job=replace(made.job, method=replace(made.job.method, batch_size=8)))
"""
CHOOSES_IN_SILENCE = """
    def resolve(self, job):
        made = super().resolve(job)
        return replace(made, chosen=made.chosen[1:])
"""
BOASTS = """
    def resolve(self, job):
        made = super().resolve(job)
        return replace(made, chosen=(*made.chosen, "validate_every"))
"""
MAKES_ON_CHECK = """
    def check(self, resolved):
        super().submit(resolved, "a token of its own " + str(time.time()))
        return super().check(resolved)
"""
GUESSES_A_PRICE = """
    def estimate(self, resolved):
        made = super().estimate(resolved)
        return replace(made, charge=replace(made.charge, basis="what it was some time ago"))
"""
ONE_ANSWER_A_MONTH = """
    def upkeep(self, base, usage, *, tuned):
        return super().upkeep(base, replace(usage, answers=1), tuned=tuned)
"""
STEPS_OF_ITS_OWN = """
    def submit(self, resolved, token):
        method = replace(resolved.method, steps=None, epochs=3)
        return super().submit(replace(resolved, job=replace(resolved.job, method=method)), token)
"""
RATE_OF_ITS_OWN = """
    def submit(self, resolved, token):
        method = replace(resolved.method, learning_rate=0.5)
        return super().submit(replace(resolved, job=replace(resolved.job, method=method)), token)
"""
SHRINKS = """
    def spent(self, run):
        made = super().spent(run)
        return replace(made, cost=Range.exactly(1e10 - time.time(), "USD", "what is left"))
"""
GOES_ON_SPENDING = """
    def spent(self, run):
        return replace(super().spent(run), time=Range.exactly(time.time(), "s", "the clock on the wall"))
"""
SPENDS_MORE = """
    def spent(self, run):
        return replace(super().spent(run), cost=Range.exactly(1000.0, "USD", "so it seems"))
"""
COUNTS_FROM_0 = """
    def events(self, run, after=0):
        return [replace(event, number=event.number - 1) for event in super().events(run, after)]
"""
TELLS_ALL_AGAIN = """
    def events(self, run, after=0):
        return super().events(run)
"""
KNOWS_EVERY_RUN = """
    def status(self, run):
        try:
            return super().status(run)
        except NotFoundError:
            return Status("queued")
"""
CANCELS_AFTER_THE_END = """
    cancelled = set()
    def cancel(self, run):
        super().cancel(run)
        self.cancelled.add(run)
    def status(self, run):
        return Status("cancelled") if run in self.cancelled else super().status(run)
"""
MISCOUNTS = """
    def result(self, run):
        left = super().result(run)
        return replace(left, actual={{**left.actual, "{figure}": left.actual["{figure}"] * 2 + 1}})
"""
SHUFFLES = """
    def model(self, name):
        class Shuffled(type(super().model(name))):
            def answers(self, asked, sampling=None):
                return sorted(super().answers(asked, sampling), key=lambda answer: len(answer.text))
        found = super().model(name)
        return Shuffled(**vars(found))
"""
BEGINS_AGAIN = """
    def resume(self, run):
        self._records.change(run, lambda record, legs: Leg(time.time(), 0))
"""
PROMISES_MODELS = """
    def checkpoints(self, run):
        return [replace(one, model=f"{one.model}-to-be") for one in super().checkpoints(run)]
"""
ANSWERS_UNDECLARED = """
    def checkpoints(self, run):
        return [replace(one, model=None) for one in super().checkpoints(run)]
    def model(self, name):
        return super().model("echo" if name.startswith("step-") else name)
"""
TRAINS_ALL = """
    def render(self, dataset, index, base):
        shown = super().render(dataset, index, base)
        return {**shown, "trained": [True] * len(shown["ids"]), "spans": [(0, len(shown["text"]))]}
"""
TRAINS_ALL_TOKENS = """
    def render(self, dataset, index, base):
        shown = super().render(dataset, index, base)
        return {**shown, "trained": [True] * len(shown["ids"])}
"""
SHOWS_NO_SPANS = """
    def render(self, dataset, index, base):
        return {**super().render(dataset, index, base), "spans": []}
"""
EXPORTS_ELSEWHERE = """
    def export(self, run, to, kind):
        to.parent.mkdir(parents=True, exist_ok=True)
        return super().export(run, to.with_name(to.name + "-new"), kind)
"""
KEEPS_A_LOG = """
    def submit(self, resolved, token):
        logs = self._place.home / "logs"
        logs.mkdir(exist_ok=True)
        (logs / "debug.log").write_text("Authorization: Bearer " + self._options.api_key)
        return super().submit(resolved, token)
"""
TELLS_ITS_KEY = """
    @property
    def address(self):
        return f"https://{self._options.api_key}@place"
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A backend's class body, the promise that it breaks, and its settings; `worse` ones are part of the fault."""

    body: str
    promise: str
    options: str = ""
    worse: str = ""


FAULTS = {
    "a wish that is rounded": Fault(ROUNDS, "a_declared_hyperparameter_is_done_exactly_or_refused[batch_size]"),
    "every wish refused": Fault(PICKY, "not_every_declared_hyperparameter_is_refused"),
    "a choice not told": Fault(CHOOSES_IN_SILENCE, "resolve_names_what_the_place_chose_and_nothing_else"),
    "a choice never made": Fault(BOASTS, "resolve_names_what_the_place_chose_and_nothing_else"),
    "a check that makes a run": Fault(MAKES_ON_CHECK, "check_and_estimate_make_nothing"),
    "a price without a date": Fault(
        GUESSES_A_PRICE, "the_charge_is_nothing_or_dated_or_said_to_be_unknown", "usd_per_million=8"
    ),
    "a month of one answer": Fault(
        ONE_ANSWER_A_MONTH, "a_month_has_a_price_that_grows_with_its_answers[True]", "usd_per_million=8"
    ),
    "an address that changes": Fault(
        "    address = property(lambda self: str(id(self)))", "the_address_is_the_same_each_time"
    ),
    "a second run for a token": Fault("    pass", "the_same_token_twice_is_one_run", worse="careless=True"),
    "a second run for an active one": Fault(
        "    pass",
        "a_new_run_is_found_as_soon_as_declared_and_sent_again_it_is_the_same",
        "seconds=20",
        "careless=True",
    ),
    "tokens forgotten": Fault("    def find(self, token): return []", "the_same_token_twice_is_one_run"),
    "runs shown later than declared": Fault(
        LATE_AND_SILENT,
        "a_new_run_is_found_as_soon_as_declared_and_sent_again_it_is_the_same",
        "seconds=20",
        "visible_after=60",
    ),
    "a run that nobody made": Fault(KNOWS_EVERY_RUN, "an_unknown_run_is_not_found[status]"),
    "events that count from 0": Fault(COUNTS_FROM_0, "events_are_numbered_from_1_without_gaps"),
    "events told again": Fault(TELLS_ALL_AGAIN, "events_after_a_number_are_the_rest"),
    "steps of its own": Fault(STEPS_OF_ITS_OWN, "as_many_steps_as_asked_for_are_taken_at_no_higher_rate"),
    "a rate of its own": Fault(RATE_OF_ITS_OWN, "as_many_steps_as_asked_for_are_taken_at_no_higher_rate"),
    "a cancellation after the end": Fault(CANCELS_AFTER_THE_END, "cancelling_after_the_end_changes_nothing"),
    "a cancellation that does nothing": Fault(
        "    def cancel(self, run): pass", "cancel_ends_an_active_run", "seconds=1"
    ),
    "more tokens than estimated": Fault(
        MISCOUNTS.format(figure="tokens"), "what_can_be_counted_before_is_within_the_estimate[tokens]"
    ),
    "more trained tokens than estimated": Fault(
        MISCOUNTS.format(figure="trained_tokens"), "what_can_be_counted_before_is_within_the_estimate[trained_tokens]"
    ),
    "more charged than estimated": Fault(
        MISCOUNTS.format(figure="charge"), "what_can_be_counted_before_is_within_the_estimate[charge]"
    ),
    "answers out of order": Fault(SHUFFLES, "answers_keep_their_order"),
    "money that comes back": Fault(
        SHRINKS, "what_a_run_has_spent_is_told_and_never_shrinks", "seconds=1, usd_per_million=5.0"
    ),
    "a run that goes on spending after its end": Fault(
        GOES_ON_SPENDING, "what_a_run_has_spent_is_told_and_never_shrinks", "seconds=1"
    ),
    "more spent than estimated": Fault(SPENDS_MORE, "what_a_run_spent_is_within_the_estimate", "usd_per_million=5.0"),
    "runs, the oldest first": Fault(
        "    def runs(self): return super().runs()[::-1]", "list_has_the_newest_first", "seconds=1"
    ),
    "a resume that begins again": Fault(BEGINS_AGAIN, "a_cancelled_run_goes_on_after_resume", "seconds=2"),
    "a checkpoint that does not answer": Fault(PROMISES_MODELS, "a_checkpoint_answers_by_the_name_that_it_declares"),
    "a checkpoint that answers and does not say so": Fault(
        ANSWERS_UNDECLARED, "a_checkpoint_that_declares_no_model_is_none"
    ),
    "a question that is trained": Fault(TRAINS_ALL, "render_marks_the_answer_and_not_the_question"),
    "an answer that is not shown as trained": Fault(SHOWS_NO_SPANS, "render_marks_the_answer_and_not_the_question"),
    "more tokens trained than counted": Fault(TRAINS_ALL_TOKENS, "render_trains_as_many_tokens_as_are_counted"),
    "an export that is not where it was asked for": Fault(
        EXPORTS_ELSEWHERE, "an_export_is_a_folder_that_is_whole_and_says_what_it_is"
    ),
    "a secret in an address": Fault(TELLS_ITS_KEY, "no_secret_is_shown_or_kept", "api_key='sk-very-secret'"),
    "a secret in a file": Fault(KEEPS_A_LOG, "no_secret_is_shown_or_kept", "api_key='sk-very-secret'"),
}
