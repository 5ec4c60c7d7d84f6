"""Core complaints of tickets.jsonl: billing, delivery and returns; `compose.py` says how a line is read."""

BILLING = {
    "high": """
[I was charged twice|You charged me twice|My card was charged two times] for the {product}{o}. [Both payments of
    {amount} have left my account.|The bank shows {amount} two times on {date}.]
[There is a payment of {amount} to your shop on my statement that I never made.|I see {amount} booked by you on
    {date} and I did not buy anything.] [Please give the money back.|I want this reversed at once.]
I cancelled [the order|everything]{o} within ten minutes, [the cancellation was confirmed|you confirmed it by
    mail], and still {amount} was taken from my [card|bank account].
You debited {amount} instead of {amount2}. [The total in the checkout was the lower one.|That is not what the
    checkout page said.] Please [pay back the difference|correct the wrong amount]{o}.
My monthly plan was [stopped|ended] in [January|March|June] but you [keep taking|still take] {amount} from my
    [card|account] every month.
The refund for the [overpayment|double payment] was promised [three weeks ago|on {date}] and nothing has reached my
    bank. {amount} is a lot of money for me{o}.
I paid {amount} by bank transfer on {date} and you now [send me a payment reminder with a late fee|threaten me with
    a collection agency]{o}. [The money left my account weeks ago!|I have the proof of payment here.]
The gift card for {amount} [was emptied|shows zero] although [I have never used it|it still sits in its envelope].
    [So the money is gone?|Who has spent it?]
You have billed [our company|my company] for [{n} units|{n} pieces] of the {product} and we [ordered|received]
    one{o}. The invoice {inv} has to be corrected [before it is due on {day}|now, it is already booked].
[Someone used my card|A stranger has used my credit card] in your shop{o}. The charge is {amount}. [My bank asks
    you to stop the payment.|I have blocked the card, please stop the order.]
My PayPal says completed, your shop says unpaid, and [then I was made to pay again|the second payment went through
    too]{o}. I am {amount} short.
Your tax calculation is wrong: [I was billed VAT twice|VAT was added on top of a gross price]{o}, so I paid
    {amount} too much and want it back.
My accountant closes the quarter on {day}. [Without a proper invoice I lose the VAT refund|Without the invoice we
    cannot claim the tax], so please send it [today|by tomorrow]{o}.
A trial that was [free|said to cost nothing] became a yearly membership for {amount} [without any warning|and
    nobody asked me]. I dispute this charge.
""",
    "normal": """
I [need|would need] an invoice [made out to|in the name of] my company for the {product}{o}. The one in the mail
    shows my private address.
The invoice{o} has the wrong [VAT number|street|company name] on it. Could you issue a corrected copy?
The discount code [SPRING15|WELCOME10|THANKS20] was not [accepted|deducted]{o2} although the mail says it is valid
    until the end of the month.
The voucher from my [birthday|last order] gives the message [already redeemed|not valid for this basket], but I
    have not redeemed it.
My [card|payment] was declined [three times|again and again] yesterday. The bank says [everything is fine on their
    side|they never saw a request]. What now?
Please change the payment method [of my subscription|for my monthly coffee plan] from [credit card|PayPal] to
    direct debit.
I cannot find the invoice [for my purchase of {date}|for {date}] in my mails. [Please send it again as a PDF.|Can
    you send a copy?]
The price of the {product} fell by {amount} [one day|two days] after I bought it{o}. You advertise a price promise,
    so please [refund the difference|apply it].
I [asked for|chose] payment by instalments, the confirmation{o} [says paid in full|shows a single payment]. Please
    [switch it to|set it up as] instalments.
Invoice {inv} lists a {product} [that is not mine|which I did not ask for]. The [sum|total] is right, only the line
    is wrong.
I paid with a gift card and the rest by card. [The receipt shows only one of the two.|The receipt does not list the
    gift card.] [I need a complete receipt.|Can I have one that shows both?]
The bank transfer [came back|was returned] with the note account unknown. Which bank details should I use{o2}?
My employer reimburses the {product} only when the invoice shows the [serial number|date of delivery]. Please add
    it{o}.
The reservation of {amount} on my card has not been released since I [removed|cancelled] one article{o}. When will
    it [disappear|be cleared]?
[Your shop shows my order as unpaid|The order is marked unpaid]{o}, [I did pay by transfer on {date}|the transfer
    was sent on {date}]. Please match the payment.
~invoice missing{o}. [pls send it|please mail it to me]
~[Still no receipt|No receipt so far] for the {amount} I paid{o}.
°Guten Tag, [ich brauche|ich benötige] für den Kauf{o} noch eine Rechnung mit [unserer Umsatzsteuernummer|unserer
    Firmenadresse]. Im Anhang war nur ein Lieferschein.
""",
    "low": """
Do you [accept|take] [Apple Pay|Google Pay|payment on invoice|American Express]? I could not see it on the payment
    page.
Can I pay with two [gift cards|vouchers] at once? [No hurry, I am only planning.|Just wondering before I buy.]
Is the price of the {product} including VAT? [I am buying from Switzerland.|Our club does not pay VAT.]
How long is a gift card valid? I have one over {amount} from [my aunt|Christmas].
Do [students|teachers|members of the fire brigade] get a discount at your shop?
It would be nice if invoices could be [downloaded for a whole year at once|sent as one file per year]. Only a
    suggestion.
When do you usually take the money from the card, [at the order or at dispatch|when I order or when it ships]?
[Could I see|Where do I see] what I spent in your shop [last year|in total]? It is for my own [household
    book|budget].
The new [payment page|invoice layout] is so much [clearer|easier to read]. Well done to whoever built it!
Do you offer [instalments|payment in three parts] for purchases above {amount}? What would the interest be?
Which currency will be [billed|charged] if I order from [Norway|Denmark|Poland]?
[Thank you for the quick refund|Thanks for the refund of {amount}]{o}, the money is already on my account. [Great
    service!|That was fast.]
Will there be [a sale|a voucher] for [Black Friday|the summer] again? I would wait with my {product} then.
""",
}

