"""What stands around the complaint in tickets.jsonl: openings, context, asides, closings, noise; `compose.py` puts it together."""

OPENINGS = """
Hi,
Hello,
Hey,
Hi team,
Dear support team,
Dear Sir or Madam,
To whom it may concern,
Hello again,
Hello customer service,
Hi folks,
Dear all,
Hey guys 👋
"""

CONTEXT = {
    "any": """
I have been a customer since [2016|2018|2019|2021] and [never had any trouble|was always content] so far.
I hope that I am right here with this.
Sorry for my English, it is not my first language.
I am writing for my [mother|father-in-law|neighbour], who does not use e-mail.
A friend from {city} told me about your shop.
My husband says I should just ask you.
I looked through your help pages first.
I am writing from my phone, so please excuse the short style.
""",
    "trouble": """
A photo is attached.
I have made a screenshot, tell me if you want it.
I already wrote through the contact form, so this is my second message.
I tried the chat, it could not help me.
I have all the mails and papers here and can send copies of each of them.
I waited a few days before writing, because I hoped it would sort itself out.
""",
    "billing": """
I have checked the bank statement line by line.
The payment was made on {date}, with [PayPal|a debit card|a credit card].
I keep the books for a small [workshop|bakery|dance school] in {city}.
I compared the mail from you with what the bank says.
""",
    "delivery": """
I ordered it on {date} and got the shipping mail {n} days later.
The carrier is {carrier}, tracking number {track}.
We live at the end of a small road near {city}, the house is easy to find.
I rang {carrier}, they told me to ask the sender.
""",
    "returns": """
I bought it on {date} in your online shop.
I have only tried it once, and all the tags are still on.
It is packed up again and stands next to my door.
The other things from the same box are lovely.
""",
    "account": """
My login is {email}.
I registered on {date}, I think.
I tried it on the phone and on the laptop.
The profile page shows my name and nothing else.
""",
    "technical": """
I use a [two-year-old phone|new laptop|tablet] and everything else runs on it.
I restarted, I reinstalled, I waited a day.
My nephew, who knows about computers, had a look too.
It happens at home and also in the office.
""",
    "other": """
I was in your store in {city} on {date}.
I read about you in a magazine.
I like to shop with you because the things last.
We are a family of {n} and buy a lot from you.
""",
}

ASIDES = {
    "billing": """
By the way, I also once had a wrong invoice, but that was corrected long ago.
The voucher that I asked about last week works now, so forget that.
""",
    "delivery": """
The parcel that I was missing has turned up at my neighbour's, so that part is solved.
The other shipment came late as well, but it is here now and I don't need anything for it.
""",
    "returns": """
I also sent back a scarf in spring; the refund for that came, thank you.
The exchange that we talked about on the phone is done, this is about something else.
""",
    "account": """
My password problem from last month has been solved, this is a new matter.
I also could not log in on Sunday, that works again, so don't worry about it.
""",
    "technical": """
Your website was slow as well when I looked it up, but that is not why I write.
The app crashed once while I typed this. Never mind, I restarted it.
""",
    "other": """
Also your hold music is rather loud, but that is not my question.
I wanted to praise your store in {city} too, another time.
""",
}

DEADLINES = {
    "billing": """
I must [hand in|submit] my expenses by {day}, so this has to be settled before.
Our books are closed on {day}, [later is too late|after that it is too late].
""",
    "delivery": """
I need it by {day} at the latest, [it is for my daughter's wedding|it is for a funeral|we fly that evening].
The party is on {day}, [after that it is of no use|later it is no use to me].
""",
    "returns": """
I need the right one by {day}, [my interview is that morning|the ceremony is that day|we go on holiday that day].
[We leave for a long trip on {day}|I fly abroad on {day}], so it has to be sorted before that.
""",
    "account": """
I have to get this done by {day}, [the registration closes then|the offer ends then].
There is a deadline on {day} and without it I lose my place.
""",
    "technical": """
I give a talk on {day} and [need this running|it must work] before then.
It has to work by {day}, our event [begins|starts] that evening.
""",
    "other": """
I need an answer by {day}, then the [time limit|deadline] of our council runs out.
This must be done before {day}, [it goes to print that night|the printer starts that day].
""",
}

