"""Core complaints of tickets_heldout.jsonl, written apart from those of training; `compose.py` says how a line is read."""

BILLING = {
    "high": """
My statement lists your shop two times with {amount}{o}. I bought a single {product}, so one charge is wrong and
    I'd like that refund now.
There is a debit of {amount} from you that I can't explain. I have not shopped with you since last year, return the
    money please.
The invoice says {amount2}, the debit was {amount}{o}. You took too much from my account.
I ended the subscription in time and was charged again, {amount} this month. Refund it, or my bank will reverse the
    payment.
You demand a late fee for invoice {inv} even though it was paid on {date}{o}. Now a debt collector has written to
    me!
A thief paid with my card number at your checkout, {amount} on {date}. Please stop this payment, the bank has
    blocked my card.
Nobody ever used the gift card my parents gave me, and its balance is nil. That is {amount} of lost money.
The order{o} was cancelled by you, the payment was not returned. For how long will you keep my {amount}?
The tax office wants our invoices by {day} and yours{o} is missing. Please mail it before then, otherwise we pay a
    fine.
PayPal charged me and then the credit card was charged as well{o}. That is double the price for one {product}.
""",
    "normal": """
Could the invoice{o} please carry our company address? My boss can't book it with a private one.
My voucher code is refused in the basket, it says invalid. It should take ten percent off the {product}.
The card payment keeps failing, although there is enough money on it{o}. Can you see the reason?
No invoice came with the {product}{o}. Please email me a PDF copy.
The VAT ID on your invoice {inv} is an old one of ours. A new version with the right number, please.
Two days later the {product} costs {amount} less. Will you pay the price difference{o}?
I want to move my plan over to a new credit card, the old card expires this month.
My bank transfer of {date} is still not matched, the status is unpaid{o}. Can you check it?
Instalments were agreed when I bought the {product}{o}, yet your mail asks for the full payment.
The discount for new customers was not taken off the total{o}. Kindly check the price again.
~no invoice in my mail{o}, can you resend
°Ich finde keine Rechnung zu meiner Bestellung{o}. Bitte schicken Sie mir eine Kopie als PDF.
""",
    "low": """
Which ways to pay are there? I'd prefer to pay on invoice or with Google Pay.
Until when must a gift card be used? Mine says {amount} and has no date.
Does a nurse get a discount with you? My cousin told me about a code for teachers.
Is VAT already part of the price, or is it added at the payment step?
Many thanks, the refund is on my credit card already{o}. You are great!
May I split the payment for a {product} over three months? I'm only thinking about it.
Do you charge in euro or in pounds when someone buys from {city}?
""",
}

DELIVERY = {
    "high": """
My son's birthday is on {day} and his present, the {product}, has not arrived{o}. Tracking says nothing. Please get
    it here in time!
Next-day shipping cost me {amount} and after {n} days there is still no parcel{o}. I want that express fee back.
We move house on {day}, so the {furniture} has to be delivered before{o}. After that date the address is wrong.
This parcel has been lost twice{o}! One more failed delivery and I will never order from you again.
The driver's van rolled over my foot while he unloaded the box. The bone is cracked and I want his name.
Acid is running out of the parcel that the courier left{o}, my hands are burning. What is in there?
A stranger signed for my package, {carrier} won't help, and the {product} for {amount} is stolen{o}. The police
    want your papers.
{carrier} has lost the shipment and you won't give me a refund{o}. {amount} paid, nothing received. My lawyer is
    informed.
The camp starts on {day} and the tents{o} are still at the depot in {city}. The children cannot sleep outside.
Paid {amount} for four boxes, one was delivered{o}. I want the other three or my money.
""",
    "normal": """
Has my order been shipped yet{o}? It was due on {date} and the tracking page is empty.
According to {carrier} the parcel was delivered on {date}{o}. It is neither with us nor with any neighbour.
Tracking {track} has been standing still for {n} days. Can you find out where the parcel is{o}?
The carton was wet and dented when the courier brought it{o}, and the {product} has a scratch.
There was a piece missing from my box{o}: the charger. Please post it to me.
I have moved. Can the shipping address still be changed to {city}{o}?
The courier claims nobody opened, but the bell never rang. When will he come again{o}?
Please keep the parcel back for a week, we are away and no one can receive it{o}.
My parcel was left at a pick-up shop on the other side of {city}{o}. I'd like home delivery, as I chose.
Only one of the two packages has come{o}. Where is the rest of my order?
Why does the shipment go back to the sender{o}? My address is on the door in big letters.
Customs has stopped my parcel and wants a document from you{o}.
~still waiting for my parcel{o}... when will it be here
~tracking not working{o}
°Mon colis est indiqué comme livré mais je n'ai rien reçu{o}.
""",
    "low": """
What is the shipping cost to {city}, and do you deliver to islands?
Roughly how many days does delivery take to Portugal? I might order in autumn.
Praise for the courier from {carrier}: friendly, on time, and he waited for my slow legs.
Would it be possible to have parcels sent to a locker? That'd suit me in future.
Does the delivery of a {furniture} include carrying it upstairs?
The parcel came so fast{o}, thank you. Lovely packing as well!
Please use paper rather than plastic in your parcels. It's only a wish.
Are parcels delivered on Saturdays as well?
""",
}

