"""Words and scraps that belong to a matter, and the tasks that tie them to it: what a sentence is about hangs on few of its words."""

import random

from finetune_sdk_local.tiny.grammar import listed, say
from finetune_sdk_local.tiny.shop import AREAS
from finetune_sdk_local.tiny.talks import Frame, Talk, framed, shuffled, talk

WORDS: dict[str, list[str]] = {
    area: words.split(",")
    for area, words in {
        "payment": "refund,invoice,bill,receipt,charged twice,overcharged,double payment,credit card,debit card,bank account,bank transfer,direct debit,PayPal,IBAN,"
        "VAT,tax,statement,money back,reimbursement,repayment,instalments,fee,surcharge,amount due,balance,payment reminder,dunning letter,debt collector,unpaid,overdue bill,"
        "card declined,transaction,withdrawal,deducted,booked twice,paid already,price difference,currency,cents,euros,payslip,accounting,chargeback,deposit,Visa,Mastercard,"
        "Klarna,Apple Pay,cheque,cash,cost,pay,payment failed,credit note,total is wrong,wrong price,not refunded,billing address,money taken,bill me,tax number,ledger,proof of payment",
        "voucher": "discount,coupon,promo code,voucher,gift card,rebate,ten percent off,sale price,special offer,loyalty points,bonus,black friday,promotion,reduced,student discount,"
        "code invalid,bargain,deal,welcome code,expired voucher",
        "shipping": "parcel,package,courier,carrier,tracking,tracking number,in transit,late,delayed,not arrived,never came,lost in the post,shipment,delivery date,delivered to a neighbour,"
        "postman,driver,doorstep,depot,customs,warehouse,dispatch,express,next day,pickup point,parcel locker,left outside,wrong address,postcode,missed delivery,delivery slot,"
        "shipping costs,out for delivery,on its way,where is my order,still waiting,DHL,UPS,FedEx,Hermes,Royal Mail,post office,van,truck,letterbox,ring the bell,signature on delivery,"
        "freight,collected,stuck,sorting centre,arrival,overseas,international shipping,half the order,missing item,empty box,redeliver,porch,stolen package,nobody home,ETA",
        "return": "return,send back,return label,exchange,swap,wrong size,too small,too big,does not fit,changed my mind,return slip,return period,fourteen days,thirty days,not as described,"
        "wrong item,wrong colour,wrong model,unwanted gift,take it back,drop off,collect the return,restocking fee,unopened,unworn,original packaging,tags on,sleeves too long,too tight,"
        "too wide,different shade,do not like it,looks different,return form,returned,RMA,give it back,replace with another size,ordered two sizes,poor fit,not needed anymore,withdraw",
        "defect": "broken,faulty,defective,damaged,cracked,scratched,dent,torn,leaking,stopped working,does not turn on,warranty,guarantee,repair,spare part,smells burnt,shattered,loose,"
        "fell apart,stain,hole,dead battery,does not charge,noise,overheats,rust,bent,missing screw,chipped,frayed,peeling,mould,wobbly,jammed,flickers,sparks,snapped,ripped seam,bulge",
        "account": "login,log in,sign in,password,forgot password,reset link,user name,account locked,blocked,profile,email address change,two-factor,verification code,security code,register,"
        "sign up,delete my account,personal data,GDPR,privacy,hacked,stranger logged in,suspended,name change,phone number change,date of birth,locked out,credentials,authenticator,"
        "PIN,access denied,merge accounts,close my account,deactivate,membership number,saved address,order history gone,change my details,married name,captcha,session expired",
        "technical": "app,crash,crashes,freezes,bug,error message,error 500,error 404,website down,page does not load,blank screen,white page,slow,button does nothing,update,install,browser,"
        "Chrome,Safari,Firefox,iPhone,Android,wifi,Bluetooth,pairing,firmware,driver,software,setup,manual,reboot,restart,server,loading,spinner,timeout,glitch,search does not work,"
        "filter,dark mode,notification,cookies,cache,upload,download,sync,checkout page hangs,cart empties,screen goes black,cannot connect,reset the device,router,USB,settings,display,"
        "greyed out,link is dead,unresponsive,pop-up,PDF will not open,version,operating system,configuration",
        "marketing": "newsletter,unsubscribe,mailing list,spam,advertising,catalogue,too many emails,promotional mails,flyer,opt out,marketing mails,stop writing to me",
        "subscription": "subscription,membership,monthly plan,renewal,cancel my plan,premium,free trial,auto-renew,yearly fee,upgrade,downgrade,pause,contract,notice period,subscriber",
        "order": "cancel my order,change my order,ordered by mistake,ordered twice,add an item,order confirmation,stop the order,edit the order,wrong quantity,remove an item,before it ships",
        "product": "in stock,sold out,available,back in stock,restock,material,dimensions,weight,waterproof,colour options,recommend,compatible,batteries included,ingredients,vegan,"
        "machine washable,size chart,comes with,difference between,suitable for children,spare parts,new collection,brand,country of origin,leather,cotton,care instructions,catalogue number",
        "feedback": "thank you,great service,well done,love it,compliment,complaint,rude,unfriendly,suggestion,idea,feedback,review,stars,praise,disappointed with the service,on hold,"
        "nobody answers,kind colleague,less plastic,happy customer,keep it up,five stars,helpful staff,bad manners",
        "general": "opening hours,store,parking,phone number,job,vacancy,internship,apply,partnership,wholesale,sponsor,press,interview,donation,school project,reseller,head office,gift wrapping,"
        "showroom,public holiday,company history,directions,bulk order,sustainability,charity,event,lost glove in your store,blogger,career,visit,meeting,brochure",
    }.items()
}  # fmt: skip
URGENT = [
    "urgent",
    "asap",
    "immediately",
    "right now",
    "at once",
    "today",
    "tonight",
    "emergency",
    "furious",
    "lawyer",
    "police",
    "unacceptable",
    "deadline",
    "wedding tomorrow",
    "flight tomorrow",
    "last warning",
    "scandal",
    "third complaint",
    "outrageous",
    "hurry",
    "critical",
    "within the hour",
    "danger",
    "fire",
    "stolen money",
    "cannot work",
    "final notice",
    "disgrace",
    "fed up",
    "livid",
    "desperate",
    "exam tomorrow",
    "court",
    "consumer protection",
    "ridiculous",
    "by noon",
]
CALM = [
    "no rush",
    "no hurry",
    "whenever",
    "some time",
    "just wondering",
    "just curious",
    "take your time",
    "not urgent",
    "can wait",
    "next month",
    "out of interest",
    "small thing",
    "only asking",
    "when you can",
    "by the way",
    "one day",
    "in the future",
    "minor",
    "nothing serious",
    "happy",
    "lovely",
    "thanks a lot",
    "no problem",
    "at your leisure",
    "if you like",
    "for fun",
    "general question",
    "some day",
    "no worries",
    "not important",
    "a tip",
    "idle question",
]
PLAIN = [
    "please check",
    "let me know",
    "waiting for an answer",
    "a problem",
    "please help",
    "what now",
    "question about",
    "I need help",
    "look into it",
    "this week",
    "as agreed",
    "kindly",
    "could you",
    "a bit annoying",
    "not sure what to do",
    "thanks in advance",
    "soon",
    "next step",
    "can you confirm",
    "please advise",
]


