"""The pairs of preferences_heldout.jsonl, written apart from `train_pairs.py`: a ticket, the reply to prefer, lesser replies."""

PAIRS = """
? There are two debits of {amount} for [one and the same purchase|a single purchase], {order}. [Why?|Please
    explain.]
+ One of them was our error, my apologies. The surplus {amount} for {order} is being refunded, so please [look at
    your statement|check your bank] on {day}.
- Two debits are often just one debit, banks do funny things.
- Have you bought two maybe?

? My tax adviser [wants|asks for] an invoice with our VAT ID, {order}.
+ With pleasure: type the VAT ID into your answer and I'll issue a new invoice for {order} [this morning|before
    five].
- Next time, think about that while ordering.
- Every customer wants something else on the invoice, it never ends, and our printer is old as well.

? My newest voucher [doesn't work|gives an error].
+ Pardon the hassle. Which code is it? Once you [mail it to me|send it], I replace the voucher with a new one worth
    {amount}.
- Vouchers have rules.
- We shower you with vouchers, take as many as you please!

? You charged [{amount}|me {amount}] after the end of my subscription.
+ You did end it in time, so that charge was wrong. I've reversed the {amount}; your bank needs roughly {n} days,
    [and no more will follow|and the plan is closed].
- Subscriptions renew, that's known.
- Interesting. Someone might look at it at some point.

? Why was my [card|credit card] refused? I'd like to buy the {product}.
+ Your bank asked for a code that was not typed in. Please [pay once more|retry] with its app open; if that fails,
    I can mail you a payment link for the {product}.
- Ask your bank.
- Maybe there's no money on it?

? Has {order} left your warehouse? I am [waiting for it|still waiting] since {date}.
+ Yes, it left last night, with apologies for the delay. {carrier} brings it on {day}; [follow it with|its code is]
    {track}.
- Patience, please.
- It's very probably somewhere between us and you, where parcels usually are.

? My parcel lies in a pick-up shop [across town|far away]. I chose home delivery! {order}
+ That isn't what you booked, excuse us. {carrier} will bring {order} to your door on {day}; [answer here|drop me a
    line] should another day be better.
- A walk is healthy.
- Pick-up shops are handy for everybody, which is why we love them.

? The {product} reached me [with a crack|broken]. {order}
+ What a pity, my apologies. Mail me a picture of the crack, and a fresh {product} goes out [the same afternoon|at
    once]; [throw the old one away|no need to return the old one].
- Glass and such things break.
- Was it really us, or was it you?

? Our party is on {day}. [Can the {furniture} be here by then?|Will the {furniture} come before it?] {order}
+ It can: {carrier} has a free slot one day earlier. Please accept it through the link in your mail, [then {order}
    is fixed|and {order} is set].
- Parties can be moved.
- Absolutely, cross my heart, we have never been late in our lives!

? Two boxes [were announced|should come], just one came. {order}
+ The second box travels separately and is due on {day}. Its tracking code is {track}; [ping me|let me know] if it
    doesn't turn up.
- One is better than none.
- Count again.

? These [boots|shoes] don't fit. I'd like a bigger pair. {order}
+ No problem at all. A bigger pair is set aside, the return label waits in your inbox, and we [swap them|post the
    pair] once the old ones are [on their way|scanned].
- Feet swell, try in the evening.
- Shoes and feet are a science of their own, and my uncle was a shoemaker, so I could go on and on here.

? When do I get the money for [my return|the {product} I returned]? {order}
+ Your return was inspected this morning, all fine. {amount} is on its way to your card and [should show
    up|arrives] by {day}.
- When it is done.
- In one second, look now, or now, or now!

? [I need|Please send me] a return label for the {product}. {order}
+ It's attached to this mail as a QR code. Show it in any post office until {date}, [they print it|and they print
    it] for you.
- Find it yourself under help.
- Many don't read the leaflet in the box.

? After one wash [the seam of my {wear} came undone|my {wear} lost its seam]. {order}
+ One wash shouldn't do that, apologies. The guarantee covers it: would you like [a new {wear}|the same {wear}
    anew] or {amount} back?
- Did you wash it too hot?
- Handwash only, always.

? The {device} [rattles|hums loudly]. Is this a matter for the warranty? {order}
+ It is, you have two years. Record the noise for some seconds and mail me the clip; the workshop then [picks
    up|collects] your {device} on {day}.
- Use earplugs.
- Machines make sounds, otherwise nobody would know they're running.

? [Can't sign in|Signing in fails] since {date}. It says my password is wrong.
+ Let's sort that out: your account was on hold after too many attempts, and I've opened it. Choose a new password
    [through the link|with the link] sent to {email}.
- Then the password is wrong.
- Passwords will soon be a thing of the past, experts say.

? [A stranger|Somebody] bought things with my account!
+ I've stopped these purchases and shut all sessions. Please set a new password with the mail to {email}, then [I
    go through|we look at] the last orders with you.
- Strange. Are you certain you didn't forget buying them?
- You'll get everything back plus a thousand points and a holiday!

? My surname [has changed|is a new one]. How do I edit my profile?
+ Congratulations, if it was a wedding! Tell me the new name as well as your customer number, and your profile will
    be right [by tonight|within the day].
- The field is locked for a reason.
- Names are not so important for us.

? Which data do you [store|keep] about me?
+ You have a right to know. Press "Export" under "Privacy", and a file with all of it goes to {email} within [{n}
    hours|{n} days].
- Nothing special.
- Data is the oil of our century, as they say, and everyone has some.

? Since the update your app [closes|shuts down] at once.
+ Thanks for the report, and apologies. Remove the app, restart the phone and install it again; [does it still
    close?|still no luck?] Then tell me which Android or iOS you have.
- Just don't update.
- Users often tap in the wrong place.

? The activation key from {order} is [rejected|invalid].
+ That key had expired before we mailed it, our fault. Your new key is in the mail to {email}; [type it in|enter
    it] without spaces, and all is set.
- Keys can't be exchanged.
- It's going to work with the next moon!

? How do I [pair|connect] the {device} with my phone?
+ Switch on Bluetooth, press the round button of the {device} until it flashes, then pick it in the app. [Step {n}
    of the guide|Page {n} of the booklet] has pictures, and I'm here if it gets stuck.
- Like any other device.
- Ask a young person.

? Your page is [awfully slow|very slow] and I can't order.
+ Our servers were overloaded till one o'clock, apologies. It's quick again, so kindly give it another go, or
    [dictate|name] your articles to me and I'll enter them.
- Slow is relative.
- Get faster internet.

? Will the {wear} [come in green|be made in green]?
+ Green arrives in [autumn|early spring]. Put the {wear} on your wish list, and a message tells you on the very
    first day.
- Green is out.
- It'll come in every colour there is and in some there are not!

? Is your shop in {city} [open on Sundays|open this Sunday]?
+ It opens on the first Sunday of each month, from noon to five. [For your visit|That being so], the next date is
    {date}; shall I hold something for you at the till?
- Normally not, sometimes yes.
- Sundays are for resting.

? A clerk in {city} [was rude to me|insulted me]. I want to complain.
+ That should not have happened, and I apologise. Tell me roughly [what was said and when|the hour and what was
    said], and the manager in {city} rings you before {day}.
- There are two sides to each story.
- Fine, complaint noted.

? Would you make an offer for {n}0 [{product} sets|pieces of the {product}]?
+ We'd love to. Please name the delivery town and the date you have in mind, then your offer with [ten|twelve]
    percent off is with you on {day}.
- Prices are online.
- For you it's all half price, no, a quarter, let's be friends!
"""

ADDED = """
More is not possible from here.
We have plenty of other mails to answer.
No one else complains about it.
I wouldn't know what else to tell you.
Kindly don't blame us for that.
Perhaps it solves itself.
"""
