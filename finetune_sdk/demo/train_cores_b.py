"""Core complaints of tickets.jsonl: account, technical and other; `compose.py` says how a line is read."""

ACCOUNT = {
    "high": """
Somebody has [changed the e-mail address|changed the password] of my account and [ordered a {product}|placed an
    order]{o}. It was not me!
I received a mail about a login from [Brazil|another country]. I have never been there. [Please lock my account
    now.|I fear it was hacked.]
[My account was hacked|A stranger is in my account] and my saved card was used. [Block it immediately.|Stop
    everything please.]
You have locked my account with {amount} of store credit in it. I [paid for that credit|bought it as gift cards]
    and cannot use it.
After logging in I see the name, address and orders of [another person|a woman from {city}]. That is a data leak,
    and who sees mine?
Premium membership paid on {date}, {amount}, and my account still says [basic|free]. I [cannot use any of it|get
    none of what I paid for].
I asked [three|four] times for the deletion of my data. [If it is not done by {day}|Without an answer until {day}]
    I go to the data protection authority.
[Since the merger of my two accounts|After you merged my accounts] all {n} gift cards have vanished, {amount} in
    total. That is my money.
Someone rings me and knows my [order history|last order]{o} and password hint. He says he is from your shop. [I am
    afraid.|What is happening?]
My ex-husband can still get into my profile and [sees my new address|reads where I live]. This is a question of
    safety, please cut his access.
I must reset the password today, our club's order has to go out before {day}, and [no reset mail comes|the reset
    link is dead].
The account of my late father is still [billed|active] and letters with threats come to my mother. End it or we
    [call a lawyer|hand it to a lawyer].
A code to confirm my login comes every hour, I [do not ask for it|never asked for one]. Someone is trying to break
    in!!
~HELP someone logged in as me and [changed my address|ordered things]{o}
""",
    "normal": """
I [forgot|lost] my password and the [reset mail|mail with the link] does not arrive. I looked in the spam folder.
I cannot log in any more. It says [user unknown|wrong password], and I have not changed anything.
Please change the e-mail address of my account [from|to] {email}. The old mailbox [no longer exists|will be closed].
I [married|got divorced] and have a new surname. How do I change it in my profile? The field is grey.
I have two accounts by mistake, please merge them. The second one is under {email}.
Please delete my account and all [my data|personal data].
I still get [your newsletter|advertising mails] after I unsubscribed [twice|three times].
My bonus points from {date} [are not there|have not been added]{o}. It should be {n}0 more.
The code for the two-step login goes to my old phone number. I have a new number and [can't get in|can't sign in].
The link to confirm my registration [has expired|does nothing]. Can you send a new one?
My date of birth is wrong in the profile and I [can't edit it|am not allowed to edit it]. It should be {date}, 1984.
I want to have a copy of all data you [store|keep] about me, as the law provides.
My account was [locked|blocked] after too many wrong tries. How can it be opened again?
The saved address in my profile [always jumps back|changes back] to the old one, I edit it and save, and next day
    it is the old again.
My wife and I share one account. We would like to split it so that each has [her own|an own] login.
The order{o} is not visible under my orders because I bought it as a guest. Please [move it to|link it with] my
    account.
~[cant log in|can not get in], password reset mail never comes
~pls [delete|close] my account. thx
°Ich kann mich nicht mehr anmelden, das Passwort wird [nicht angenommen|immer abgelehnt]. [Können Sie es
    zurücksetzen?|Bitte um Hilfe.]
""",
    "low": """
Can I have my account in [my company's name|the name of our club] instead of my own?
How do bonus points work? [Do they expire?|Is there an end date?]
Is there a way to [hide|archive] old orders in the profile? It would be handy when my kids look over my shoulder.
Do I need an account to [order|buy] from you, or can I order as a guest?
Can I store more than one delivery address in my profile? [No rush.|I could not find the button.]
I like the new [profile page|wish list] a lot, thanks!
Could you add login with a [fingerprint|passkey]? That would be modern.
[Where can I see|Where do I find] how many points I have? [I am new here.|First time for me.]
Can my daughter, she is 15, have an account of her own?
How often should I get the newsletter? I signed up last month and [quite enjoy it|look forward to it].
What is the difference between a silver and a gold member? [Just curious.|I saw it in my profile.]
Can I change my user name later? [I chose a silly one at the time.|It is not important.]
""",
}

