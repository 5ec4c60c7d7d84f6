"""What stands around the complaint in tickets_heldout.jsonl; none of its phrases stands in `train_extras.py`."""

OPENINGS = """
Good morning,
Good evening,
Hi there!
Greetings,
Dear customer care,
Hello service team,
Good day,
Hiya
Dear ladies and gentlemen,
"""

CONTEXT = {
    "any": """
I'm a regular buyer and generally happy with your shop.
My English is a bit rusty, I apologise.
My grandmother asked me to write this for her.
I typed this on the train, sorry for mistakes.
I could find nothing about it in your FAQ.
""",
    "trouble": """
See the attached picture.
Your chat sent me to this address.
My first mail on this was not answered.
I kept every receipt, just say which one you'd like to see.
For three days I hoped that it would settle without me.
""",
    "billing": """
I looked at my account statement this morning.
I paid on {date} by card.
Our little firm in {city} buys from you quite often.
""",
    "delivery": """
The order was placed on {date}.
{carrier} carries it, the tracking code is {track}.
Our house in {city} has a large sign with our name.
""",
    "returns": """
I purchased it from your website on {date}.
It is unworn and the label hangs on it.
Everything is back in its box and ready to go.
""",
    "account": """
My user name is {email}.
I've had this profile for {n} years.
Same thing on my mobile and my computer.
""",
    "technical": """
All my other apps and pages work well.
A restart and a new installation changed nothing.
My daughter tried it on her own phone, with the same result.
""",
    "other": """
I visited your branch in {city} on {date}.
My whole family shops with you.
A colleague mentioned you at lunch.
""",
}

ASIDES = {
    "billing": """
You have already sent me the invoice I was after, so that is closed.
""",
    "delivery": """
My late parcel from last week has arrived in the meantime, ignore that one.
""",
    "returns": """
The shoes I returned in May were refunded, no need to look at those.
""",
    "account": """
I can sign in again by the way, the password was my own mistake.
""",
    "technical": """
The page also loaded slowly, though this is a minor thing and not my point.
""",
    "other": """
I had wanted to ask about jobs too, but I will do that some other time.
""",
}

DEADLINES = {
    "billing": """
The tax adviser takes our papers on {day}, so I need this before that date.
""",
    "delivery": """
It has to be here before {day}, since our guests arrive then.
We're flying on {day} and it must come along.
""",
    "returns": """
My graduation is on {day}, so I need this done by then.
""",
    "account": """
The sign-up for the course ends on {day}, I can't wait longer.
""",
    "technical": """
I have a presentation on {day} and everything must work by that time.
""",
    "other": """
We have to decide by {day}, so please reply before.
""",
}

THREATS = """
If nothing happens by then I'm gone as a customer.
My lawyer will hear of this if I get no answer.
I'll report this to consumer protection next.
Fix it or I close my account and shop elsewhere.
"""

THANKS = """
Thanks a lot, bye
Thank you so much
With kind regards
All the best
Thanks, much obliged
Have a good weekend
Ta
Warm regards
"""

DEMANDS = """
Please reply soon.
I'm waiting for an answer.
This is unacceptable!
I'm very disappointed.
Do something, please.
Yours sincerely
"""

SIGNATURES = """
Nadia Brandt
Lucas F.
Oona Virtanen, {city}
R. Castellano
Yusuf
Ingrid Holt¶Holt Garden Design
Femi Adeyemi¶femi.a@example.com
Bea
Mobile mail, please excuse typos
Yahoo Mail for iPad
Von meinem Handy gesendet
"""

QUOTES = """
> {date}, service desk:¶> We have got your mail and a colleague will take care of it soon.
> Our agent wrote on {date}:¶> Sorry for the wait. What exactly went wrong?
"""

FORWARDS = """
Begin forwarded message:¶From: {email}¶Date: {date}¶¶
FWD: please read¶Sent by {email}¶¶
"""

FOREIGN = """
Vielen Dank und Gruß
Merci d'avance
Saludos cordiales
"""

ORDER_LINES = """
Order no.: {order}
The number of my order: {order}
It concerns {order}.
Order {order}, if that helps.
My order: {order}
"""

ORDER_INLINE = ("(my order {order})", "(no. {order})", "[{order}]", "(order no: {order})")
ORDER_PAST = """
My most recent order: {order}
I last ordered under {order}.
"""

OTHER_CODES = """
Tracking code: {track}
The invoice is {inv}.
Customer no. {customer}
Case {ticket}
"""

EMOJI = {"high": ["😡", "🤬", "😨"], "normal": ["😟", "🙄", "🙏"], "low": ["😀", "🙂", "💚"]}

PRODUCTS = """
reading lamp
pepper mill
backpack
rice cooker
yoga mat
hiking rucksack
suitcase
camping stove
garden chair
tea pot
wool blanket
"""
DEVICES = "robot vacuum¶espresso machine¶air purifier¶baby camera¶smart speaker¶humidifier"
WEAR = "rain jacket¶parka¶wool jumper¶summer dress¶bathrobe"
FURNITURE = "bookshelf¶wardrobe¶dining table¶armchair¶sofa bed"
CITIES = "Bristol¶Antwerp¶Linz¶Braga¶Uppsala¶Cork¶Nantes¶Utrecht"
CARRIERS = "ParcelJet¶Northpost¶SwiftBox"
MAILBOXES = ["nadia.b", "lucas.f", "oona.v", "r.castellano", "yusuf.e", "ingrid.holt", "femi.a", "bea.w"]
