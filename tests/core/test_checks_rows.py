"""What is said of whole rows: near duplicates, leaks, secrets, personal data, tools, outliers."""

from __future__ import annotations

import random
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_sdk.data.checks import Finding
from finetune_sdk.data.checks.near import NearDuplicates, jaccard
from finetune_sdk.data.checks.outliers import language
from finetune_sdk.data.checks.personal import luhn, personal
from finetune_sdk.data.checks.secrets import secrets
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import MissingDependencyError
from finetune_sdk.messages import (
    ChatExample,
    Conversation,
    Message,
    PreferenceExample,
    RatedExample,
    TaskExample,
    TextExample,
)
from rows import chat

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def prose(seed: int, words: int = 40) -> str:
    """Words that no other seed has in this order."""
    source = random.Random(seed)
    return " ".join("".join(source.choices(LETTERS, k=source.randint(2, 8))) for _ in range(words))


def found(rows: list[dict[str, Any]], check: str) -> list[Finding]:
    return [finding for finding in Dataset.of(rows).check() if finding.check == check]


def test_rows_that_differ_in_a_word_are_near_duplicates() -> None:
    rows = [chat(prose(n), "billing") for n in range(200)]
    rows[150] = chat(prose(20).replace(prose(20).split()[10], "otherwise"), "billing")
    (finding,) = found(rows, "near-duplicates")
    assert (finding.rows, finding.count) == ((151,), 1)
    assert "row 151 is nearly row 21" in finding.example


def test_the_same_document_with_other_questions_or_other_answers_is_no_duplicate() -> None:
    document = prose(1, 300)
    rows = [chat(f"{document}\n\n{prose(n, 6)}?", prose(1000 + n, 12)) for n in range(30)]
    sums = [chat(f"{prose(2, 60)} How much is {n} and {n}?", str(2 * n)) for n in range(30)]
    assert found(rows, "near-duplicates") == []
    assert found(sums, "near-duplicates") == []


def test_the_same_words_with_another_call_are_no_duplicate() -> None:
    rows = [calling("find_order", f'{{"order": "AB-{n}"}}') for n in range(2)]
    for n, row in enumerate(rows):
        row["messages"][0]["content"] = f"{prose(3)} {n}"
    assert found(rows, "near-duplicates") == []


def test_exact_duplicates_are_not_told_twice() -> None:
    assert found([chat(prose(1), "yes")] * 3, "near-duplicates") == []


def test_a_text_without_spaces_has_near_duplicates_too() -> None:
    text = "我的包裹应该在星期二到达但是自从它离开仓库以后就没有人见过它请帮我查一下它现在在哪里谢谢"
    rows = [chat(prose(n), "是") for n in range(20)] + [chat(text, "是"), chat(text.replace("谢谢", "多谢"), "是")]
    (finding,) = found(rows, "near-duplicates")
    assert finding.rows == (22,)


@given(st.integers(0, 10_000), st.integers(0, 39))
def test_two_texts_that_the_comparison_calls_alike_are_found(seed: int, at: int) -> None:
    words = prose(seed).split()
    words[at] = "otherwise"
    check = NearDuplicates()
    data = Dataset.of([chat(prose(seed), "yes"), chat(" ".join(words), "yes")])
    for index, row in enumerate(data.rows()):
        check.see(index, row)
    assert jaccard(prose(seed), " ".join(words)) >= 0.8
    assert sum(finding.count for finding in check.findings(data)) == 1


def test_leaks_are_told_exact_and_near_with_both_lines() -> None:
    train = Dataset.of([chat(prose(n), "yes") for n in range(50)], name="train")
    near = chat(prose(7) + " thanks", "yes")
    test = Dataset.of([chat(prose(100), "yes"), chat(prose(3), "yes"), near], name="test")
    exact, nearly = test.leaks(train)
    assert (exact.check, exact.severity, exact.rows) == ("leakage", "error", (2,))
    assert (nearly.check, nearly.severity, nearly.rows) == ("near-leakage", "error", (3,))
    assert "row 3 is nearly row 8 of train" in nearly.example


