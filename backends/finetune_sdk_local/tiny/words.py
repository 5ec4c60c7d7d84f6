"""The word lists of the corpus: people, places, things, and small facts about them."""

_W = str.split

NAMES = _W(
    "Anna Ben Clara David Emma Felix Grace Henry Ines Jack Karin Leo Maria Noah Olivia Paul Quinn Rosa Sam Tina Umar Vera Will Xenia Yusuf Zoe "
    "Adam Beth Carlos Diana Erik Fatima George Hannah Ivan Julia Kevin Laura Mark Nina Oscar Petra Ravi Sofia Tom Ursula Victor Wendy Aisha Bruno "
    "Chloe Daniel Elena Frank Gina Hugo Irene James Kate Lucas Mia Nora Omar Priya Robert Sarah Thomas Linda Peter Marta Simon Lena Jonas Amir "
    "Alice Brian Cathy Derek Ellen Fred Gloria Harry Iris Joan Karl Lily Mike Nick Opal Pete Rita Steve Tara Uma Vince Walt Yara Zack Mei Kenji"
)
SURNAMES = _W(
    "Smith Jones Miller Brown Garcia Rossi Weber Novak Silva Khan Patel Kim Lopez Martin Fischer Berg Olsen Dubois Moreau Kowalski Ivanov Tanaka "
    "Sato Nguyen Chen Wang Singh Ali Hansen Larsen Becker Wagner Meyer Young Clark Lewis Walker Hall Wright Green Baker Adams Nelson Carter Turner"
)
CAPITALS = dict(
    pair.split(":")
    for pair in _W(
        "France:Paris Germany:Berlin Italy:Rome Spain:Madrid Portugal:Lisbon Poland:Warsaw Austria:Vienna Norway:Oslo Sweden:Stockholm Finland:Helsinki "
        "Denmark:Copenhagen Greece:Athens Ireland:Dublin Hungary:Budapest Japan:Tokyo China:Beijing India:Delhi Egypt:Cairo Kenya:Nairobi Peru:Lima "
        "Chile:Santiago Cuba:Havana Canada:Ottawa Russia:Moscow Turkey:Ankara Iran:Tehran Iraq:Baghdad Thailand:Bangkok Belgium:Brussels England:London"
    )
)
CITIES = sorted(
    {*CAPITALS.values()}
    | set(
        _W(
            "Hamburg Munich Lyon Milan Porto Leeds Boston Chicago Denver Austin Seattle Toronto Sydney Zurich Geneva Oxford Bristol Krakow Prague"
        )
    )
)
PRODUCTS = [
    "laptop",
    "headphones",
    "coffee machine",
    "winter jacket",
    "running shoes",
    "desk lamp",
    "phone case",
    "backpack",
    "keyboard",
    "blender",
    "toaster",
    "office chair",
    "tent",
    "bike helmet",
    "dress",
    "pair of jeans",
    "t-shirt",
    "sweater",
    "watch",
    "camera",
    "printer",
    "monitor",
    "tablet",
    "speaker",
    "kettle",
    "vacuum cleaner",
    "rug",
    "sofa",
    "mirror",
    "bookshelf",
    "mattress",
    "pillow",
    "blanket",
    "frying pan",
    "knife set",
    "garden hose",
    "drill",
    "lawn mower",
    "water bottle",
    "yoga mat",
    "football",
    "board game",
    "puzzle",
    "toy train",
    "doll",
    "stroller",
    "car seat",
    "perfume",
    "shampoo",
    "face cream",
    "necklace",
    "ring",
    "scarf",
    "hat",
    "gloves",
    "boots",
    "sandals",
    "suitcase",
    "wallet",
    "umbrella",
    "charger",
    "router",
    "memory card",
    "mouse",
    "game console",
    "television",
    "fridge",
    "oven",
    "washing machine",
    "hair dryer",
    "electric toothbrush",
    "coat",
    "shirt",
    "skirt",
    "socks",
    "sunglasses",
    "guitar",
    "desk",
    "table",
    "wardrobe",
    "curtains",
]
PLURAL_PRODUCTS = frozenset(
    ["headphones", "running shoes", "gloves", "boots", "sandals", "socks", "sunglasses", "curtains"]
)
COLORS = _W("red blue green yellow black white grey brown orange purple pink silver golden beige")
DAYS = _W("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _W("January February March April May June July August September October November December")
JOBS = _W(
    "teacher doctor nurse baker farmer driver pilot lawyer singer painter plumber waiter chef writer engineer dentist tailor gardener soldier clerk"
)
NUMBERS = _W(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
)

KINDS: dict[str, list[str]] = {
    "animal": _W(
        "dog cat horse cow sheep goat lion tiger bear wolf fox rabbit mouse elephant monkey snake frog eagle owl duck chicken whale shark bee ant"
    ),
    "fruit": _W("apple pear banana cherry grape lemon orange peach plum mango melon strawberry kiwi pineapple fig"),
    "vegetable": _W("carrot potato onion tomato cabbage spinach pepper cucumber garlic pea bean leek pumpkin broccoli"),
    "drink": _W("water milk tea coffee juice wine beer lemonade cocoa cider"),
    "vehicle": _W("car bus train truck bicycle boat ship plane tram van scooter helicopter taxi ferry"),
    "tool": _W("hammer saw drill wrench screwdriver axe shovel rake pliers ladder"),
    "furniture": _W("chair table sofa bed desk shelf wardrobe bench stool cupboard"),
    "clothing": _W("shirt dress coat hat scarf glove sock skirt jacket trousers sweater belt"),
    "color": COLORS,
    "city": _W("Paris Berlin Rome Madrid Vienna Oslo Dublin Tokyo Cairo Lima Boston Chicago Sydney Prague"),
    "country": list(CAPITALS),
    "profession": JOBS,
    "instrument": _W("piano guitar violin flute drum trumpet harp cello organ clarinet"),
    "sport": _W("football tennis golf hockey swimming rowing boxing running cycling skiing basketball"),
    "weather": _W("rain snow wind storm fog hail sunshine thunder frost"),
    "family": _W("mother father sister brother uncle aunt cousin grandmother son daughter nephew"),
    "metal": _W("iron gold silver copper tin steel zinc lead"),
    "tree": _W("oak pine birch maple willow elm beech cedar"),
    "flower": _W("rose tulip daisy lily violet orchid poppy"),
    "body part": _W("hand foot head arm leg nose ear eye knee shoulder finger neck"),
}
OPPOSITES = [
    (a, b)
    for a, b in (
        pair.split(":")
        for pair in _W(
            "hot:cold big:small fast:slow old:new open:closed full:empty early:late cheap:expensive hard:soft heavy:light dark:bright loud:quiet wet:dry "
            "long:short high:low strong:weak happy:sad good:bad right:wrong clean:dirty near:far rich:poor safe:dangerous easy:difficult thick:thin "
            "wide:narrow deep:shallow true:false first:last buy:sell give:take push:pull start:stop win:lose arrive:leave accept:refuse love:hate "
            "remember:forget break:repair send:receive lend:borrow up:down inside:outside before:after always:never day:night friend:enemy question:answer "
            "success:failure profit:loss polite:rude brave:afraid broken:working missing:found urgent:unimportant angry:calm damaged:intact locked:unlocked"
        )
    )
]
SYNONYMS = [
    group.split("/")
    for group in _W(
        "parcel/package/box/shipment refund/repayment/reimbursement courier/carrier/driver invoice/bill/receipt broken/faulty/defective/damaged "
        "quick/fast/rapid/speedy begin/start/commence big/large/huge/enormous small/little/tiny happy/glad/pleased/cheerful sad/unhappy/miserable "
        "angry/furious/mad/annoyed buy/purchase/order help/assist/support/aid fix/repair/mend error/mistake/fault/bug discount/rebate/reduction "
        "voucher/coupon shop/store client/customer/buyer late/delayed/overdue login/sign-in password/passcode cancel/terminate/stop urgent/pressing "
        "price/cost/fee/charge answer/reply/response ask/request/inquire deliver/ship/send wrong/incorrect/false begin/start end/finish/stop "
        "crash/freeze/hang lost/missing/vanished torn/ripped cracked/smashed size/fit dispatch/ship/send warranty/guarantee account/profile "
        "subscription/membership payment/transaction item/product/article application/app website/site/page address/location phone/mobile/telephone "
        "smart/clever/bright rude/impolite nice/kind/friendly hard/difficult/tough simple/easy rich/wealthy job/work road/street child/kid"
    )
]
PAST = dict(
    pair.split(":")
    for pair in _W(
        "go:went come:came see:saw eat:ate drink:drank buy:bought sell:sold give:gave take:took write:wrote read:read run:ran swim:swam find:found "
        "lose:lost break:broke bring:brought think:thought know:knew make:made send:sent pay:paid say:said tell:told leave:left feel:felt keep:kept "
        "walk:walked talk:talked open:opened close:closed order:ordered cancel:cancelled return:returned call:called need:needed want:wanted "
        "arrive:arrived wait:waited ask:asked answer:answered help:helped clean:cleaned cook:cooked paint:painted visit:visited carry:carried try:tried"
    )
)