def sort_words(rng: random.Random) -> Talk:
    """One to four words of one area; the label is a name of that area."""
    areas = rng.sample(list(WORDS), rng.choice((2, 3, 4, 5, 6)))
    names = {area: rng.choice(AREAS[area]) for area in areas}

    def pair(rng: random.Random) -> tuple[str, str]:
        area = rng.choice(areas)
        words = rng.sample(WORDS[area], rng.choice((1, 1, 2, 3)))
        text = say(
            rng,
            rng.choice(
                (
                    "{w}",
                    "{w}",
                    "it is about {w}",
                    "[a question|a problem|something] about: {w}",
                    "keywords: {w}",
                    "[hello|hi], {w}",
                )
            ),
            w=", ".join(words),
        )
        return text, names[area]

    ask = say(
        rng, "[Which department|Who handles|Which topic|Choose the label|Where does it belong|Route it to|Which area]"
    )
    return framed(rng, Frame(f"{ask}: {listed(rng, list(names.values()))}", pair))


def urgency_words(rng: random.Random) -> Talk:
    """How pressing a scrap of a message sounds."""
    steps = rng.choice(
        (
            ("low", "normal", "high"),
            ("calm", "normal", "urgent"),
            ("later", "this week", "now"),
            ("low", "medium", "high"),
            ("no", "a bit", "yes"),
        )
    )

    def pair(rng: random.Random) -> tuple[str, str]:
        step = rng.randrange(3)
        words = rng.sample((CALM, PLAIN, URGENT)[step], rng.choice((1, 1, 2)))
        matter = rng.choice(WORDS[rng.choice(list(WORDS))])
        return ", ".join(shuffled(rng, [*words, *([matter] if rng.random() < 0.5 else [])])), steps[step]

    ask = say(rng, "[How urgent does it sound|Urgency|How pressing is it|Does it hurry]")
    return framed(rng, Frame(f"{ask}: {listed(rng, steps)}", pair))


def neighbours(rng: random.Random) -> Talk:
    """Words of the same matter belong together: which fits, which does not, what is it about."""
    area, other = rng.sample(list(WORDS), 2)
    first, second, third = rng.sample(WORDS[area], 3)
    stranger = rng.choice(WORDS[other])
    kind = rng.randrange(3)
    if kind == 0:
        return talk(
            f"Which one does not belong: {', '.join(shuffled(rng, [first, second, third, stranger]))}?", stranger
        )
    if kind == 1:
        return talk(f"Which one goes with {first}: {' or '.join(shuffled(rng, [second, stranger]))}?", second)
    same = rng.random() < 0.5
    return talk(f"Are {first} and {second if same else stranger} the same topic?", "Yes." if same else "No.")