def test_a_split_can_leave_out_of_training_what_is_nearly_held_out() -> None:
    data = Dataset.of([chat(prose(n) + thanks, "yes") for n in range(60) for thanks in ("", " thanks")])
    train, validation, test = data.split(validation=0.2, test=0.2, seed=3)
    assert test.leaks(train)
    assert validation.leaks(train)
    apart, *held = data.split(validation=0.2, test=0.2, seed=3, apart=True)
    assert [list(side.hashes()) for side in held] == [list(side.hashes()) for side in (validation, test)]
    assert set(apart.hashes()) < set(train.hashes())
    assert not [finding for side in held for finding in side.leaks(apart)]


@pytest.mark.parametrize(
    ("module", "check"), [("rensa", "near-duplicates"), ("detect_secrets.plugins.aws", "secrets")], ids=str
)
def test_what_is_not_installed_is_a_note_with_the_line_that_installs_it(
    module: str, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_sdk.data.checks.secrets import _patterns

    _patterns.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    rows = [chat(prose(n) + " see https://host.org/a-long/path", "yes") for n in range(5)]
    (finding,) = found(rows, check)
    assert finding.severity == "note"
    assert finding.cure == "pip install 'finetune-anywhere[data]'"
    data = Dataset.of(rows)
    with pytest.raises(MissingDependencyError):
        _ = data.fix(redact=True).changes if check == "secrets" else data.leaks(data)
    _patterns.cache_clear()


SECRETS = {
    "AWS": "AKIA" + "Z7Q4M2K9X1B3N5V8",
    "GitHub": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "Slack": "xoxb-" + "123456789012-1234567890123-abcdefABCDEF123456789012",
    "Anthropic": "sk-ant-" + "api03-a1B2c3D4e5F6g7H8i9J0k1L2",
    "OpenAI": "sk-proj-" + "a1B2c3D4" * 6,
    "Stripe": "sk_live_" + "a1B2c3D4e5F6g7H8i9J0k1L2",
    "password": "postgres://shop:" + "hunter2secret@db.acme.org/shop",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_is_found_and_never_shown(secret: str) -> None:
    rows = [chat(prose(n), "Yes.") for n in range(5)]
    rows[3] = chat(f"Why does it fail? My key is {secret}, as before.", "Yes.")
    (finding,) = found(rows, "secrets")
    assert finding.rows == (4,)
    assert secret[8:-8] not in str(finding.to_dict())


@pytest.mark.parametrize(
    "text",
    [
        "Set OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx first.",
        "See https://docs.python.org/3/library/functools.html#functools.cached_property for it.",
        "postgres://user:password@localhost/db", "The commit is 3f786850e387550fdab836ed7e6dc881de23001b.",
        "the-quick-brown-fox-jumps-over-the-lazy-dog-and-the-cat", "sk-learn-contrib-categorical-encoders-and-more-of-it",
    ],
)  # fmt: skip
def test_what_only_looks_long_is_no_secret(text: str) -> None:
    assert secrets(text) == []


PERSONAL = {
    "EMAIL": ["jane.roe@gmail.com", "j+news@mail.acme.co.uk"],
    "PHONE": [
        "+49 170 1234567",
        "+1 (415) 555-0132",
        "(415) 555-0132",
        "030 1234567",
        "06 12 34 56 78",
        "+442079460958",
    ],
    "IBAN": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "NL91 ABNA 0417 1643 00"],
    "CARD": ["4111 1111 1111 1111", "5555555555554444", "3782-822463-10005"],
    "IP": ["84.23.112.9"],
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in PERSONAL.items() for value in values])
def test_personal_data_is_found_whole(kind: str, value: str) -> None:
    text = f"Please note: {value} IS MINE, thank you."
    (held,) = personal(text)
    assert (held.kind, text[held.start : held.end]) == (kind, value)


