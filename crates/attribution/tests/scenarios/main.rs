//! Who gets the credit: stories that a campaign owner can check.
//!
//! Max and Eva are affiliates, `ads` is our own advertising. The masterclass is a webinar: affiliates promote a free
//! `ticket` whose sales page is its invitation page, and it sells a `course` and a `coaching`. The book club is
//! another webinar and sells a `book`. Each story is decided with its evidence in both orders.
#![allow(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

mod story;

use std::fmt::Write as _;

use tagalong_attribution::{
    credit::Credit,
    decide::{CouponRank, Policy, TouchModel, Verdict},
    resolve::{CarriedBy, ConflictReason},
};

use crate::story::{Story, Who, click, coupon, day, hour, registration, sale, story};

/// Ann and Ben registered for the masterclass. Ann's registration for the book club is another attendee.
const ANN: Who = Who::Attendee(1, "masterclass");
const BEN: Who = Who::Attendee(2, "masterclass");
const ANN_IN_THE_BOOK_CLUB: Who = Who::Attendee(3, "book-club");
/// Somebody of whom one click is known.
const A_VISITOR: Who = Who::Click(9);

const ANNS_ADDRESS: [u8; 32] = [1; 32];

fn stories() -> Vec<Story> {
    [
        from_device_to_device(),
        several_affiliates(),
        who_the_buyer_is(),
        what_follows_a_sale(),
        when_it_happened_and_when_we_heard(),
        who_may_earn(),
        campaigns_and_products(),
        coupons(),
        forms(),
        hand_and_platform(),
    ]
    .concat()
}

fn from_device_to_device() -> Vec<Story> {
    use Credit::{Agreed, Owed};
    use Verdict::WeakerKind;

    let phone = [click("max").at(hour(10)), registration("max").at(hour(11))];

    vec![
        story("phone → PC")
            .told("Ann clicks Max's link on her phone and registers. Two days later she buys on a PC, through the link in the room. No cookie is left.")
            .knows(ANN, &phone)
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("max", WeakerKind),
        story("phone → PC, on a checkout without our link")
            .told("The same, but she types in the checkout's address. Her e-mail address tells who she is, and the platform heard of nobody.")
            .knows(ANN, &phone)
            .buys(sale("course").at(day(3)).email(&[ANN]).platform_nobody())
            .credits("max", CarriedBy::Email, Owed)
            .loses("max", WeakerKind),
    ]
}