TECHNICAL = {
    "high": """
The e-book I [paid for|bought for {amount}] [cannot be opened|will not open], the download says [licence
    invalid|file damaged]{o}. So I have paid for nothing.
Since the update of {date} my {device} does not start any more, [the screen stays black|it only blinks red]. [It
    was working before.|I cannot use it at all.]
The online course I bought{o} [does not load|shows an empty page], and the exam is on {day}. I need access before.
[The checkout crashed after I paid.|The app froze after the payment.] {amount} was taken and there is no order, no
    mail, nothing.
Your website shows [the card data of another customer|someone else's address and card] in the checkout form. This
    is a serious security hole.
The smart lock from you [does not open with the app|lost the connection to the app] since this morning and we
    [stand outside the house|cannot get in].
The app for the baby monitor shows [the room of a stranger|someone else's nursery]. [Turn this off!|Can others see
    our child?]
My virus scanner [found a trojan|gives an alarm] in the file I downloaded from your shop{o}. Is my computer
    infected now?
The activation key for the software{o} is refused as [already in use|expired]. I paid {amount} and have to hand in
    my work on {day}.
The app stream of my paid plan stops every two minutes since {date}. [I pay {amount} a month for something I cannot
    watch.|Fix it or I quit.]
The {device} gets very hot while charging since the last firmware and [smells burnt|there was smoke]. Is that
    update dangerous?
Our shop terminal lost the connection to your system, we [can't sell anything|have to send people away], and the
    market is on {day}. Please repair this first.
The app lets me pay but always ends with [error 500|error 402]{o}. By now the money went off three times.
~app ate my money. [paid {amount}, screen white, no order|paid, then white screen, order gone]
""",
    "normal": """
The app crashes [every time I open the basket|as soon as I tap on search]. [I have reinstalled it.|My phone is
    quite new.]
The website [does not load|stays white] in [Firefox|Safari|Chrome]. In another browser it works.
The {device} [does not connect|will not connect] to my wifi. I followed all steps in the manual.
I get error [code 403|code 17|E-22] when I try to [add a product review|save my basket].
The download of the user manual for the {device} is a dead link. Can you send me the file{o2}?
The search shows [no results|nothing] for things that you clearly sell, for example a {product}.
The pictures of the products [are not shown|do not appear] on my tablet since {date}. I cleared the cache.
When I click on [pay|continue] in the checkout, nothing happens. The button is [grey|dead]. I [tried|have tried]
    two computers.
The filter for [size|colour|price] is ignored: I choose one thing and all products [show up|are listed] again.
After the update of the app the push messages [don't come any more|come in Swedish], and I can't find the setting.
Pairing my {device} by Bluetooth fails with "[device not found|no device nearby]". [The light blinks blue.|I
    charged it fully.]
The clock of the {device} [is off by one hour|shows the wrong time] since summer time and cannot be set in the app.
The basket [is emptied|loses everything] whenever I switch from phone to computer.
The page [jumps to the top|flickers] each time I scroll to the reviews. It makes me dizzy. [Windows 11,
    Edge.|Android 14.]
The configuration tool for the {furniture} ends with "script error" in the last step. [Do you have a fix?|How do I
    go on?]
The screen reader cannot read the buttons of your new page. As a blind customer I [cannot order|need help to order]
    this way.
The firmware of my {device} hangs at [40|90] percent. I restarted twice. What else can I try{o2}?
~app [crashes|closes itself] when i open the camera search
~website [down|broken]?? only get error 502
°L'application se ferme [dès que je l'ouvre|à chaque recherche] depuis la mise à jour. Que faire?
""",
    "low": """
Is there a version of your app for [tablets|smart watches|Linux]?
A dark mode [on the website|in the app] would be nice for the evening.
Does the {device} work with [an older phone|Android 9|a 5 GHz wifi]? I have not bought it yet.
Which [file format|format] do your e-books have? I own an older reader.
The new search in the app is great, [it finds everything|it even forgives my typing].
Can the app be set to [English|French]? [Mine speaks German, it is fine, but I am curious.|I could not see a menu
    for it.]
Could you make the letters in the app bigger [some day|in a later version]? My eyes are not the youngest.
How do I [reset|clean] the {device} to factory settings? I want to give it to my niece [some time|next year].
Will the {device} get the new firmware too? [I read about it in a forum.|No hurry, it runs well.]
Is there an interface, an API, for reading the stock of your shop? I [like to program|tinker] at home.
Do I need the app for the {device}, or does it work [without a phone|without internet] as well?
Small thing: the word "delivery" is misspelt [at the bottom of your page|in the app menu]. Everything works though.
""",
}

