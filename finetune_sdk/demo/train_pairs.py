"""The pairs of preferences.jsonl: a ticket (`?`), the reply to prefer (`+`), and replies that fall short of it (`-`)."""

PAIRS = """
? [My card was charged twice for the {product}.|You took the money for the {product} two times.] Order {order},
    {amount} each time.
+ [I am sorry about the double charge for {order}.|Sorry that {order} was charged twice.] I have sent {amount} back
    to your card [today|just now]; your bank shows it in three to five days.
- That happens sometimes. Check your statement again in a few weeks.
- Oh no, double charges are really annoying, I had one myself at a hotel once and it took ages, so I know how it
    feels, and banks are always so slow, aren't they?
- You probably clicked the button twice. Please be more careful next time.

? [I need an invoice in the name of my company.|The invoice must carry my company's name.] The order is {order}.
+ [Gladly!|Of course.] Please reply with the company name and the VAT number, and you get the new invoice for
    {order} as a PDF within [an hour|one working day].
- Invoices are in your account.
- You should have typed in the company name at the start. We can't clean up after everybody.
- We will certainly do anything you like, every invoice for ever, in any name, guaranteed!

? My discount code [SPRING15|WELCOME10] was [not accepted|refused]. What is wrong with it?
+ [Sorry that the code failed.|Sorry for the trouble with the code.] It needs a basket of at least {amount};
    [please try again with that sum|add one more article], or send me the basket and I will take the discount off
    by hand.
- The code works for everyone else.
- Codes are a complicated matter with many rules, which depend on the season, the goods, the country and several
    other things that I can't list here.
- No idea, sorry.

? [Can I pay on invoice?|Is payment on invoice possible?] I could not find it in the checkout for my {product}.
+ Yes, you can: [payment on invoice appears|you will see it] in the last step once a delivery address in your own
    country is entered. [Please tell me if it is still missing.|Write to me if it doesn't show up.]
- It is on the page, just look.
- Sure, pay whenever you want, next year is fine too!
- There are many ways to pay, and each of them has good and bad sides, as you know.

? I cancelled {order} [on {date}|the same day] and still [{amount} was debited|paid {amount}].
+ [You are right, {order} was cancelled in time.|I see your cancellation of {order}, thank you for waiting.] The
    {amount} goes back to you today, and a confirmation follows [by mail|this afternoon].
- Cancelled orders aren't charged, so this cannot be.
- We'll look into it.
- I promise that you will have the money in five minutes and a free {product} on top!

? You send me a [reminder|late fee] for {order}, but I [paid by transfer|paid] on {date}.
+ [I am sorry for the reminder.|Please excuse that letter.] Could you send me [a copy of the transfer|the proof of
    your transfer]? I have stopped the fee on {order} until it is matched.
- Pay and the reminders will stop.
- Our system is always right about these things.
- Reminders go out by themselves, nobody here writes them, and I could tell you a long story about how that system
    came to us.

? The {product} is {amount} cheaper [today|now], and I bought mine {n} days ago. {order}
+ Thank you for asking. [Our price promise covers 14 days|You are within our 14-day price promise], so I have noted
    the {amount} for {order}; choose [refund or voucher|card or voucher] and I send it today.
- Prices change. That's life.
- You should have waited then.
- Prices depend on supply, demand, storage, exchange rates and the season, so nobody can say when to buy.

? My gift card [shows no balance|is empty], and I [never used it|have not touched it].
+ That must be [an unpleasant surprise|a nasty surprise]. Please send me the last four digits of the card and [a
    photo of the receipt|its date of purchase], and I will trace where the {amount} went [today|by tomorrow noon].
- Then somebody else used it, not our problem.
- Gift cards are like cash.
- Don't worry, all will be fine!

? [Where is my {product}?|When does my {product} come?] Order {order} should have been here on {date}.
+ [I am sorry for the wait.|Sorry that {order} is late.] {carrier} has your parcel in {city} and delivers it on
    {day}; [I will check that evening|I will write to you then] that it has arrived.
- It is on its way.
- Please use the tracking before you write to us.
- It will be there tomorrow at nine sharp, I swear, or you get everything free!

? The tracking of {order} [has not moved|shows nothing new] for {n} days.
+ Thank you for telling me. I have opened a search for {order} with {carrier}; [you hear from me by {day}|I report
    back on {day}], and if it's lost I send a new {product} at once.
- Wait some more.
- {carrier} is to blame, call them.
- Tracking is only an estimate, and there are scanners, trucks, depots, and people on holiday, so many things may
    play a part in it.

? {carrier} says delivered, but [there is no parcel|I got nothing]. {order}
+ I'm sorry, that is worrying. Please [look with your neighbours|ask next door] once more; if {order} isn't found
    by {day}, just reply "missing" and I will [send a new one|refund it].
- If it says delivered it was delivered.
- Someone has stolen it, call the police.
- We never lose parcels, so think again where you have put it.

? I [moved|have moved] last week. Can {order} still go to my new address in {city}?
+ Yes, {order} has not left us yet. Please [send|reply with] the full new address before four o'clock today, and I
    will [change it|correct the label] and confirm.
- You need to update your address in time.
- Addresses can't be changed by us, or maybe they can, it depends, I would have to ask someone.
- Done!

? The {furniture} [came with a dented corner|has a scratch from the transport]. {order}
+ I'm sorry that the {furniture} was damaged. Please send one photo of [the spot|the damage] and one of the box,
    and you can choose between [a new part|a new one] and {amount} off.
- Small marks are normal with furniture.
- Did you perhaps bump it yourself when unpacking?
- We are so, so, so terribly sorry, we can't say how sorry all of us are, this should never ever have happened to
    such a dear customer!

? I need the {product} before {day}, [it is a wedding present|it is for a birthday]. Will {order} make it?
+ [What a nice present!|I see why it matters.] {order} is packed, so I have moved it to express at no cost: it
    arrives [the day before|in time], and I'll send the tracking tonight.
- We give no guarantee for dates.
- You ordered too late for that.
- Of course, one hundred percent sure, nothing can ever go wrong!

? [One thing is missing in my parcel|My parcel was not complete]: the [cable|lid|manual]. {order}
+ Sorry for the incomplete parcel. The missing part for {order} leaves our warehouse today and [needs no return
    from you|comes by letter post]; you get it in about [two|three] days.
- Look in the box again.
- Our packers check everything, so it was surely inside.
- Missing parts are reported to the warehouse, which tells the packing team, which holds a meeting about that every
    month.

? Do you [deliver|ship] to [Iceland|Malta|Norway], and what does it cost?
+ Yes, we do. Shipping there is {amount} and takes [six to nine|five to eight] working days; [put your {product} in
    the basket|enter your address in the basket] and you see the exact price before you pay.
- See our shipping page.
- Maybe. It depends on a lot of things.
- Anywhere in the world, always free, always by tomorrow!

? The driver never rang, [I was at home all day|I waited all day]. {order}
+ I'm sorry that you waited for nothing. I have booked a new attempt for {order} on {day} [between nine and noon|in
    the afternoon] and asked the driver to ring; [does that suit you?|please tell me if it does not suit.]
- Drivers always ring.
- You have to wait near the door.
- Yes, drivers, what can I say, everyone complains about them, and we do too, it's a hard job and they have to
    hurry so much.

? The {wear} is too [small|big]. [Can I exchange it?|I'd like another size.] {order}
+ Of course. I've reserved the {wear} in the next size and [mailed you a return label|put a return label in your
    account]; the new one leaves [the same day|as soon as] your parcel is scanned.
- Read the size chart.
- Exchange is not my department.
- You may exchange anything as often as you like for the rest of your life!

? [I sent the {product} back on {date}|My return arrived on {date}] and got no refund. {order}
+ Thank you for your patience. Your return for {order} is here, [I have released {amount}|the {amount} went out]
    today, and it will be on your account by {day}.
- Refunds take time.
- Are you sure that you really sent it?
- Refunds are handled by finance, finance is in another building, and I rarely see them, but I will surely ask when
    I do.

? [The return label is missing.|There was no return label in the box.] How do I send back the {product}? {order}
+ Here is the easy way: open "My orders", tap {order} and then "Return", and [the label comes by mail|a label is
    made for you]. [No printer? The shop in {city} scans the code.|Without a printer, the code on your phone will
    do.]
- Labels are in the account.
- Everyone else finds it.
- Just keep it, no, send it, well, whatever suits you best!

? You sent me [the wrong colour|a wrong model]: order {order}, {product}.
+ I'm sorry for our mistake. The right {product} ships today, and [the driver takes the wrong one with him|you can
    hand the wrong one to the driver]; you [need not|don't have to] pack or pay anything.
- Colours look different on every screen.
- Then return it and order again.
- Mistakes are human, and our warehouse people work hard, often at night, so let's all show a bit of understanding.

? The {device} [does not switch on|is dead], and it is brand new. {order}
+ That's not how a new {device} should start. Please [hold the button for ten seconds|try another socket]; if it
    stays dark, reply "replace" and [a new one ships today|I send a new one today].
- Have you plugged it in?
- Electronics can fail.
- You'll get three new ones and your money back by tonight!

? [May I return a {product} from the sale?|Can sale items be returned?]
+ Yes, sale items can go back within 14 days, unused and with the tags. Start under "My orders", and [the label is
    free|we pay for the label].
- It's in the terms.
- No. Yes. It depends who you ask.
- When people buy in a sale they should think first.

? The zip of my {wear} broke after [three weeks|a month]. {order}
+ I'm sorry, a zip has to last longer. It is covered by the warranty: send me a photo, and you choose [repair or
    exchange|between repair and a new {wear}] for {order}.
- Zips are wear and tear.
- You must have pulled too hard.
- Interesting, thank you for this information.

? I lost the [carton|original box] of the {product}. Can I still return it?
+ Yes, any sturdy box will do. Please wrap the {product} well, stick on the label from "My orders", and [hand it in
    at any post office|drop it at a pick-up shop].
- You need the carton.
- That was careless.
- Boxes come in many sizes, small ones, large ones, and the right one is always hard to find, I know that from my
    last move.

? [I forgot my password|My password is lost] and [no reset mail comes|the reset mail never comes].
+ Sorry about that. I have sent a fresh link to {email}; it works for one hour. [If it isn't in the spam folder,
    tell me|Nothing there? Tell me] and I'll set it up by hand.
- Try again later.
- Write your passwords down and such things won't happen.
- I have set your password to 12345 for you, problem solved for ever!

? Someone [changed the e-mail address of|logged in to] my account! [It wasn't me.|I didn't do this.]
+ I have locked the account at once, so [nothing more can be ordered|nobody can use it]. Please reply from your old
    address with {order}, and we will set a new login together today.
- Are you sure it was not your family?
- Hackers are everywhere these days, I read an article about it, it was really scary, and nobody is safe from them.
- You should choose better passwords.

? Please [delete|close] my account and all my data.
+ We will do that. Please [confirm with the link|click the link] that I just sent to {email}; the account is then
    erased within {n} days, and only invoices are kept, [as the law asks|because the law requires it].
- Why would you want that?
- It's in the settings somewhere.
- Done, all deleted everywhere, even from the backups and from our minds!

? My bonus points for {order} [are missing|did not arrive].
+ Thanks for the hint. I have added the points for {order} by hand; [please reload your profile|they show after you
    reload the profile], and tell me if the number is still wrong.
- Points take time.
- Points are just a gift, so nobody can demand them.
- Points are counted on the first of the month, or the last, I mix that up, in any case there is a rule.

? I want to change my e-mail address to {email}.
+ Happy to help. Open "Profile", then "Login", and type {email}; [a mail with a code follows|we then send you a
    code], and once you enter it the new address counts.
- You can do that yourself.
- Why do people change addresses all the time?
- Sure, tell me your password and I'll do it for you!

? How long do my [bonus points|points] last?
+ They last [two years|24 months] from the day of the purchase. The exact date stands [beside each entry|next to
    every entry] under "My points", and we send a reminder [four weeks|a month] before.
- Long enough.
- See the terms, section {n}.
- For ever and ever, I think, at least nobody has complained so far!

? Your newsletter keeps coming, I [unsubscribed|signed off] [twice|three times].
+ I'm sorry for those mails. I've taken {email} off the list by hand; one that is already under way may still come
    [until {day}|this week], after that it is quiet.
- Use the link at the bottom.
- Most people like our newsletter.
- We'll forward this to marketing, they will talk to the agency, and the agency to its technicians.

? The app crashes [whenever I open the basket|when I tap on the basket].
+ Sorry for the trouble. Please [install version 4.{n}|update to version 4.{n}], which cures this crash; if it
    happens again, send me your phone model and I'll hand it to the developers today.
- Buy a new phone.
- It works on mine.
- Apps, you know, are made of many thousands of lines, and one of them can always be wrong, which is fascinating.

? I paid {amount} for an e-book and [it does not open|can't open it]. {order}
+ You should be reading by now, sorry. Please download {order} again from "My library", I have renewed the licence;
    [if it still fails|should it fail], I refund the {amount} today.
- E-books can't be refunded.
- You need to use the right program.
- It will work soon, I am totally sure of that!

? The {device} [won't connect to|does not find] my wifi.
+ [Let's get it online.|We can fix that.] The {device} needs the 2.4 GHz network: choose that one in the app, hold
    the button until it blinks, and [tell me what the light does|write to me if it keeps blinking].
- Read the manual.
- Your wifi is bad.
- Wifi depends on walls, neighbours, microwaves and weather, so it is hard to say anything about it from here.

? [Your website shows error 500.|I only get error 500 on your site.] Is it down?
+ Yes, we had a fault [this morning|until noon], sorry. It is repaired: please reload the page, and if the error
    stays, [send me the time and your browser|tell me which page it was].
- Works here.
- Please don't write to us about each small error.
- It will never happen again, we can promise you that!

? The checkout button [does nothing|is grey] and I want to order a {product}.
+ Sorry for that. Mostly a tick at the terms is missing; if it's set, [please try a private window|empty the
    browser's cache], or send me your basket and I'll place the order for you.
- Try another computer.
- Then you can't order, sorry.
- We have the best checkout in the whole trade, it even won a prize, and our designers are proud of it.

? Is there a dark mode [in the app|on your website]?
+ Not yet, but it's [planned for the next version|on our list for summer]. I've added your vote; [under "News" you
    see|watch "News" in the app for] when it arrives.
- No.
- Dark mode is bad for your eyes anyway.
- Yes, tomorrow, and also a pink one, and one with stars!

? The firmware of my {device} hangs at {n}0 percent.
+ Please leave the {device} plugged in, hold the reset button for [fifteen|twenty] seconds, and start the update
    again near the router. [Still stuck? Send me|If it hangs again, send me] the serial number.
- Restart it.
- You must not touch it during an update, did you?
- Firmware is a kind of software that sits inside devices, and it came up in the nineteen-sixties.

? [When is the {product} back in stock?|Will you get the {product} again?]
+ We expect it [around {date}|on {date}]. Tap "Tell me" on its page and you get a mail that morning; [I can also
    reserve one for you|or shall I reserve one?]
- No idea.
- You should have bought it when it was there.
- Very, very soon, keep looking every day!

? Your colleague [on the hotline|in {city}] was so [kind|patient]. Please tell her thank you!
+ [How nice of you to write!|Thank you, that is lovely to read.] I'll pass it on to her and her team lead today; if
    you recall [the day of your call|the date], I can make sure it reaches the right person.
- OK.
- That's her job.
- All of us here are always kind, we are the kindest shop there is, as everybody who knows us would tell you!

? Nobody answers [my message of {date}|my mails]. Is anyone there?
+ I am sorry for the silence, your message from {date} was [overlooked|not assigned]. I have it in front of me and
    answer the question [by noon|today]; you can reply straight to me.
- We are busy.
- Please do not write several times, this makes it slower.
- Yes, someone is here, hello, how are you today?

? I waited [forty|fifty] minutes on the hotline, then I was [cut off|thrown out].
+ That must have been tiring, I'm sorry. Please tell me a [number|phone number] and a time that suits, and I will
    call you [myself|back myself], so you don't wait again.
- Call early in the morning.
- Other people wait too.
- We plan to hire a hundred new colleagues by Monday, then nobody will ever wait!

? The plug of my {device} [melted|got very hot]. Is that dangerous?
+ Please unplug it and don't use it any more. Send me the serial number and a photo; [a free pick-up comes on
    {day}|we collect it on {day}], our safety team calls you, and you get your money back.
- A little warmth is normal.
- You have surely used a bad socket.
- Just keep an eye on it for now.

? Do you have jobs [in {city}|in your store in {city}]?
+ Yes, two places are open in {city} [at the moment|this month]. Please send a short CV to {email}, and our team
    there answers within [a week|ten days].
- See the website.
- Perhaps.
- You're hired, when can you begin?

? Which {device} [is best for a small flat|do you advise for a small flat]?
+ For a small flat I'd choose the compact {device}: it is quiet and costs {amount}. [Shall I send you a
    comparison|I can send you a comparison] with the larger one, so that you can decide?
- All are good.
- That is a matter of taste.
- Take the most expensive one, you won't regret it, nobody ever did!

? Can you [wrap {order} as a gift|gift-wrap {order}]?
+ Gladly! Reply with the text for the card by [tonight|six o'clock], and {order} leaves in gift paper tomorrow, [at
    no charge|and the bill stays out of the box].
- We don't have time for this.
- Wrapping is under extras.
- We wrap it in gold, with flowers and a song!

? Your description of the {furniture} is wrong, [it says oak, but it is pine|it is not oak].
+ Thank you for the careful look. I have [asked the editors to correct|had] the page [today|corrected today]; if
    you would rather not keep the {furniture}, I'll arrange a free pick-up.
- Wood is wood.
- Nobody else has noticed that.
- Descriptions come from the makers, the makers get them from their suppliers, and so on, it's a long chain.

? [I want to cancel {order}.|Please cancel order {order}.] It has not been shipped yet.
+ Done in time: {order} is cancelled, and [nothing will be charged|you will not be charged]. The confirmation goes
    to {email}; [please keep it|have a look], in case your bank shows a hold.
- You can't just cancel.
- Why did you order it then?
- I will try, or my colleague will, or the system does, one of us for sure.

? Can I collect my {product} in your [store in {city}|shop in {city}]? {order}
+ Yes. I've sent {order} to the store in {city}; it's ready on {day} after ten, just [show this mail|bring this
    mail] and an ID at the counter.
- Delivery only.
- If you must.
- Come any time, day or night, we're always there for you!
"""

ADDED = """
There is nothing more that I can say about it.
Other customers manage without our help.
We get hundreds of mails like this one.
I have no time to go into this any further.
That is simply how it works here.
Please see it from our side for once.
Maybe a colleague knows more, I don't.
You could have found that out alone.
Everything else is up to you.
It was surely not our fault.
"""