@pytest.mark.parametrize(
    "text",
    [
        "order AB-12345 of 2024-03-14, 10:22", "order number KX-81793, invoice 2024/0001234", "it cost 1,234,567.89 EUR",
        "version 10.20.30.40 of the app", "at 192.168.0.1 or 127.0.0.1", "EAN 4006381333931", "see pages 100-200 and 305",
        "ISBN 978-3-16-148410-0", "1700000000000 ms", "support@example.com", "@anna wrote to me", "3.14159265358979",
        "tracking 00340434161094042557", "4111 1111 1111 1112", "DE00 3704 0044 0532 0130 00", "between 1990 and 2000",
        "see section 2.2.24.1 or 7.4.7.1.", "<142480216486.20800.16526388040@mail.acme.org>", "the years 1999 2000 2001 2002 2003", "0.0012345678", "phone 12 in box 4567",
    ],
)  # fmt: skip
def test_numbers_of_other_kinds_are_not_personal(text: str) -> None:
    assert personal(text) == []


@given(st.text(max_size=200))
def test_what_is_found_lies_apart_and_in_order(text: str) -> None:
    held = personal(text + " a@b.org " + text)
    assert all(0 <= one.start < one.end for one in held)
    assert all(one.end <= other.start for one, other in pairwise(held))


@given(st.integers(10**14, 10**15 - 1))
def test_one_wrong_digit_is_no_card_number(number: int) -> None:
    digits = next(f"{number}{last}" for last in range(10) if luhn(f"{number}{last}"))
    wrong = str((int(digits[3]) + 1) % 10)
    assert not luhn(digits[:3] + wrong + digits[4:])


def test_personal_data_is_told_by_kind_and_masked_but_for_the_firms_own() -> None:
    rows = [chat(prose(n), "Write to help@acme.org for more.") for n in range(60)]
    rows[4] = chat("I am jane.roe@gmail.com, +49 170 1234567.", "Thank you.")
    email, phone = found(rows, "personal-data")
    assert (email.rows, phone.rows) == ((5,), (5,))
    assert "jane.roe" not in str(email.to_dict())


def test_every_kind_of_example_can_be_checked_and_fixed() -> None:
    asked = Conversation.of("Where is my parcel? I am jane.roe@gmail.com")
    reply = (Message("assistant", "On its way."),)
    for one in (
        ChatExample((*asked.messages, *reply)),
        PreferenceExample(asked, reply, (Message("assistant", "No idea."),)),
        RatedExample(asked, reply, good=True),
        RatedExample(asked, reply, good=False),
        TaskExample(asked, {"order": "AB-1"}),
        TextExample("jane.roe@gmail.com asked for her parcel."),
    ):
        data = Dataset.of([one])
        assert [finding.check for finding in data.check()] == ["personal-data"]
        assert "jane" not in str(list(data.fix(redact=True).rows()))


def test_pictures_and_sounds_are_neither_searched_nor_changed() -> None:
    coded = "AKIA" + "Z7Q4M2K9X1B3N5V8" + "=" * 40
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{coded}"}},
        {"type": "input_audio", "input_audio": {"data": coded, "format": "wav"}},
        {"type": "text", "text": "What is it?"},
    ]
    data = Dataset.of([{"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "A lamp."}]}])
    assert data.check() == ()
    assert data.fix(redact=True).changes == ()


ODD = st.one_of(
    st.text(max_size=60),
    st.sampled_from(['{"a": ', "[{", "```\n", '{"a": {"b": [1]}}', "\ufeff", "\x00", "+49 (0)", "@" * 50, "sk-" + "a1" * 40]),
)  # fmt: skip


@given(st.lists(st.tuples(ODD, ODD, ODD), min_size=1, max_size=60))
def test_no_row_is_too_odd_to_be_checked_and_fixed(rows: list[tuple[str, str, str]]) -> None:
    data = Dataset.of([
        {"messages": [
            {"role": "system", "content": system}, {"role": "user", "content": asked},
            {"role": "assistant", "content": answer or "x"},
        ]}
        for system, asked, answer in rows
    ])  # fmt: skip
    for finding in data.check():
        assert finding.count >= len(finding.rows)
        assert finding.cure
        assert "\n" not in finding.example
    fixed = data.fix(redact=True)
    dropped = sum(change.action == "dropped" for change in fixed.changes)
    assert len(list(fixed.rows())) + dropped == len(rows)


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
        },
    }
]


