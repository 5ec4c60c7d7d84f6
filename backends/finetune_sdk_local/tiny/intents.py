"""Why customers write to a shop: each reason with its area, its gist in a few words, and many ways to say it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Intent:
    """One reason to write. `area` is a key of `shop.AREAS`; `gist` says it in a few words; each of `ways` is a template for `grammar.say`."""

    name: str
    area: str
    gist: str
    heat: float
    ways: tuple[str, ...]


def _intent(name: str, area: str, gist: str, heat: float, ways: str) -> Intent:
    return Intent(name, area, gist, heat, tuple(line.strip() for line in ways.strip().splitlines()))


INTENTS: tuple[Intent, ...] = (
    _intent("double charge", "payment", "was charged twice", 0.6, """
        I [was|have been|got] [charged|billed|debited] [twice|two times|double] for [the same thing|one order|my {product}|a single {product}|one purchase]
        [the money|{amount}|the amount|the same sum] [was taken|went out|has left my account|was withdrawn] [twice|two times|two days in a row]
        there are two [identical|equal] [charges|payments|debits|bookings] of {amount} on my [card|bank statement|credit card|account]
        my [bank statement|card|bank|credit card bill] shows [two payments|a duplicate charge|the charge twice] but I [only bought one {product}|ordered just once]
        you [took|booked|debited|collected] [my money|{amount}|the payment] twice
        [a duplicate|a second|another] [payment|charge|transaction] [appeared|showed up|was made] although I paid [only once|already]
        why [did I pay|am I paying|was I billed] double?"""),
    _intent("wrong amount", "payment", "was charged the wrong amount", 0.4, """
        the [amount|total|sum|price] on my [invoice|bill|receipt|card] [is wrong|is too high|does not match|is more than I agreed to]
        I was [charged|billed|asked to pay] {amount} [but the price was|instead of|although the website said] {amount2}
        you [charged|billed] me [too much|more than the listed price|the full price without the discount]
        [there is|I see|I noticed] a [fee|surcharge|cost|charge] of {amount} [that I never agreed to|I do not understand|that nobody told me about]
        [overcharged|I was overcharged] by {amount2} on [my last purchase|the {product}]
        the [VAT|tax|shipping cost] was [calculated|added] [wrongly|twice|incorrectly]"""),
    _intent("refund wait", "payment", "is waiting for a refund", 0.6, """
        I am still [waiting for|missing] [my refund|my money back|the repayment|the reimbursement]
        [my refund|the money|the repayment] [has not arrived|never came|is still not on my account|did not show up]
        you [promised|confirmed|told me about] a refund [two weeks ago|last month|on {date}] but [nothing happened|my bank has nothing|I see no money]
        when [will|do] [I get my money back|you refund me|the refund reach my bank account|I finally see my {amount}]?
        I [returned|sent back] the {product} [weeks ago|on {date}] and [there is no refund|no money came back|still have not been paid back]
        how long [does|will] [a refund|the reimbursement|the repayment] take [to my credit card|to reach my bank|usually]?
        please [refund|reimburse|repay|credit] [me|the {amount}|the purchase price]"""),
    _intent("invoice copy", "payment", "needs an invoice", -0.4, """
        [could you|can you|please] [send|email|mail] me [an invoice|the invoice|a receipt|a copy of the bill|a PDF of the invoice] [for my taxes|for my company|for the accountant|]
        I [need|require|want] [a proper invoice|a VAT invoice|the bill|a receipt] [with our company name|for bookkeeping|for my tax return|for the {product}]
        where [can|do] I [find|download|get] [my invoice|the receipt|old bills|the invoices of last year]?
        the invoice [shows the wrong company name|has an old billing address|lacks our VAT number], [can you correct it|please change it]
        our [accounting|bookkeeping|finance] [department|team] [has not received|is missing] the [invoice|bill]"""),
    _intent("card refused", "payment", "cannot pay because the card is refused", 0.3, """
        my [credit card|card|Visa|Mastercard|debit card] [is|was|keeps being|gets] [declined|rejected|refused] [at checkout|when I try to pay|every time|]
        [the payment|my payment|paying] [fails|did not go through|does not work|is always rejected]
        I [cannot|can't|am unable to] pay [with PayPal|by card|with my credit card|by bank transfer]
        [PayPal|my bank|the card company] says [payment refused|the transaction was declined|everything is fine] but [your shop rejects it|I cannot complete the purchase]
        which [payment methods|cards|ways to pay] do you [accept|offer|take]?
        can I [pay|settle the bill] [by invoice|in instalments|in three parts|later|by bank transfer|cash]?
        I [would like|want|need] to [update|change|replace] [my credit card|the card on file|my bank details|the payment method]"""),
    _intent("payment reminder", "payment", "got a reminder for a bill already paid", 0.5, """
        I [received|got] a [payment reminder|dunning letter|reminder|letter from a collection agency] [although|but|even though] I [already paid|paid on {date}|settled the bill long ago]
        you say [the invoice is unpaid|I owe you {amount}|the bill is overdue] but [I transferred the money|the money left my account] [on {date}|last week|weeks ago]
        why do you [threaten|remind|chase] me [about|for] a [bill|payment|debt] [that is settled|I paid already]?"""),
    _intent("unknown charge", "payment", "sees a charge nobody made", 0.8, """
        there is a [charge|payment|debit|booking] from your [shop|company|store] that I [did not make|do not recognise|never authorised]
        somebody [used|stole|has] my [card|credit card|bank details] [to buy things|for an order|] [in your shop|on your website]
        I never [ordered|bought] [anything|this] [and still|but] you [took|debited] {amount} [from my account|from my card|]
        an [unknown|unauthorised|strange] [transaction|withdrawal] of {amount} with your name is on my statement"""),
    _intent("discount", "voucher", "has a discount code that does not work", -0.1, """
        my [discount code|voucher|coupon|promo code|gift card] [does not work|is not accepted|is rejected|shows as invalid|has expired]
        the [10 percent|20%|welcome|summer|birthday] [discount|rebate|reduction] was not [applied|deducted|taken off] [at checkout|from my bill|]
        I forgot to [enter|use|type in] my [coupon|voucher|discount code], can [you add it|it be applied] [afterwards|now|later]?
        [do you have|is there|are there any] [a student discount|a sale soon|special offers|a promo code for new customers|a rebate for large orders]?
        [how much is left on|I want to check the balance of|can I combine] my gift [card|cards|voucher]
        the price [dropped|went down] [the day after|right after] I bought the {product}, [can I get the difference|will you match it]?"""),
    _intent("late parcel", "shipping", "is waiting for a late parcel", 0.5, """
        my [parcel|package|order|shipment|delivery|{product}] [has not arrived|is late|is overdue|did not come|is still not here|is delayed]
        [where is|what happened to|when will I get|any news about] my [parcel|package|order|shipment|{product}]?
        [it was supposed to|it should|the {product} was meant to] [arrive|be delivered|be here] [on {day}|last week|three days ago|by {date}] [but nothing came|and it is not here|]
        I have been waiting [for two weeks|ten days|since {date}|for ages|since {day}] for [my {product}|the parcel|this delivery|the goods]
        the [delivery date|estimated arrival|shipping date] [has passed|keeps moving|was yesterday|changes every day] [and I have nothing|]
        [how long|how many more days] [does delivery|will shipping|must I wait until it] [take|to {city}|arrives]?
        still no sign of the [{product}|package|courier|delivery]
        [you promised|I paid for] [next day|express|24 hour] [delivery|shipping] [but|and] [it has been a week|nothing arrived|I am still waiting]"""),
    _intent("tracking", "shipping", "asks about the tracking", 0.0, """
        the [tracking number|tracking link|tracking page|shipment tracking] [does not work|shows nothing|has not changed for days|says unknown]
        [tracking|the courier's page|the carrier's website] [says|shows] [in transit|label created|waiting for pickup|out for delivery] [since {day}|for a week|for days]
        [can|could] you [send|give] me [the tracking number|a tracking link|the shipment number]?
        [has|was] my [order|parcel|{product}] [been shipped|been dispatched|left the warehouse|sent out] [yet|already]?
        the parcel [is stuck|has been sitting] [in customs|at the depot|in {city}|in the sorting centre]"""),
    _intent("marked delivered", "shipping", "has no parcel though it is marked as delivered", 0.7, """
        the [courier|carrier|tracking|driver] [says|claims|wrote] [it was delivered|delivered on {day}|left at the door|handed to a neighbour] but [I have nothing|there is no box|nobody got it|I was home all day]
        [marked|shown] as delivered [but|yet] [no package|nothing was at my door|I never received it]
        my [parcel|package|delivery] [was stolen|got lost|went missing|disappeared] [from the porch|on the way|in the post|]
        the [driver|courier|postman|delivery man] [left it in the rain|threw it over the fence|gave it to a stranger|never rang the bell|did not even ring]
        the [parcel|shipment] went to the wrong [address|house|person|street|city]"""),
    _intent("address", "shipping", "wants another delivery address or date", 0.1, """
        [can|could] you [change|correct|update] the [delivery|shipping] address [to {city}|for my order|before it ships|]?
        I [entered|typed|gave] the wrong [address|street|house number|postcode] [by mistake|when ordering|]
        I [moved|have moved] [to {city}|house], please [send|ship|deliver] [it|the {product}] to my new [home|address|place]
        I [will not be home|am away|am on holiday] on {day}, can [the parcel|it] be delivered [later|to a neighbour|to a pickup point|on another day]?
        can [the courier|the driver|you] [come|deliver] [after 6 pm|in the morning|at the weekend|to my office] [instead|]?"""),
    _intent("shipping question", "shipping", "asks about shipping options", -0.6, """
        do you [ship|deliver|send] [to {country}|abroad|to islands|overseas|to a parcel locker]?
        [how much|what] [is|does|are] [shipping|delivery|postage] [to {country}|for a {product}|cost to {city}]?
        [is there|do you offer] [express|same day|free] [delivery|shipping]?
        [which|what] [courier|carrier|delivery company] do you [use|work with]?"""),
    _intent("missing item", "shipping", "got a parcel with something missing", 0.4, """
        [one item|the {product}|something|half of the order] [is|was] [missing|not in the box|not included] [from my parcel|]
        I [ordered|paid for] [two|three|several] [things|items|articles] but [only one came|got just one|the box held only the {product}]
        the box [was empty|arrived empty|was opened and half empty|came without the {product}]
        my order [is incomplete|came incomplete|was only partly delivered]"""),
    _intent("wrong item", "return", "received the wrong item", 0.4, """
        [you sent me|I received|I got|the box contained] the wrong [item|product|{product}|article|model]
        I ordered a {color} {product} [and|but] [got|received|you sent] a {color2} one
        [this is not what I ordered|that is not my order|somebody else's order is in my box], I [wanted|bought] a {product}
        instead of [the {product}|a {product}] [there was|I found|you sent] a {product2}
        the [colour|color|model] is [wrong|not the one I chose|different from the photo]"""),
    _intent("send back", "return", "wants to return an item", -0.1, """
        I [want|would like|wish|need] to [return|send back|give back] [the {product}|my {product}|this item|it] [because I do not like it|it is not what I expected|as I changed my mind|]
        [how|where] [do I|can I] [return|send back] [the {product}|something|an item|my order]?
        [please send|I need|can I get|where is] [a return label|a returns label|a prepaid label|the return slip|a return form]
        I [changed my mind|do not need it anymore|found it cheaper elsewhere|no longer want the {product}] [and want to send it back|]
        [is it too late|can I still|am I allowed] to [return|send back] [a {product}|a worn {product}|an opened {product}|a gift]?
        [what is|tell me] your return [policy|period|address|deadline]
        [who pays|do I have to pay] [for the return|the return shipping|postage when I send it back]?"""),
    _intent("wrong size", "return", "needs another size", -0.1, """
        the {clothes} [is|are] [too small|too big|too tight|too large|too long|too short|too wide]
        the {clothes} [does not fit|do not fit|doesn't fit me] [at all|], can I [exchange|swap] [it|them] for [a bigger size|size M|a larger one|a smaller one|size 42]?
        I [need|want] [a different size|one size bigger|the {clothes} in large|size S instead]
        can I [exchange|swap|trade] the {clothes} for [another colour|another size|a {color} one]?"""),
    _intent("return status", "return", "asks whether a return arrived", 0.1, """
        [has|did] my [return|returned parcel|returned {product}] [arrive|reach you|get to your warehouse] [yet|]?
        I [sent|shipped] the {product} back [on {date}|last week|ten days ago], [did you get it|is it there|no confirmation so far]
        my return [is not shown|has not been processed|was rejected|is still open] [in my account|on the website|]"""),
    _intent("arrived broken", "defect", "received a damaged item", 0.5, """
        the {product} [arrived|came|was delivered] [broken|damaged|cracked|smashed|scratched|in pieces|with a dent|torn]
        [the box|the packaging|the parcel] was [crushed|wet|torn open|damaged] and the {product} [is broken|has scratches|is ruined]
        there is a [crack|scratch|hole|stain|dent|tear] in [the {product}|my new {product}]
        [glass|parts|pieces] [of the {product}|] [were|was] [shattered|broken|bent] when I opened [the box|it]"""),
    _intent("stopped working", "defect", "has a product that stopped working", 0.4, """
        [the|my] {device} [stopped working|broke|died|is dead|gave up|failed] [after two days|after a week|after one month|yesterday|suddenly]
        [the|my] {device} [does not turn on|will not start|won't switch on|does not charge|has no power|makes a strange noise|leaks|smells burnt|gets very hot]
        the {device} [is faulty|is defective|has a defect|does not work at all|never worked]
        the [zip|seam|handle|button|strap|battery|screen|lid|wheel] of [my|the] {product} [is broken|came off|broke|fell off|is loose]
        [sparks|smoke] came out of the {device} [when I plugged it in|yesterday|and I am scared to use it]"""),
    _intent("warranty", "defect", "asks about the warranty", -0.1, """
        is [the|my] {device} still [under warranty|covered by the guarantee|in the guarantee period]?
        [how long is|what does] the [warranty|guarantee] [on|for] [a|the] {device} [|cover]?
        I [want|would like|need] [a repair|a replacement|a spare part|a new battery|a new one] [for|of] my {device} [under warranty|]
        can [you|someone] [repair|fix|replace|exchange] my {device}?
        I want to [make|file] a warranty claim [for my {device}|]"""),
    _intent("login", "account", "cannot log in", 0.4, """
        I [cannot|can't|am unable to|can no longer] [log in|sign in|login|get into my account|access my account] [anymore|since {day}|]
        [the login|signing in|my login] [fails|does not work|is not possible|keeps failing]
        my [account|profile] [is|was|has been] [locked|blocked|suspended|deactivated|disabled] [without a reason|after three attempts|]
        [it says|the site says] [wrong password|user unknown|invalid credentials|account not found] [although|but] [my password is right|I am sure about it]
        [the verification code|the two-factor code|the confirmation email|the security code] [never arrives|does not come|is always wrong|is not sent]"""),
    _intent("password", "account", "needs a new password", 0.1, """
        I [forgot|lost|cannot remember|don't know] my [password|passcode|login data|PIN]
        [how|where] [can|do] I [reset|change] my password?
        the [password reset|reset link|reset email|link for a new password] [does not work|never came|has expired|does not arrive]
        please [reset|send me] [my password|a new password|my login details]"""),
    _intent("account data", "account", "wants account data changed", -0.3, """
        [please|can you|how do I] [change|update|correct] my [email address|phone number|last name|name|user name|date of birth|profile]
        I [got married|have a new email|have a new phone number], [please update my account|how do I change my profile]
        I [registered|signed up] [with the wrong email|twice by mistake|with a typo in my name], [can you merge the accounts|please correct it]
        my [order history|address book|wish list|loyalty points|bonus points] [is|are] [gone|empty|missing] [from my account|]"""),
    _intent("delete account", "account", "wants the account deleted", -0.1, """
        [please|I want you to|kindly] [delete|close|remove|erase] my [account|profile|customer account|user account|personal data]
        I [want|would like] to [close|delete|cancel] my [account|registration|profile] [for good|and all data|]
        under [GDPR|data protection law|privacy law] I ask you to [erase|delete|show me] [all my data|my personal information|everything you store]"""),
    _intent("hacked", "account", "thinks the account was hacked", 0.9, """
        [someone|somebody|a stranger] [hacked|got into|broke into|logged into|took over] my account
        my [account|profile|login] [was|has been] [hacked|stolen|taken over|compromised]
        [there are orders|I see purchases|an address] in my account [I never made|that are not mine|I do not know]
        I got [an email|a message] [that my password was changed|about a login from another country] and [that was not me|it wasn't me]"""),
    _intent("app crash", "technical", "has a crashing app", 0.2, """
        [the|your] app [crashes|freezes|closes itself|hangs|shuts down] [when I open it|every time|on startup|after the update|on my phone|on my tablet]
        since the [update|latest version|new release] the app [crashes|does not open|is unusable|is very slow|shows a white screen]
        I [cannot|can't] [install|download|open|update] [the|your] app [on Android|on my iPhone|anymore|]
        the app [drains my battery|sends no notifications|logs me out all the time|shows an error message]"""),
    _intent("website bug", "technical", "found a fault on the website", 0.2, """
        [your website|the site|the page|your web shop] [is down|does not load|is very slow|shows an error|keeps loading|is not reachable|shows a blank page]
        [I get|there is|it shows] [error 500|error 404|an error message|a blank page|a server error] [when I click|on the|at] [checkout|the cart|buy|search|next]
        the [button|search|filter|menu|link|checkout|form|cart|basket] [does not work|does nothing|is broken|does not respond|is greyed out] [on your site|in Firefox|in Safari|]
        [my cart|the basket|my shopping cart] [empties itself|is always empty|loses everything|keeps resetting]
        [pictures|photos|prices|videos] are not [shown|displayed|loading] [on the site|in my browser|]"""),
    _intent("setup", "technical", "needs help to set up a device", -0.1, """
        how do I [connect|pair|set up|install|configure] [my|the new|the] {device} [with my phone|to the wifi|with Bluetooth|on my computer|]?
        [my|the] {device} [does not connect|won't pair|cannot find] [to|with|] [the wifi|Bluetooth|my phone|my computer]
        [where can I find|I need|do you have] [the manual|instructions|a driver|the latest firmware|software] for [the|my] {device}?
        the [software|firmware|driver] [update|] [fails|does not install|stops at 50 percent|shows an error]
        I [do not understand|am lost with] the [manual|instructions|settings] of the {device}"""),
    _intent("newsletter", "marketing", "wants to leave the newsletter", -0.6, """
        [please|I want you to] [unsubscribe me|take me off the list|remove me] [from your newsletter|from the mailing list|from your emails]
        [stop|quit] sending me [emails|newsletters|advertising|ads|spam|catalogues]
        I [get|receive] [too many emails|your newsletter every day|advertising] [though I never signed up|and do not want it]
        how do I [sign up for|subscribe to] [the newsletter|your mailing list|your catalogue]?"""),
    _intent("subscription", "subscription", "wants to end a subscription", 0.0, """
        I [want|would like|wish] to [cancel|end|stop|terminate] my [subscription|membership|monthly plan|premium plan|contract]
        [please|] [cancel|end] [the automatic renewal|my plan|the subscription] [at the end of the month|before the next payment|]
        my [subscription|membership|plan] was renewed [without asking|although I cancelled|automatically]
        can I [pause|upgrade|downgrade|change] my [subscription|plan|membership]?"""),
    _intent("cancel order", "order", "wants to cancel an order", 0.3, """
        [please|I want to|I need to|can I|can you] [cancel|stop|withdraw] [my order|the order|this purchase|the {product} I ordered]
        I [ordered|bought] [the {product}|it] [by mistake|twice by accident|by accident], [please cancel|stop it before it ships]
        [do not|please don't] [ship|send] [the {product}|it|my order], I [do not want it anymore|changed my mind]"""),
    _intent("change order", "order", "wants to change an order", 0.1, """
        can I [add|still add] a {product} to my [order|basket|last order]?
        I [would like|want|need] to [change|modify|correct] my [order|last order]: [a {color} {product} instead|one more {product}|two instead of one]
        [please|can you] [change|swap] the {product} [for|to] a {product2} [in my order|before shipping|]
        I [did not get|never received] an order confirmation [by email|]"""),
    _intent("stock", "product", "asks whether a product is available", -0.6, """
        [when|] will the {color} {product} be [back in stock|available again|back]?
        [is|do you still have] the {product} [in {color}|in stock|available] [|in size M|in your {city} store]?
        I [am looking for|cannot find|search] a {product} [in {color}|on your site|]
        the {product} is [sold out|out of stock], [when can I order it|will you get more]?"""),
    _intent("product question", "product", "has a question about a product", -0.6, """
        [what|how] [is|big is|heavy is|are] the [size|weight|dimensions|material] of the {product}?
        [is|are] the {product} [waterproof|made of leather|suitable for children|machine washable|vegan]?
        does the {product} [come with|include|need] [batteries|a cable|a bag|a cover]?
        [which|what] {product} [do you recommend|would you suggest] for [a beginner|my mother|a small room|travelling]?
        [can|may] I [use|wash|wear|put] the {product} [outdoors|in the dishwasher|in the rain|in winter]?"""),
    _intent("praise", "feedback", "is happy and says thanks", -0.9, """
        [I just want to|I would like to|let me] [say thank you|thank you|praise your team] for [the great service|the fast delivery|your help|the lovely {product}]
        the {product} is [wonderful|great|perfect|fantastic|lovely], [thanks a lot|I love it|well done]
        [great|excellent|super|amazing] [service|shop|support], [everything arrived quickly|keep it up|I will buy again]
        your colleague [{name}|on the phone] was [so helpful|very kind|really friendly]"""),
    _intent("rude staff", "feedback", "complains about the staff", 0.4, """
        your [agent|colleague|employee|staff] [on the phone|in the {city} store|in the chat] was [rude|impolite|unfriendly|very unhelpful]
        I was [on hold|in the waiting line] for [an hour|40 minutes] and [then the line was cut|nobody picked up]
        nobody [answers|replies to] my [emails|calls|messages], [what kind of service is that|this is poor service]
        I want to [complain|make a complaint] about [your service|the way I was treated|a member of your staff]"""),
    _intent("idea", "feedback", "has a suggestion", -0.8, """
        [I have|here is] [an idea|a suggestion|some feedback]: [you should|why don't you|please] [offer gift wrapping|use less plastic|add a dark mode|sell more sizes|show reviews]
        it would be [nice|great|good] if you [sold spare parts|had a shop in {city}|used paper bags|offered more colours]
        [fewer|less] [plastic|packaging|paper] in your parcels would be [good|nice]"""),
    _intent("store", "general", "asks about the shop itself", -0.7, """
        [when|at what time] does your [store|shop|branch] in {city} [open|close] [on {day}|today|]?
        [do you have|is there] a [store|shop|showroom|branch] in {city}?
        [are you|is the shop] open on [{day}|public holidays|weekends]?
        [what is|can I have] your [phone number|address|email address]?
        is there [parking|a cafe|a lift|wheelchair access] [at|in] your {city} [store|shop]?"""),
    _intent("career", "general", "asks for a job", -0.7, """
        [do you have|are there] [any jobs|open positions|an internship|vacancies] [in {city}|at your company|for students|]?
        I [would like|want] to [apply|work] [for a job|as a driver|for you|in your warehouse]
        [where|to whom] [can|do] I send my [application|CV|resume]?"""),
    _intent("business", "general", "proposes business", -0.6, """
        we [are a company in {city}|run a small shop] and [want|would like] to [sell your products|become a partner|order 200 pieces|buy in bulk]
        [I am a blogger|we are a magazine|our school|our charity] [and would like|looking for|asks for] [to work with you|a sponsor|an interview|a donation]
        [do you give|is there] [a wholesale price|a dealer price|a reseller programme]?"""),
)  # fmt: skip
