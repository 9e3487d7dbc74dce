//! A decision in a sentence.

use crate::{
    credit::Credit,
    decide::{Basis, Decision, Touch, TouchKind, Verdict},
    resolve::{Buyer, CarriedBy, Resolution},
};

/// Why the item is whose it is, in one English sentence without personal data.
#[must_use]
pub fn reason(
    resolution: &Resolution,
    decision: &Decision,
    touches: &[Touch],
    credit: Option<Credit>,
    platform_affiliate: Option<&str>,
) -> String {
    let mut text = match (&decision.affiliate, decision.basis) {
        (Some(affiliate), Basis::Touch(id)) => {
            let touch = touches.iter().find(|touch| touch.id == id);
            let evidence = touch.map_or_else(String::new, |touch| {
                format!(" by the {} of {:.0}", kind(touch.kind), touch.at)
            });
            format!("{affiliate} brought the buyer{evidence}{}", carried(resolution))
        }
        (Some(affiliate), Basis::Inherited(_)) => {
            format!("{affiliate} is credited as for the order that this item belongs to")
        }
        (None, Basis::Inherited(_)) => {
            "nobody is credited, as for the order that this item belongs to".to_owned()
        }
        (Some(affiliate), _) => format!("{affiliate} was assigned by hand"),
        (None, Basis::Assigned) => "nobody is credited: assigned by hand".to_owned(),
        (None, _) => format!("nobody is credited: {}", why_nobody(resolution, decision)),
    };
    let Some(credit) = credit else { return text };
    match credit {
        Credit::Agreed => text.push_str("; the platform credited the same"),
        Credit::Owed => {
            text.push_str("; the platform credited nobody");
            text.push_str(why_owed(resolution, decision));
        }
        Credit::Mismatch => {
            text.push_str("; the platform credited ");
            text.push_str(platform_affiliate.unwrap_or("somebody else"));
        }
        Credit::PlatformOnly => {
            text.push_str("; only the platform credited ");
            text.push_str(platform_affiliate.unwrap_or("somebody"));
        }
        Credit::Unreported => text.push_str("; the platform does not say whom it credited"),
        Credit::None => {}
    }
    text
}

fn kind(kind: TouchKind) -> &'static str {
    match kind {
        TouchKind::Click => "click",
        TouchKind::Landing => "landing",
        TouchKind::Registration => "registration",
        TouchKind::Coupon => "coupon",
    }
}

fn carried(resolution: &Resolution) -> &'static str {
    match resolution.carried_by {
        Some(CarriedBy::Token) => ", recognised by the token in the purchase link",
        Some(CarriedBy::Order) => ", recognised by the order that this one follows",
        Some(CarriedBy::Registration) => ", recognised by the registration's ID",
        Some(CarriedBy::Click) => ", recognised by the click's ID",
        Some(CarriedBy::Email) => ", recognised by the e-mail address",
        None => "",
    }
}

/// A checkout that hands back what only our link gave it was not opened without the affiliate.
fn why_owed(resolution: &Resolution, decision: &Decision) -> &'static str {
    match (decision.basis, resolution.carried_by) {
        (Basis::Touch(_), Some(CarriedBy::Token)) => {
            ", although its checkout handed back our token"
        }
        (Basis::Touch(_), Some(CarriedBy::Click)) => {
            ", although its checkout handed back our click ID"
        }
        (Basis::Touch(_), _) => ", because its checkout was opened without the affiliate",
        (Basis::Inherited(_) | Basis::Assigned | Basis::Nothing, _) => "",
    }
}