fn several_affiliates() -> Vec<Story> {
    use Credit::{Agreed, Mismatch};
    use Verdict::{Newer, Older, SessionLocked, WeakerKind};

    vec![
        story("two affiliates")
            .told("Ann clicks Max's link on Monday and Eva's on Tuesday, and registers by herself on Wednesday. The last one counts.")
            .knows(ANN, &[click("max").at(day(1)), click("eva").at(day(2)), registration("").at(day(3))])
            .buys(sale("course").at(day(4)).token(ANN).platform("eva"))
            .credits("eva", CarriedBy::Token, Agreed)
            .loses("max", Older),
        story("two affiliates, the first counts")
            .told("The same, for a product whose policy is first touch.")
            .policy(Policy { model: TouchModel::First, ..Policy::default() })
            .knows(ANN, &[click("max").at(day(1)), click("eva").at(day(2)), registration("").at(day(3))])
            .buys(sale("course").at(day(4)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("eva", Newer),
        story("two affiliates, without a registration")
            .told("A visitor clicks both links and buys without registering. The checkout hands back the ID of Eva's click, and nothing connects it with Max's.")
            .knows(A_VISITOR, &[click("eva").at(day(2))])
            .buys(sale("course").at(day(3)).click(A_VISITOR).platform("eva"))
            .credits("eva", CarriedBy::Click, Agreed),
        story("newer cookie against registration")
            .told("Ann registered through Max. Her husband's PC still has a newer cookie from Eva's link. The registration outranks it.")
            .knows(ANN, &[registration("max").at(day(1)), click("eva").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform("eva"))
            .max_by_token(Mismatch)
            .loses("eva", WeakerKind),
        story("registered twice in one session")
            .told("Ann registers for Tuesday through Max, and again for Tuesday through Eva's reminder. The first one locked the session.")
            .knows(ANN, &[
                registration("max").at(day(1)).session("tuesday"),
                registration("eva").at(day(2)).session("tuesday"),
            ])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("eva", SessionLocked),
        story("registered in two sessions")
            .told("Ann misses Tuesday, for which Max won her, and registers for Thursday through Eva. The newer session counts.")
            .knows(ANN, &[
                registration("max").at(day(1)).session("tuesday"),
                registration("eva").at(day(2)).session("thursday"),
            ])
            .buys(sale("course").at(day(3)).token(ANN).platform("eva"))
            .credits("eva", CarriedBy::Token, Agreed)
            .loses("max", Older),
        story("registered in two sessions, and in the first again")
            .told("Then the tool reports Tuesday once more, through Zoe. Tuesday was Max's, so that report is nobody's; Thursday is still the newer session.")
            .knows(ANN, &[
                registration("max").at(day(1)).session("tuesday"),
                registration("eva").at(day(2)).session("thursday"),
                registration("zoe").at(day(3)).session("tuesday"),
            ])
            .buys(sale("course").at(day(4)).token(ANN).platform("eva"))
            .credits("eva", CarriedBy::Token, Agreed)
            .loses("max", Older)
            .loses("zoe", SessionLocked),
    ]
}

fn who_the_buyer_is() -> Vec<Story> {
    use ConflictReason::{Invalid, OtherWebinar, Outranked, Unknown};
    use Credit::{Agreed, Owed, PlatformOnly};
    use Verdict::{AfterSale, UnrelatedProduct, WeakerKind};

    vec![
        story("forwarded link")
            .told("Ann forwards her purchase link to Ben, who registered through Eva and pays with his own address. The link in his hand is Ann's, so the sale is Max's; Ben is listed as a conflict.")
            .knows(ANN, &[registration("max").at(day(1))])
            .knows(BEN, &[registration("eva").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).email(&[BEN]).platform("max"))
            .max_by_token(Agreed)
            .conflict(CarriedBy::Email, Outranked),
        story("couple sharing one e-mail")
            .told("Ann and Ben registered with one address, Ann through Max, Ben later through Eva. By the address alone, the newest registration before the sale counts.")
            .knows(ANN, &[registration("max").at(day(1))])
            .knows(BEN, &[registration("eva").at(day(2)), registration("eva").at(day(9))])
            .buys(sale("course").at(day(3)).email(&[ANN, BEN]).platform_nobody())
            .credits("eva", CarriedBy::Email, Owed)
            .loses("eva", AfterSale)
            .conflict(CarriedBy::Email, Outranked),
        story("couple sharing one e-mail, with a token")
            .told("The same, but it was Ann's link that was used. The token tells the two apart.")
            .knows(ANN, &[registration("max").at(day(1))])
            .knows(BEN, &[registration("eva").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).email(&[ANN, BEN]).platform("max"))
            .max_by_token(Agreed)
            .conflict(CarriedBy::Email, Outranked),
        story("other e-mail at checkout")
            .told("Ann registered with her private address and pays with the company's, which nobody knows. The token does not care.")
            .knows(ANN, &[click("max").at(hour(10)), registration("max").at(hour(11))])
            .buys(sale("course").at(day(2)).token(ANN).unknown_email().platform("max"))
            .max_by_token(Agreed)
            .loses("max", WeakerKind)
            .conflict(CarriedBy::Email, Unknown),
        story("token of another webinar")
            .told("Ann opens the course's checkout with the token of the book club, to which Eva brought her. The book club does not sell the course; the masterclass does, and there Max brought her.")
            .knows(ANN, &[registration("max").at(day(1))])
            .knows(ANN_IN_THE_BOOK_CLUB, &[registration("eva").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN_IN_THE_BOOK_CLUB).email(&[ANN]).platform_nobody())
            .credits("max", CarriedBy::Email, Owed)
            .conflict(CarriedBy::Token, OtherWebinar),
        story("token of another webinar, and nothing else")
            .told("The same without a known address. The book club's registration does not count for the course.")
            .knows(ANN_IN_THE_BOOK_CLUB, &[registration("eva").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN_IN_THE_BOOK_CLUB).platform("eva"))
            .nobody(Some(CarriedBy::Token), PlatformOnly)
            .loses("eva", UnrelatedProduct),
        story("forged token")
            .told("Somebody changes a character of the token. It is nobody's, and the address still tells who Ann is.")
            .knows(ANN, &[registration("max").at(day(1))])
            .buys(sale("course").at(day(3)).forged_token().email(&[ANN]).platform("max"))
            .credits("max", CarriedBy::Email, Agreed)
            .conflict(CarriedBy::Token, Invalid),
        story("unresolved merge tag")
            .told("The reminder mail's link said *|AFF|*, and Ann registered through it. A merge tag is no affiliate: Max's click still counts.")
            .knows(ANN, &[click("max").at(day(1)), registration("*|AFF|*").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed),
    ]
}

fn what_follows_a_sale() -> Vec<Story> {
    use Credit::{Agreed, PlatformOnly};
    use Verdict::{OutsideWindow, Overruled};

    vec![
        story("upsell")
            .told("After the course Ann adds the coaching. It follows the course, though Eva's registration came in between.")
            .knows(ANN, &[registration("max").at(day(1)), registration("eva").at(day(2))])
            .buys(sale("coaching").at(day(3)).order(ANN).inherits(Some("max")).platform("max"))
            .credits("max", CarriedBy::Order, Agreed)
            .loses("max", Overruled)
            .loses("eva", Overruled),
        story("upsell of a sale that was nobody's")
            .told("Nobody was credited for the course, so nobody is for the coaching.")
            .knows(ANN, &[registration("eva").at(day(2))])
            .buys(sale("coaching").at(day(3)).order(ANN).inherits(None).platform_nobody())
            .nobody(Some(CarriedBy::Order), Credit::None)
            .loses("eva", Overruled),
        story("instalment after the window")
            .told("Ann pays in rates, the last one 120 days later. An instalment is a payment of the same item and is not decided; where the platform reports it as a new order, it inherits.")
            .knows(ANN, &[registration("max").at(day(1))])
            .buys(sale("course").at(day(122)).order(ANN).inherits(Some("max")).platform("max"))
            .credits("max", CarriedBy::Order, Agreed)
            .loses("max", Overruled),
        story("a new sale after the window")
            .told("What is no instalment but a purchase of its own 120 days later is nobody's.")
            .knows(ANN, &[registration("max").at(day(1))])
            .buys(sale("course").at(day(121)).token(ANN).platform("max"))
            .nobody(Some(CarriedBy::Token), PlatformOnly)
            .loses("max", OutsideWindow),
    ]
}

fn when_it_happened_and_when_we_heard() -> Vec<Story> {
    use Credit::{Agreed, PlatformOnly};
    use Verdict::{AfterSale, ReceivedAfterSettling};

    vec![
        story("refund before sale")
            .told("The refund's notification overtakes the sale's, which arrives a week late. Neither the refund nor the delay enters the decision: the sale counts from its own time.")
            .knows(ANN, &[registration("max").at(day(1)), click("eva").at(day(5))])
            .buys(sale("course").at(day(3)).first_reported(day(10)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("eva", AfterSale),
        story("sale before registration")
            .told("The webinar tool reports Ann's registration only days after her purchase. It happened before the sale and is received before it settles, so it counts.")
            .knows(ANN, &[registration("max").at(day(1)).received(day(9))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed),
        story("sale before registration, settled")
            .told("The same, but the report comes three weeks late, when the sale has settled.")
            .knows(ANN, &[registration("max").at(day(1)).received(day(24))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .nobody(Some(CarriedBy::Token), PlatformOnly)
            .loses("max", ReceivedAfterSettling),
        story("registered only after buying")
            .told("Ann buys, and registers through Max afterwards, to see the room. He did not bring the sale.")
            .knows(ANN, &[registration("max").at(day(4))])
            .buys(sale("course").at(day(3)).email(&[ANN]).platform_nobody())
            .nobody(Some(CarriedBy::Email), Credit::None)
            .loses("max", AfterSale),
    ]
}

fn who_may_earn() -> Vec<Story> {
    use Credit::{Agreed, Mismatch, PlatformOnly};
    use Verdict::{House, OtherProgramme, SelfReferral, Suspended};

    vec![
        story("same affiliate ID in two programmes")
            .told("Max at Digistore24 is somebody else than Max at CopeCart, where the course is sold. The older click of the right one counts.")
            .knows(ANN, &[click("max").at(day(1)), registration("max").issued_by("digistore").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("max", OtherProgramme),
        story("same affiliate ID in the other programme only")
            .told("Only the Max of Digistore24 brought Ann. He earns nothing at CopeCart.")
            .knows(ANN, &[registration("max").issued_by("digistore").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform_nobody())
            .nobody(Some(CarriedBy::Token), Credit::None)
            .loses("max", OtherProgramme),
        story("house ad after partner")
            .told("Max brought Ann; our own retargeting caught her again, and she registered through it. Our advertising never displaces a partner.")
            .house("ads")
            .knows(ANN, &[click("max").at(day(1)), registration("ads").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("ads", House),
        story("house ad alone")
            .told("Nobody but our own advertising brought Ann.")
            .house("ads")
            .knows(ANN, &[registration("ads").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform("ads"))
            .credits("ads", CarriedBy::Token, Agreed),
        story("suspended at the sale")
            .told("Eva is suspended since Wednesday; Ann buys on Thursday. Max's older click counts.")
            .suspended("eva", day(3), None)
            .knows(ANN, &[click("max").at(day(1)), registration("eva").at(day(2))])
            .buys(sale("course").at(day(4)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("eva", Suspended),
        story("suspended at the touch")
            .told("Eva was suspended when Ann registered through her, and is reinstated before Ann buys.")
            .suspended("eva", day(1), Some(day(3)))
            .knows(ANN, &[registration("eva").at(day(2))])
            .buys(sale("course").at(day(4)).token(ANN).platform("eva"))
            .nobody(Some(CarriedBy::Token), PlatformOnly)
            .loses("eva", Suspended),
        story("suspended in between")
            .told("Eva was suspended for a day between registration and sale. That costs her nothing.")
            .suspended("eva", day(2), Some(day(3)))
            .knows(ANN, &[registration("eva").at(day(1))])
            .buys(sale("course").at(day(4)).token(ANN).platform("eva"))
            .credits("eva", CarriedBy::Token, Agreed),
        story("buying through one's own link")
            .told("Ann is an affiliate herself and clicks her own link before she buys. Max, who brought her first, keeps the credit.")
            .address("ann-sells", ANNS_ADDRESS)
            .knows(ANN, &[click("max").at(day(1)), registration("ann-sells").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).paid_by(ANNS_ADDRESS).platform("ann-sells"))
            .max_by_token(Mismatch)
            .loses("ann-sells", SelfReferral),
    ]
}

fn campaigns_and_products() -> Vec<Story> {
    use Credit::Agreed;
    use Verdict::{CampaignEnded, UnrelatedProduct};

    vec![
        story("campaign over")
            .told("The masterclass's campaign ended on Friday; Ann buys on Saturday, well inside the window.")
            .campaign_ends(day(5))
            .knows(ANN, &[registration("max").at(day(1))])
            .buys(sale("course").at(day(6)).token(ANN).platform_nobody())
            .nobody(Some(CarriedBy::Token), Credit::None)
            .loses("max", CampaignEnded),
        story("campaign over, the course's own link is not")
            .told("The same, but Max also has a link to the course itself, which needs no webinar.")
            .campaign_ends(day(5))
            .knows(ANN, &[registration("max").at(day(1)), click("max").on("course").at(day(1))])
            .buys(sale("course").at(day(6)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("max", CampaignEnded),
        story("touch on a product that no webinar connects")
            .told("Eva's newer link was for the book. The book club does not sell the course.")
            .knows(ANN, &[click("max").at(day(1)), click("eva").on("book").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("eva", UnrelatedProduct),
    ]
}

fn coupons() -> Vec<Story> {
    use CouponRank::{AboveAll, Registration};
    use Credit::{Agreed, Mismatch};
    use Verdict::{CouponIgnored, Older, WeakerKind};

    vec![
        story("coupon, ignored")
            .told("Ann types in Eva's code. The policy ignores coupons unless told otherwise.")
            .knows(ANN, &[registration("max").at(day(1)), coupon("eva").at(day(3))])
            .buys(sale("course").at(day(3)).token(ANN).platform("eva"))
            .max_by_token(Mismatch)
            .loses("eva", CouponIgnored),
        story("coupon, above all")
            .told("The same, where the policy lets the code decide.")
            .policy(Policy { coupon_rank: AboveAll, ..Policy::default() })
            .knows(ANN, &[registration("max").at(day(1)), coupon("eva").at(day(3))])
            .buys(sale("course").at(day(3)).token(ANN).platform("eva"))
            .credits("eva", CarriedBy::Token, Agreed)
            .loses("max", WeakerKind),
        story("coupon, like a registration")
            .told("The same, where a code counts as much as a registration: it is the newer of the two.")
            .policy(Policy { coupon_rank: Registration, ..Policy::default() })
            .knows(ANN, &[registration("max").at(day(1)), coupon("eva").at(day(3))])
            .buys(sale("course").at(day(3)).token(ANN).platform("eva"))
            .credits("eva", CarriedBy::Token, Agreed)
            .loses("max", Older),
        story("coupon, like a click")
            .told("The same, where a code counts as much as a click: the registration is stronger.")
            .policy(Policy { coupon_rank: CouponRank::Click, ..Policy::default() })
            .knows(ANN, &[registration("max").at(day(1)), coupon("eva").at(day(3))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("eva", WeakerKind),
    ]
}

fn forms() -> Vec<Story> {
    use Credit::Agreed;
    use Verdict::{Unverified, UnverifiedTooLate};

    vec![
        story("form claim after verified registration")
            .told("Max's registration of Ann is verified. Afterwards somebody posts the public form with her address and Eva's ID.")
            .knows(ANN, &[registration("max").at(day(1)), registration("eva").unverified().at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("eva", UnverifiedTooLate),
        story("form claim after a verified registration of nobody's")
            .told("The same, but Ann had come by herself. She stays nobody's.")
            .knows(ANN, &[registration("").at(day(1)), registration("eva").unverified().at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform_nobody())
            .nobody(Some(CarriedBy::Token), Credit::None)
            .loses("eva", UnverifiedTooLate),
        story("form before verified registration")
            .told("The landing page's form named Eva first. It counts, but not against the verified registration.")
            .knows(ANN, &[registration("eva").unverified().at(day(1)), registration("max").at(day(2))])
            .buys(sale("course").at(day(3)).token(ANN).platform("max"))
            .max_by_token(Agreed)
            .loses("eva", Unverified),
    ]
}

fn hand_and_platform() -> Vec<Story> {
    use ConflictReason::Unknown;
    use Credit::{Mismatch, Owed, PlatformOnly, Unreported};
    use Verdict::Overruled;

    vec![
        story("assigned by hand")
            .told("Support checked a complaint and assigned the sale to Eva.")
            .knows(ANN, &[registration("max").at(day(1))])
            .buys(sale("course").at(day(3)).token(ANN).assigned("eva").platform("max"))
            .credits("eva", CarriedBy::Token, Mismatch)
            .loses("max", Overruled),
        story("the platform credits nobody")
            .told("The platform lost Max between link and checkout. He is owed the sale.")
            .knows(ANN, &[registration("max").at(day(1))])
            .buys(sale("course").at(day(3)).token(ANN).platform_nobody())
            .max_by_token(Owed),
        story("the platform credits somebody else")
            .told("The platform's own cookie was Eva's.")
            .knows(ANN, &[registration("max").at(day(1))])
            .buys(sale("course").at(day(3)).token(ANN).platform("eva"))
            .max_by_token(Mismatch),
        story("the platform never says")
            .told("Stripe does not know affiliates.")
            .knows(ANN, &[registration("max").at(day(1))])
            .buys(sale("course").at(day(3)).token(ANN).platform_never_says())
            .max_by_token(Unreported),
        story("a stranger whom the platform credits")
            .told("We know nothing of the buyer; the platform credits Eva.")
            .buys(sale("course").at(day(3)).unknown_email().platform("eva"))
            .nobody(None, PlatformOnly)
            .conflict(CarriedBy::Email, Unknown),
        story("a stranger")
            .told("Nobody knows the buyer, and nobody is credited.")
            .buys(sale("course").at(day(3)).platform_nobody())
            .nobody(None, Credit::None),
    ]
}

#[test]
fn every_story_ends_as_told() {
    let stories = stories();
    let failures: Vec<&Story> = stories.iter().filter(|story| !story.ends_as_told()).collect();
    assert!(failures.is_empty(), "{}", table(&failures));
}

#[test]
fn every_story_has_a_name_of_its_own() {
    let mut names: Vec<&str> = stories().iter().map(|story| story.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

fn table(failures: &[&Story]) -> String {
    let mut text = String::from("stories that end otherwise:\n");
    for story in failures {
        let seen = story.ending(false);
        let _ = write!(
            text,
            "\n{}\n  {}\n  told: {}\n  seen: {}\n  why:  {}\n",
            story.name, story.text, story.expected, seen.0, seen.1
        );
        let reversed = story.ending(true);
        if reversed.0 != seen.0 {
            let _ = writeln!(text, "  seen with the evidence in the other order: {}", reversed.0);
        }
    }
    text
}