RETURNS = {
    "high": """
Two months have passed since I returned the {product}, and the refund of {amount} never came{o}.
Your refund for the returned {product} is {amount2} too low{o}. Please pay out the full amount.
I need the {wear} exchanged for another size before the wedding on {day}{o}. It was the wrong one in the box.
A spark jumped out of the {device} and burned my finger. I'm returning this thing and expect a full refund{o}.
Your shop rejects my return although I am within the fourteen days{o}. I'll hand it to a lawyer.
The exchanged {device} is dead too{o}. I have paid {amount} and own nothing that works. Refund me.
The {device} came out of the box broken and does nothing{o}. I paid for it and cannot use it, send a replacement.
By {day} the return period is over and your label page won't work{o}. Send me a return label before it's too late.
A fee of {amount2} was taken off my refund{o}. Returns are free according to your terms, so give it back.
""",
    "normal": """
Please send me a return label{o}, the {product} does not suit us.
The size is wrong, the {wear} is much too big for me. Can I exchange it for a smaller one{o}?
I ordered the {product} in white and got a red one{o}. I want to swap it for the right colour.
Since yesterday the {device} rattles loudly{o}. It's still under warranty, so can it be repaired?
How do I return a {furniture}? It won't fit in my car and has to be collected{o}.
My return has been with you since {date}, as the post says, but it is still listed as open{o}.
The seam of the {wear} opened after one wash{o}. I'd like a replacement under the guarantee.
The post office can't read the barcode of my return label{o}. Please mail another one.
We would like to give back the {product}, it is still in its original box{o}. What must I do?
I'd prefer money instead of the store credit that I got for my return{o}.
The {product} looks much darker than in the picture{o}, so I'm sending it back. Which address is right?
A screw of the {furniture} is broken{o}. Can I get a spare part under warranty?
~doesn't fit, how do i return this{o}
~wrong colour{o}, exchange please
°Die Schuhe sind zu klein{o}. Kann ich sie gegen eine Nummer größer umtauschen?
""",
    "low": """
How long is the return period for sale items?
If I order the {wear} in two sizes, is sending one back free of charge?
Which guarantee comes with a {product}? I could not see it in the text.
Is it possible to return online orders at the store in {city}? I only want to know.
The exchange went perfectly{o}, the new size fits. Thanks a lot!
Please think about reusable boxes for returns, that would be a nice idea.
What happens with the goods that people return? Do you sell them again?
""",
}

ACCOUNT = {
    "high": """
My account was taken over: the password is changed and there are orders I didn't make{o}.
A login from a foreign country shows up in my profile. That wasn't me, somebody hacked it. Please block the account.
When I sign in I see a different customer's orders and address. This is a data breach!
I paid {amount} for gold membership and my account does not show it. None of the benefits can be used.
My account is blocked and the {amount} of gift card credit inside is lost to me. Unlock it, I paid for that.
You still have not deleted my personal data. I give you until {day}, then I will report you to the data protection
    office.
Someone who stalks me can read my address in our old shared account. I'm scared, remove his login right away.
I must log in before {day} to place our school's order, and the password reset never works.
Login codes that I never requested are sent to my phone all night. Is a hacker in my account?
""",
    "normal": """
The mail for my password reset isn't arriving, not even in the spam folder.
It's impossible to sign in since {date}, the page says that my password is wrong.
I have a new email address, {email}. Please change it in my account.
My last name changed after the wedding, and the profile won't let me edit it.
Please close my account and erase my data.
I clicked unsubscribe several times and your newsletter keeps coming.
The points for my last purchase are missing from my account{o}.
My new phone number has to be stored for the login code, the old number is gone.
The account is blocked because I typed the password wrong too often. Please unlock it.
There are two profiles with my name. Can you merge both accounts into one?
Would you send me the personal data that is stored about me?
I ordered as a guest and want to see that purchase in my new account{o}.
~forgot password, no reset mail
~delete my account please
°No puedo iniciar sesión, la página dice que la contraseña no es correcta.
""",
    "low": """
Can I shop without an account, simply as a guest?
After how many months do bonus points expire? I'm just curious.
May I have several addresses in one account? There's no hurry.
Where does my profile show the number of points?
A passkey for the login would be a fine thing in future.
The new wish list in my profile is lovely, thank you!
What does one need to become a gold member?
""",
}