THREATS = """
If I don't get an answer this week I will [go to my lawyer|take legal steps].
One more excuse and you have lost me as a customer.
Otherwise I [cancel everything|close my account] and buy elsewhere.
My next letter goes to the consumer protection office.
I am this close to leaving you for good.
[I'm done with your shop|I am fed up and will change the shop] unless this is fixed.
"""

THANKS = """
Thanks!
Thank you
Many thanks in advance.
Thanks for your help
Best regards
Kind regards
Cheers
Have a nice day
Looking forward to your reply.
thx
"""

DEMANDS = """
Please answer quickly.
I expect a reply.
This can't be true!!
I am really angry.
What are you going to do about it?
Regards
Best regards
Sort this out please.
"""

SIGNATURES = """
Mara Lindqvist
Jonas Okafor
Priya R.
T. Baumgartner
Elif
Henrik Solberg, {city}
Carla Moreau¶Moreau & Fils Bakery
Dee
Anton Petrov¶anton.petrov@example.com
Sofia
Gwen Abara¶Bright Steps Dance School, {city}
M. Tanaka
Sent from my iPhone
Sent from my iPhone
Sent from my Galaxy
Get Outlook for Android
"""

QUOTES = """
> On {date}, Customer Care wrote:¶> Thank you for your message. We are looking into it¶> and will come back to you
    within 48 hours.
> From: service@shop.example.com¶> Your request was received. Please do not reply to this mail.
-----Original message-----¶Dear customer, we are sorry to hear that. Could you describe the matter once more?
> {date}, Tilda (support):¶> Could you tell us more, please? We will gladly help.
"""

FORWARDS = """
---------- Forwarded message ---------¶From: {email}¶Date: {date}¶Subject: my message to you¶¶
Fwd: your shop¶From: {email}¶Sent: {date}¶¶
FW: question to support¶¶
"""

FOREIGN = """
Danke im Voraus!
Merci beaucoup
Viele Grüße aus {city}
Gracias
Met vriendelijke groet
"""

ORDER_LINES = """
Order number {order}.
Order: {order}
My order number is {order}.
It is about order {order}.
order no {order}
Ref. {order}
The order was {order}.
"""

ORDER_INLINE = ("(order {order})", "({order})", "(order number {order})", "(order no. {order})")
ORDER_PAST = """
My last order was {order}, in case you need it.
You will find me under order {order}.
For your records: {order}
"""

OTHER_CODES = """
The tracking number is {track}.
Invoice {inv}.
My customer number is {customer}.
Your ticket number was {ticket}.
"""

EMOJI = {"high": ["😡", "😤", "😠", "😱"], "normal": ["🤔", "😕", "🙏", "📦"], "low": ["😊", "🙂", "👍", "❤️"]}

PRODUCTS = """
desk lamp
coffee grinder
backpack
bread maker
yoga mat
headset
suitcase
camping stove
bike helmet
tea kettle
wool blanket
wall clock
frying pan
garden hose
"""
DEVICES = "robot vacuum¶coffee machine¶air purifier¶smart speaker¶bathroom scale¶projector¶desk fan"
WEAR = "rain jacket¶winter coat¶wool cardigan¶ski jacket¶linen dress¶fleece jumper"
FURNITURE = "desk¶wardrobe¶garden bench¶bedside table¶sofa bed¶sideboard"
CITIES = "Leeds¶Ghent¶Graz¶Porto¶Malmö¶Galway¶Lyon¶Bremen¶Turin¶Utrecht"
CARRIERS = "ParcelJet¶Northpost¶QuickVan"
MAILBOXES = ["m.lindqvist", "jonas.o", "priya.reads", "elif.k", "henrik.s", "carla.moreau", "anton.petrov", "gwen.a"]