DELIVERY = {
    "high": """
The {product}{o} is a present for a [wedding|birthday] on {day} and the tracking has not moved since {date}. It
    must be here by then.
We [travel|leave for our holiday] on {day} and the {product} [is still not here|has not even been shipped]{o}.
    [After that nobody can receive it.|I need it for this trip.]
[Express delivery was paid extra|I paid {amount} extra for express], promised for [yesterday|Monday], and the
    parcel{o} has not come. The fee was for nothing.
The parcel{o} is marked as lost by {carrier} and you [refuse a refund|will not send a new one]. I have paid
    {amount} for nothing. [I will go to my lawyer.|My lawyer will write next.]
This is the [third|fourth] time that a delivery [goes wrong|fails]{o}. If the {product} is not here this week I
    cancel everything and shop elsewhere.
The driver threw the box over the gate and it [hit my son|nearly hit my dog|broke a window]. [I want this person
    reported.|That was dangerous.]
A battery in the parcel{o} was [leaking|crushed] and [smells of chemicals|there is acid on the box]. Is it safe to
    touch?
The medicine cooler{o} has been sitting in the depot in {city} for {n} days, my mother needs it for her insulin on
    {day}.
Someone [collected|signed for] my parcel{o} with a false name. The {product} cost {amount} and is gone. [The police
    have the case already.|I have been to the police.]
[You delivered only one of {n} boxes|{n} of the boxes never came]{o} but took the full {amount}. Either they come
    by {day} or I want that money back.
Our office opens on {day} and the chairs{o} must stand there [that morning|before the guests come]. The carrier now
    says [next week|two weeks later].
[You promised Friday, then Monday, then Wednesday.|Every day another date.] I took {n} days off work for this
    sofa{o}. [Deliver now or I cancel and leave a review everywhere.|One more delay and you lose a customer of ten
    years.]
Parcel{o} left in the rain in front of a shop, the {product} worth {amount} is ruined and {carrier} says [not their
    problem|you have to pay]. Who gives me the money back?
~URGENT parcel{o} must arrive before {day}, funeral, [please call the driver|please do something]
""",
    "normal": """
[Where is my parcel?|Where is my order?] The {product}{o} should have been here on {date} [but nothing came|and it
    is not].
The tracking number {track} [shows nothing|is unknown at {carrier}] [since you sent it|for a week now]. Has it
    really been shipped{o2}?
My parcel{o} says delivered, but [there is nothing at the door|I have not got it]. [The neighbours do not have it
    either.|I asked all neighbours.]
[The courier|The driver] left a note that I was not at home. I was at home all day. Please arrange a second
    [attempt|delivery]{o}.
I [typed|gave] the wrong house number. Please change the delivery address to number {n} in {city}{o}.
The box{o} arrived [open|torn open] and [the {product} inside is scratched|one corner of the {product} is dented]
    from the transport.
One thing is missing in the parcel{o}: [the cable|the lid|the screws|the manual]. [The rest is fine.|Everything
    else was there.] Please send it after.
The status of the {product}{o} has been "[in preparation|being packed]" for {n} days. When does it leave your
    warehouse?
Can you hold the shipment{o} until [the {date}|we are back on {date}]? Nobody is at home [before|until then].
The parcel went to a pick-up point in [another town|{city}] and I [have no car|cannot get there]. Please send it
    [to my home|to a nearer one]{o}.
[Only half of the order was in the box.|The second half of my order did not come.] The slip says the rest follows,
    but there is no tracking for it{o}.
The tracking says [returned to sender|going back to the warehouse]. Why? The address [is right|has always worked].
    Please send the {product} again{o}.
My {product}{o} is stuck at customs in {city}. [They want a paper from the sender.|They ask for a declaration of
    contents.] Can you provide it?
{carrier} says the address is incomplete. The flat number is {n}, [please pass it on|tell them please] so that the
    parcel comes{o}.
[You sent two parcels|Two parcels came] with the same content{o}, I only ordered one {product}. [Will the driver
    pick up the second?|Who collects the other one?]
~[where is my parcel??|where is my parcel it was due {date}]
~[no parcel|nothing arrived] again today{o}. when does it come
°Wo bleibt mein Paket{o}? Die Sendungsverfolgung zeigt seit {n} Tagen [nichts Neues|denselben Stand].
°Bonjour, je n'ai toujours pas reçu mon colis{o}. [Le suivi ne bouge plus depuis une semaine.|Le numéro de suivi ne
    fonctionne pas.]
""",
    "low": """
Do you [ship|deliver] to [Iceland|Malta|the Canary Islands|Norway], and what does it cost?
How long does shipping to {city} [normally|usually] take? [I have not ordered yet.|I am only asking before I buy.]
[The driver was so kind|A big thank you to the driver]: he carried the {furniture} up to the fourth floor. Please
    tell him!
Can parcels go to a locker [at the station|near my office]? I would use that next time.
Is it possible to choose [an evening slot|the time of delivery]? [Not urgent, just curious.|A general question.]
Which carrier do you use for [large|heavy] things such as a {furniture}?
My parcel{o} came a day early and well packed. [Happy customer here!|Thanks to the warehouse team.]
Could you use less [plastic|filling paper] in your boxes? The last one was mostly air.
Do I have to be at home for the delivery of a {furniture}, or [may it be left in the garage|can a neighbour sign]?
From which amount is shipping free? [I saw two numbers on your site.|The page for {city} does not say.]
Do you send on Saturdays too? [For my next order it would be good to know.|I am planning ahead.]
Does the tracking page also show the parcel on a map? [A friend told me so.|I could not find it.]
""",
}