fn why_nobody(resolution: &Resolution, decision: &Decision) -> &'static str {
    if resolution.buyer == Buyer::Unknown && decision.verdicts.is_empty() {
        return "the buyer is nobody we know";
    }
    let [(_, first), rest @ ..] = decision.verdicts.as_slice() else {
        return "no affiliate brought the buyer";
    };
    if rest.iter().any(|(_, verdict)| verdict != first) {
        return "none of the touches counts";
    }
    match first {
        Verdict::OtherProgramme => "the affiliate belongs to another programme",
        Verdict::UnrelatedProduct => "no webinar connects the affiliate's link to this product",
        Verdict::AfterSale => "the affiliate came after the sale",
        Verdict::OutsideWindow => "the window from touch to sale had passed",
        Verdict::CampaignEnded => "the campaign had ended",
        Verdict::ReceivedAfterSettling => "the evidence was received after the sale had settled",
        Verdict::UnverifiedTooLate => "an unverified claim came after a verified registration",
        Verdict::Suspended => "the affiliate was suspended",
        Verdict::SelfReferral => "the affiliate is the buyer",
        Verdict::CouponIgnored => "coupons do not count for this product",
        _ => "none of the touches counts",
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::decide::Reach;

    const ID: Uuid = Uuid::from_u128(1);

    fn touch(kind: TouchKind) -> Touch {
        let at = "2026-11-22T10:30:00.75Z".parse().unwrap();
        Touch {
            id: ID,
            kind,
            programme: "copecart".parse().unwrap(),
            affiliate: "max".parse().unwrap(),
            at,
            received_at: at,
            verified: true,
            session: None,
            reach: Reach::Unbounded,
        }
    }

    fn resolution(carried_by: Option<CarriedBy>) -> Resolution {
        let buyer = carried_by.map_or(Buyer::Unknown, |_| Buyer::Attendee(ID));
        Resolution { buyer, carried_by, conflicts: Vec::new() }
    }

    fn decision(affiliate: Option<&str>, basis: Basis, verdicts: &[Verdict]) -> Decision {
        Decision {
            affiliate: affiliate.map(|affiliate| affiliate.parse().unwrap()),
            basis,
            verdicts: verdicts.iter().map(|verdict| (ID, *verdict)).collect(),
        }
    }

    #[test]
    fn who_brought_the_buyer() {
        for (kind, by, expected) in [
            (
                TouchKind::Registration,
                Some(CarriedBy::Token),
                "max brought the buyer by the registration of 2026-11-22T10:30:00Z, recognised by the token in the purchase link",
            ),
            (
                TouchKind::Landing,
                Some(CarriedBy::Order),
                "max brought the buyer by the landing of 2026-11-22T10:30:00Z, recognised by the order that this one follows",
            ),
            (
                TouchKind::Registration,
                Some(CarriedBy::Registration),
                "max brought the buyer by the registration of 2026-11-22T10:30:00Z, recognised by the registration's ID",
            ),
            (
                TouchKind::Click,
                Some(CarriedBy::Click),
                "max brought the buyer by the click of 2026-11-22T10:30:00Z, recognised by the click's ID",
            ),
            (
                TouchKind::Registration,
                Some(CarriedBy::Email),
                "max brought the buyer by the registration of 2026-11-22T10:30:00Z, recognised by the e-mail address",
            ),
            (
                TouchKind::Coupon,
                None,
                "max brought the buyer by the coupon of 2026-11-22T10:30:00Z",
            ),
        ] {
            let decision = decision(Some("max"), Basis::Touch(ID), &[Verdict::Won]);
            let text = reason(&resolution(by), &decision, &[touch(kind)], None, None);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn what_overrules_the_evidence() {
        let overruled = &[Verdict::Overruled];
        for (affiliate, basis, expected) in [
            (
                Some("max"),
                Basis::Inherited(ID),
                "max is credited as for the order that this item belongs to",
            ),
            (
                None,
                Basis::Inherited(ID),
                "nobody is credited, as for the order that this item belongs to",
            ),
            (Some("max"), Basis::Assigned, "max was assigned by hand"),
            (None, Basis::Assigned, "nobody is credited: assigned by hand"),
        ] {
            let resolution = resolution(Some(CarriedBy::Order));
            let decision = decision(affiliate, basis, overruled);
            let touches = [touch(TouchKind::Click)];
            assert_eq!(reason(&resolution, &decision, &touches, None, None), expected);
            assert_eq!(
                reason(&resolution, &decision, &touches, Some(Credit::Owed), None)
                    .strip_prefix(expected),
                Some("; the platform credited nobody"),
            );
        }
    }

    #[test]
    fn why_nobody_is_credited() {
        use Verdict::{
            AfterSale, CampaignEnded, CouponIgnored, OtherProgramme, OutsideWindow,
            ReceivedAfterSettling, SelfReferral, Suspended, UnrelatedProduct, UnverifiedTooLate,
        };
        let known = Some(CarriedBy::Email);
        for (by, verdicts, expected) in [
            (None, &[][..], "the buyer is nobody we know"),
            (known, &[], "no affiliate brought the buyer"),
            (known, &[OtherProgramme], "the affiliate belongs to another programme"),
            (
                known,
                &[UnrelatedProduct],
                "no webinar connects the affiliate's link to this product",
            ),
            (known, &[AfterSale], "the affiliate came after the sale"),
            (known, &[OutsideWindow, OutsideWindow], "the window from touch to sale had passed"),
            (known, &[CampaignEnded], "the campaign had ended"),
            (
                known,
                &[ReceivedAfterSettling],
                "the evidence was received after the sale had settled",
            ),
            (known, &[UnverifiedTooLate], "an unverified claim came after a verified registration"),
            (known, &[Suspended], "the affiliate was suspended"),
            (known, &[SelfReferral], "the affiliate is the buyer"),
            (None, &[CouponIgnored], "coupons do not count for this product"),
            (known, &[Suspended, AfterSale], "none of the touches counts"),
        ] {
            let decision = decision(None, Basis::Nothing, verdicts);
            let text = reason(&resolution(by), &decision, &[], None, None);
            assert_eq!(text, format!("nobody is credited: {expected}"));
        }
    }

    #[test]
    fn what_the_platform_did() {
        use CarriedBy::{Click, Email, Token};
        let brought = "max brought the buyer by the click of 2026-11-22T10:30:00Z";
        for (credit, by, platform, expected) in [
            (Credit::Agreed, Token, Some("max"), "; the platform credited the same"),
            (
                Credit::Owed,
                Email,
                None,
                "; the platform credited nobody, because its checkout was opened without the affiliate",
            ),
            (
                Credit::Owed,
                Token,
                None,
                "; the platform credited nobody, although its checkout handed back our token",
            ),
            (
                Credit::Owed,
                Click,
                None,
                "; the platform credited nobody, although its checkout handed back our click ID",
            ),
            (Credit::Mismatch, Token, Some("eva"), "; the platform credited eva"),
            (Credit::Mismatch, Token, None, "; the platform credited somebody else"),
            (Credit::Unreported, Token, None, "; the platform does not say whom it credited"),
        ] {
            let resolution = resolution(Some(by));
            let decision = decision(Some("max"), Basis::Touch(ID), &[Verdict::Won]);
            let touches = [touch(TouchKind::Click)];
            let text = reason(&resolution, &decision, &touches, Some(credit), platform);
            assert_eq!(text, format!("{brought}{}{expected}", carried(&resolution)));
        }
        for (credit, platform, expected) in [
            (Credit::PlatformOnly, Some("eva"), "; only the platform credited eva"),
            (Credit::PlatformOnly, None, "; only the platform credited somebody"),
            (Credit::None, None, ""),
        ] {
            let nobody = decision(None, Basis::Nothing, &[]);
            let text = reason(&resolution(None), &nobody, &[], Some(credit), platform);
            assert_eq!(text, format!("nobody is credited: the buyer is nobody we know{expected}"));
        }
    }
}