def calling(name: str, arguments: str, tools: Any = TOOLS) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"messages": [{"role": "user", "content": f"Where is {arguments}?"}, turn], "tools": tools}


def test_calls_that_fit_are_fine() -> None:
    assert found([calling("find_order", '{"order": "AB-1"}')], "tool-calls") == []


def test_a_tool_that_is_not_offered_is_told() -> None:
    (finding,) = found([calling("find_order", '{"order": "A"}'), calling("fnd_order", '{"order": "B"}')], "tool-calls")
    assert (finding.rows, finding.example) == ((2,), "fnd_order({'order': 'B'})")


@pytest.mark.parametrize("arguments", ['{"order": 12345}', '{"number": "AB-1"}'])
def test_arguments_that_the_schema_does_not_allow_are_told(arguments: str) -> None:
    (finding,) = found([calling("find_order", '{"order": "A"}'), calling("find_order", arguments)], "tool-calls")
    assert finding.rows == (2,)
    assert "order" in finding.message


@pytest.mark.parametrize("schema", [{"$ref": "http://127.0.0.1:9/schema.json"}, {"type": "objekt"}, "a text", [1], 5])
def test_a_schema_that_cannot_be_used_is_a_note_and_nothing_is_fetched(schema: Any) -> None:
    tools = [{"type": "function", "function": {"name": "find_order", "parameters": schema}}]
    (finding,) = found([calling("find_order", '{"order": "A"}', tools)], "tool-calls")
    assert finding.severity == "note"
    assert finding.rows == (1,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The parcel was meant to come on Tuesday, and nobody has seen it since it left the depot.", "English"),
        ("Ich habe schon zweimal geschrieben und keine Antwort bekommen, bitte melden Sie sich bei mir.", "German"),
        ("Le bon de réduction ne marche pas, il est pourtant valable jusqu'à la fin du mois pour les clients.", "French"),
        ("No puedo entrar en mi cuenta desde que cambié la contraseña, y la página no dice por qué es así.", "Spanish"),
        ("我的包裹应该在星期二到达", "Chinese"), ("荷物が届きません。どうすればいいですか", "Japanese"),
        ("Где мой заказ, он должен был прийти", "Cyrillic"), ("OK", None), ("SELECT a FROM b WHERE c = 1", None),
    ],
)  # fmt: skip
def test_a_language_is_told_by_script_and_small_words(text: str, said: str | None) -> None:
    assert language(text) == said


def test_the_one_row_in_another_language_is_told() -> None:
    english = "Where is the parcel that I have ordered on {n} May, and when will it be here for me?"
    rows = [chat(english.format(n=n), "It is on its way.") for n in range(100)]
    rows[42] = chat("Wo ist das Paket, das ich bestellt habe, und wann wird es bei mir sein, bitte sehr?", "Soon.")
    (finding,) = found(rows, "language")
    assert finding.rows == (43,)
    assert "German" in finding.message


def test_several_languages_are_meant() -> None:
    english = "Where is the parcel that I have ordered on {n} May, and when will it be here for me?"
    german = "Wo ist das Paket, das ich am {n} Mai bestellt habe, und wann wird es bei mir sein, bitte?"
    rows = [chat((german if n % 10 == 0 else english).format(n=n), "Yes.") for n in range(100)]
    assert found(rows, "language") == []


def test_a_length_far_from_the_others_is_told_with_its_figures() -> None:
    rows = [chat(prose(n, 20 + n % 30), "Yes, it is.") for n in range(100)]
    rows[70] = chat(prose(70, 4000), "Yes, it is.")
    (finding,) = found(rows, "length")
    assert finding.rows == (71,)
    assert finding.example.endswith("characters")


def test_lengths_with_a_tail_are_usual() -> None:
    source = random.Random(5)
    rows = [chat(prose(n, max(1, int(source.lognormvariate(3.5, 0.9)))), "Yes.") for n in range(400)]
    assert found(rows, "length") == []