RETURNS = {
    "high": """
I returned the {product}{o} [five|six|seven] weeks ago, you confirmed receipt, and there is no refund. I am out of
    {amount}.
You refunded only {amount2} of {amount} for the {product} I sent back{o}. [Nobody explained why.|It was unused and
    complete.] [I want the rest.|The rest is missing.]
The {wear} is for a [wedding|ceremony] on {day} and you sent the wrong size{o}. I need the right one [before
    that|until then].
The {device}{o} gave my [daughter|husband] an electric shock when it was plugged in. I want to send it back and get
    my money.
[The return period ends on {day}|My last day to return is {day}] and your return page gives an error, so I cannot
    [print the label|register the {product}]{o}.
You refuse my return of the {product}{o} although [it is within 14 days|the law gives me 14 days]. [My consumer
    association will take this up.|I will take legal steps.]
The replacement {device}{o} is broken as well, like the first. [Second time I paid for something that cannot be
    used.|I paid {amount} and have had nothing that works for a month.] Refund now please.
The {device} does not switch on at all, brand new{o}. I work with it every day and [cannot use what I paid for|can
    do nothing without it]. Replace it.
The returned parcel {track} was [lost on the way to you|lost by your carrier] and you say I get no money. That is
    {amount} lost for me{o}.
The return was booked to [a card I no longer have|a stranger's account] so my {amount} went to nowhere{o}. Please
    pay it to my bank.
My {product} has been in repair since [spring|February]{o}. [I have paid for a thing I do not own.|All that time I
    had nothing.] A last chance until {day}, then I go to court.
The heel of the new boots{o} came off [on the stairs and I fell|while walking and I hurt my ankle]. Take it back
    and tell me who is responsible.
You kept {amount} for [cleaning|restocking] although the page says free returns{o}. That deduction is not allowed,
    pay it back.
~REFUND!! returned {product} on {date}{o} [still no money|where is my {amount}]
""",
    "normal": """
The {wear} is too [small|large|tight]{o}. I would like to exchange it for [one size up|one size down|a size M].
I want to send the {product}{o} back. [How do I get a return label?|Where is the return label? There was none in
    the box.]
You sent me the wrong [colour|model] of the {product}{o}: [black instead of green|blue instead of grey|the old one
    instead of the new]. Please exchange it.
The zip of my {wear} [broke|is stuck] after [two weeks|one month]{o}. I think this is a case for the warranty.
I have [changed my mind|found another one] and wish to return the unopened {product}{o}.
The return label [cannot be scanned|is blurred] and the post office did not take the parcel{o}. Can I have a new
    one?
I lost the original carton of the {product}. [How can I send it back now?|In what box shall I return it{o2}?]
The {device} makes a [grinding|whistling] noise since last week{o}. It still works, but I would like to have it
    repaired or replaced.
I sent the {product} back on {date}{o}. [Did it arrive?|Has it reached you?] The return page still shows open.
[Please book a pick-up|Can somebody collect] the {furniture}{o}, it is too heavy to carry to the post office and I
    want to return it.
The colour of the {wear} [looks nothing like the photo|is quite different from the picture]. I would rather have
    [store credit|a voucher] than an exchange{o}.
I put the wrong item into the return box: your {product} is still here and my own one is with you{o}. [Please
    help!|How do we swap?]
A leg of the {furniture} [came off|broke off]{o} after three months. Is a spare part covered by the guarantee?
I have [two returns|two things] but only one label. May both go in one parcel{o}?
I got a {product} as a present and have it double now. I want to exchange it [for something else|for store
    credit]{o}.
The refund came as store credit, I had asked for [my card|money back to PayPal]{o}. Please change that.
~[wrong size|too small], want to swap{o}
~[return label pls|need a return label]{o}, the {product} is not for me
°Hallo, die {wear_de} passt leider nicht{o}. [Ich möchte sie umtauschen.|Wie bekomme ich ein Rücksendeetikett?]
    Danke
°Quisiera devolver el artículo{o} porque [no es de mi talla|el color no me gusta]. [¿Cómo consigo la etiqueta?|¿Me
    mandan una etiqueta de devolución?]
""",
    "low": """
How many days do I have to return something bought [in a sale|with a discount]?
Is the return free from [Austria|Ireland|Finland]? [I am thinking about ordering two sizes.|I have not bought
    anything yet.]
Can a {wear} be exchanged in your store in {city} [as well|too]? Just asking.
[Does the guarantee cover|Would the guarantee cover] scratches on a {product}? Mine is fine, I only wonder.
The exchange of my {wear} was [wonderfully easy|so simple]{o}. Thank you all.
What do you do with returned clothes? I read that some shops [burn|destroy] them.
May I try the {device} for a few days and still send it back? [I am undecided.|I would like to know before I order.]
Do you take back old [batteries|electrical devices|mattresses] when you bring a new one?
For how long is there a warranty on the {product}? [The page does not say.|I can't see it in the shop.]
It would be great to have a box that can be [used again for the return|closed again]. An idea for you!
Could you put a size chart [with centimetres|in centimetres] next to the {wear}? Then I would return less.
Do refunds go back to a gift card when I paid with one? [I ask in general.|A question for later.]
""",
}