TECHNICAL = {
    "high": """
I bought an audio book for {amount} and the download fails each time{o}. I cannot listen to what I paid for.
After your firmware update the {device} is dead, no light, no sound. It is useless now.
The app crashed during the payment, {amount} left my bank and no order was created.
On your checkout page I could read a different person's card number and address. Big security problem!
The licence key for the program doesn't work{o}, it says expired. My thesis is due on {day}, I need the software.
The camera app suddenly shows the bedroom of people I don't know. Who is watching mine?
Since the last update the {device} overheats while charging, there is a burnt smell. I pulled the plug.
The video app that I pay {amount} a month for has not played anything since {date}. Repair it or I cancel for good.
The door lock app won't connect and my mother is locked in. Help us quickly.
""",
    "normal": """
Your app closes each time I tap on the basket. My phone runs Android 13.
The checkout button does nothing when I click it, on two different browsers.
Wifi setup fails: the {device} isn't found by the app, although I followed the manual.
Error 404 appears when I open the download page for the {device} manual.
No pictures load on the website, I only see grey boxes. Cache and cookies are deleted.
The search on your page finds nothing, whatever word I type in.
Bluetooth pairing between my phone and the {device} breaks off after a few seconds{o}.
The size filter has no effect, the website lists everything again.
Firmware update stuck at {n}0 percent{o}. I already tried a restart.
Things I put in the basket in the app do not show up on the computer.
The latest app version sends me no notifications any more.
The website is awfully slow and ends with a blank page in Chrome.
~app keeps crashing after update
~error 500 on your website all day
°Die App stürzt nach dem letzten Update ständig ab. Was kann ich tun?
""",
    "low": """
Please bring a dark mode to the app one day.
Would the {device} work with an iPhone 8? I'm thinking of buying one.
Does the app run on a tablet as well?
Which formats do the audio books come in? I have an old player.
How can the {device} be set back to factory settings? I will sell it some time.
Compliments for the new version of the app, the search is so quick now.
Is there any way to use the {device} without the app or internet?
""",
}

OTHER = {
    "high": """
The charger of the {device} from your shop began to smoke and burned the carpet. Please warn your other customers,
    it is dangerous.
A part of the toy broke off and my child nearly choked on it. It must be taken off sale.
A fraudulent website copies your shop and steals card numbers. Warn people, I lost money there.
My picture is in your catalogue without my permission. Remove it or my lawyer will write to you.
Your salesman insulted my wife in the store in {city}. After {n} years we are leaving and will never come back.
We need a quote for {n}0 cups by {day}, because our board meets that evening.
My daughter got an allergic rash from the {wear} and the label doesn't list latex. We went to hospital.
I slipped on the wet floor in your shop in {city} and broke my wrist. Send me the details of your insurance, my
    lawyer asks for them.
""",
    "normal": """
The text for the {wear} says cotton, but it's polyester. Please correct the description.
I wrote to you on {date} and have had no answer. Does somebody read my messages?
The chat bot never understands me. Could a real person give me a call back?
After forty minutes on hold your hotline hung up. I want to complain about that.
The opening hours on your page are wrong, the shop in {city} was closed when I came.
Who won the competition in spring? The names were never published.
My product review has not been published and I don't know why.
A colleague of yours promised to call me back, and he did not.
The sales staff in {city} were rude and did not want to help us. I'd like to complain to the person in charge.
Our school asked for an offer of {n}0 pens, and there has been no reply.
I put a {product} on hold in your store, and the staff sold it to another person.
~nobody picks up the phone at your shop
~no reply to my message of {date}
""",
    "low": """
Will you have the {product} in green again? I'd gladly wait until it's in stock.
Thank you to your colleague Ines for her friendly help on the phone, best service I know.
Do you have any jobs or a place for a trainee in {city}?
Can you wrap the {product} as a gift and put in a card?
Is the shop in {city} open on Sundays?
How wide is the {furniture}? I can only find the height on the page.
Where is the {wear} made, and is the cotton fair?
I run a blog about hiking and would love to present your products.
Which {device} do you recommend for a small flat?
I use my {product} every day and love it. Just wanted to say so!
A wish: more vegan shoes in the shop, please.
""",
}