OTHER = {
    "high": """
The plug of the {device} I bought from you [melted|caught fire] last night. [Nobody was hurt, but others must be
    warned.|You must warn all buyers.]
A small magnet came loose from the toy and my [toddler|baby] had it in the mouth. [Please stop selling it.|This is
    dangerous.]
You use my photo in your advertising. I never agreed. Take it down by {day} or [my lawyer will contact you|you hear
    from my lawyer].
The woman on your hotline [shouted at me|laughed at me and hung up]. I have been a customer for {n} years and that
    was the last time, I am leaving.
We need an offer for {n}0 pieces of the {product} by {day}, the [committee|board] decides on that evening.
The label says nut-free and my [son|daughter] had an allergic reaction. There are nuts in it. Please act at once.
Fake shop alert: a page that looks like yours [steals card data|takes orders and money]. People are being robbed in
    your name.
Your shelf fell from the wall [in your store in {city}|in your showroom] and hit my foot. I need your insurance [by
    {day}|now].
I am a journalist and [write about your working conditions|write about the recall]. My story is printed on {day}, I
    need a statement before.
For the trade fair on {day} we still wait for your [confirmation of our stand|signature]. Without it [we lose the
    place|the stand is gone].
[Your advert calls|Your truck is calling] my village dirty. Remove it, or I see you in court.
The cream from your shop burned my skin, I had to [see a doctor|go to hospital]. Take it off the market.
~[smoke|sparks] coming out of the {device} i bought from you. is this known
""",
    "normal": """
I was on hold for [fifty minutes|an hour] yesterday and then the line was cut. This is no way to treat people.
Nobody answers my message of {date}. Is this mailbox still read?
Your chat robot [sends me in circles|gives the same answer again and again]. I would like to talk to a person,
    please call me back.
The description of the {furniture} is wrong: it says [oak|walnut] and it is [pine|chipboard]. Please correct the
    page.
My review of the {product} was [removed|never published], and I was polite. Why?
I was [promised|told I would get] a call back [on {date}|last week] by your colleague and it never came.
The competition on your page [ended|closed] on {date} and no winner was named. Who has won?
The staff in your store in {city} [ignored us|did not know the products] and could not say who is in charge. I
    would like to make a complaint.
We are a kindergarten and asked for a quote for {n}0 cups. So far [no reply|silence].
You have the wrong opening hours for {city} on the page, I stood in front of a closed door.
My name was spelled wrong in your thank-you letter and on the [raffle|member] list. Please fix.
The music in your shop in {city} is so loud that one cannot [talk|think]. I complained there already.
Your leaflet comes in my letterbox every week although there is a [no advertising|no leaflets] sign on it.
I reserved a {product} in the store in {city}, and when I came [it had been sold to somebody else|it was sold].
The [engraving|embroidery] text on your example picture has a mistake, and the preview for mine [shows the same|as
    well]. Which text will you use?
~[nobody answers|no answer] on your phone. whats going on
°Buenos días, llevo una semana esperando que alguien [conteste|responda] a mi mensaje. ¿Hay alguien?
""",
    "low": """
When will the {product} be [back in stock|available again]? [I can wait.|I like the green one.]
Do you have a {product} in [red|dark blue|yellow]? I only find grey ones.
Your customer service is the best, [Ms Holm|Mr Adeyo|your colleague Tilda] was patient and friendly. Thank you!
Are you looking for [staff|people|trainees] in {city}? I would like to apply.
Is the material of the {wear} from fair production?
Do you also [wrap gifts|put a card in], and what do you charge for it?
I write a small blog about [camping|cooking|cycling] and would like to [work with you|present your shop].
Are you open on [Easter Monday|public holidays] in {city}?
How tall is the {furniture} [with its feet|including the feet]? The page only gives the width.
Which {product} would you [advise|recommend] for a beginner? [There are so many.|I am a bit lost.]
It would be lovely to have more [plus sizes|children's sizes|vegan products] in your shop.
Just wanted to say that the {product} is [wonderful|a joy], I use it every day.
Is the {device} loud? I live in a [thin-walled flat|small flat] and want to be kind to my neighbours.
Where are your products made? [My class does a project on that.|I try to buy from Europe.]
Can I visit your [warehouse|workshop] one day with a group of pupils?
""",
}
