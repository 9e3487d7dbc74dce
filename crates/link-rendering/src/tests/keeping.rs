//! What is kept of the registry's answers, and when it is asked again.

use std::time::Duration;

use tagalong_proto::v1::{
    AffiliateChanged, AttendeeChanged, AttendeeErased, CatalogueChanged, RegistrationCreated,
    SaleDecided, SalePaid, SaleReversed, TouchAdded, WatchResponse, event::Kind,
};

use super::*;
use crate::changes::Stamp;

/// A service that follows the fake's feed, or tries to.
struct Following {
    fake: Fake,
    service: Service,
    client: LinkRenderingServiceClient<Transport>,
    _follow: tokio::task::JoinSet<()>,
}

impl Following {
    fn begin() -> Self {
        let fake = Fake::default();
        let service = service(&fake);
        let client = LinkRenderingServiceClient::new(local(service.routes()));
        let mut follow = tokio::task::JoinSet::new();
        let following = service.clone();
        follow.spawn(async move { match following.follow().await {} });
        Self { fake, service, client, _follow: follow }
    }

    async fn begun() -> Self {
        let following = Self::begin();
        following.until(|stamp| stamp.is_some()).await;
        following
    }

    fn stamp(&self) -> Option<Stamp> {
        self.service.links.decisions.changes().stamp(FRIEND)
    }

    async fn until(&self, holds: impl Fn(Option<Stamp>) -> bool) {
        let held = async {
            while !holds(self.stamp()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), held).await.expect("soon");
    }

    /// Tells of a change that concerns [`FRIEND`], and waits until that is heard.
    async fn tell(&self, kind: Option<Kind>) {
        let before = self.stamp();
        self.fake.tell(kind);
        self.until(|stamp| stamp != before).await;
    }

    async fn affiliate(&self, request: RenderLinkRequest) -> String {
        self.client.clone().render_link(request).await.unwrap().into_inner().affiliate_id
    }

    fn asked(&self) -> usize {
        self.fake.calls("PreviewDecision")
    }
}

fn about(attendee: Uuid) -> Vec<Kind> {
    let attendee_id = attendee.to_string();
    let registered =
        RegistrationCreated { attendee_id: attendee_id.clone(), ..RegistrationCreated::default() };
    let touched = TouchAdded { attendee_id: attendee_id.clone(), touch: None };
    vec![
        Kind::RegistrationCreated(registered),
        Kind::TouchAdded(touched),
        Kind::AttendeeChanged(AttendeeChanged { attendee_id: attendee_id.clone() }),
        Kind::AttendeeErased(AttendeeErased { attendee_id }),
    ]
}

#[tokio::test]
async fn a_decision_is_asked_for_once() {
    let following = Following::begun().await;
    let token = whom(Reference::Token(ring().sign(FRIEND)));
    for attendee in [id(FRIEND), token.clone(), id(FRIEND), token] {
        assert_eq!(following.affiliate(link(attendee)).await, "max");
    }
    assert_eq!(following.fake.methods(), ["Watch", "PreviewDecision"]);

    // Another product, another attendee: other decisions.
    let buch = RenderLinkRequest { product_id: "buch".to_owned(), ..link(id(FRIEND)) };
    assert_eq!(following.affiliate(buch).await, "max");
    assert_eq!(following.affiliate(link(id(STRANGER))).await, "");
    assert_eq!(following.asked(), 3);

    // Whom an address names is asked for each time.
    let email = AttendeeEmail { webinar_id: "live".to_owned(), email: "a@b.test".to_owned() };
    for asked in [4, 5] {
        following.affiliate(link(whom(Reference::Email(email.clone())))).await;
        assert_eq!(following.asked(), asked);
    }
}

#[tokio::test]
async fn what_may_change_a_decision_makes_it_asked_for_again() {
    let following = Following::begun().await;
    let mut changes: Vec<Option<Kind>> = about(FRIEND).into_iter().map(Some).collect();
    changes.push(Some(Kind::AffiliateChanged(AffiliateChanged::default())));
    changes.push(Some(Kind::CatalogueChanged(CatalogueChanged::default())));
    // An event that only a newer registry knows, and one that names nobody.
    changes.push(None);
    changes.push(Some(Kind::AttendeeErased(AttendeeErased::default())));
    for (change, affiliate) in changes.into_iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        let before = following.affiliate(link(id(FRIEND))).await;
        following.fake.friend.lock().unwrap().0 = affiliate;
        assert_eq!(following.affiliate(link(id(FRIEND))).await, before, "not told yet");
        following.tell(change.clone()).await;
        assert_eq!(following.affiliate(link(id(FRIEND))).await, affiliate, "{change:?}");
    }
}

#[tokio::test]
async fn what_cannot_change_a_decision_leaves_it() {
    let following = Following::begun().await;
    following.affiliate(link(id(FRIEND))).await;
    for change in about(STRANGER).into_iter().chain([
        Kind::SaleDecided(SaleDecided::default()),
        Kind::SalePaid(SalePaid::default()),
        Kind::SaleReversed(SaleReversed::default()),
    ]) {
        following.fake.tell(Some(change));
    }
    // They are heard when this one is, which concerns another product's decision alone.
    let other = following.service.links.decisions.changes().stamp(STRANGER);
    following.fake.tell(about(STRANGER).pop());
    let heard = async {
        while following.service.links.decisions.changes().stamp(STRANGER) == other {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
    following.affiliate(link(id(FRIEND))).await;
    assert_eq!(following.asked(), 1);
}

#[tokio::test]
async fn an_answer_that_a_change_overtook_is_not_kept() {
    let following = Following::begun().await;
    following.fake.held.send_replace(true);
    let overtaken = async {
        let affiliate = following.affiliate(link(id(FRIEND))).await;
        assert_eq!(affiliate, "max", "found before the change");
    };
    let change = async {
        while following.asked() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        following.fake.friend.lock().unwrap().0 = "eva";
        following.tell(about(FRIEND).pop()).await;
        following.fake.held.send_replace(false);
    };
    tokio::join!(overtaken, change);
    assert_eq!(following.affiliate(link(id(FRIEND))).await, "eva");
    assert_eq!(following.affiliate(link(id(FRIEND))).await, "eva");
    assert_eq!(following.asked(), 2);
}

#[tokio::test]
async fn without_the_feed_every_link_is_asked_for_and_with_it_none_that_is_older() {
    let fake = Fake::default();
    for asked in [1, 2] {
        client(&fake).render_link(link(id(FRIEND))).await.unwrap();
        assert_eq!(fake.calls("PreviewDecision"), asked);
    }

    let following = Following::begun().await;
    following.affiliate(link(id(FRIEND))).await;
    following.affiliate(link(id(FRIEND))).await;
    assert_eq!(following.asked(), 1);

    // The registry is restored from a backup: what was said before says nothing.
    let before = following.stamp();
    let lost = Status::unavailable("on purpose");
    following.fake.feed.lock().unwrap().take().unwrap().send(Err(lost)).unwrap();
    following.until(|stamp| stamp.is_none()).await;
    following.fake.friend.lock().unwrap().0 = "eva";
    assert_eq!(following.affiliate(link(id(FRIEND))).await, "eva");
    following.until(|stamp| stamp.is_some() && stamp != before).await;
    let asked = following.asked();
    for _ in 0..3 {
        assert_eq!(following.affiliate(link(id(FRIEND))).await, "eva");
    }
    assert_eq!(following.asked(), asked + 1);
}

#[tokio::test]
async fn a_silent_feed_is_as_good_as_none() {
    let following = Following::begun().await;
    let feed = following.fake.feed.lock().unwrap().clone().unwrap();
    feed.send(Ok(WatchResponse::default())).unwrap();
    // No more heartbeats: the connection may be gone without a word.
    following.until(|stamp| stamp.is_none()).await;
    following.until(|stamp| stamp.is_some()).await;
    assert!(following.fake.calls("Watch") >= 2);
}

#[tokio::test]
async fn a_decision_is_kept_for_the_time_it_stands() {
    let following = Following::begun().await;
    following.fake.friend.lock().unwrap().1 = [Some(NOW - 10), Some(NOW + 10)];
    let mut asked = 0;
    for (at, again) in [
        (NOW, true),
        (NOW + 9, false),
        (NOW - 10, false),
        (NOW + 10, true),
        (NOW, false),
        (NOW - 11, true),
    ] {
        following.affiliate(RenderLinkRequest { at: moment(at), ..link(id(FRIEND)) }).await;
        asked += usize::from(again);
        assert_eq!(following.asked(), asked, "{at}");
    }
}

#[tokio::test]
async fn suspensions_of_a_fallback_are_kept_until_an_affiliate_changes() {
    let following = Following::begun().await;
    let with = |fallback: &str, at| RenderLinkRequest {
        fallback_affiliate_id: fallback.to_owned(),
        at: moment(at),
        ..link(id(STRANGER))
    };
    for (at, affiliate) in
        [(SUSPENDED - 1, "gone"), (SUSPENDED, ""), (SUSPENDED + 99, ""), (SUSPENDED + 100, "gone")]
    {
        assert_eq!(following.affiliate(with("gone", at)).await, affiliate);
        assert_eq!(following.affiliate(with("eva", at)).await, "eva");
    }
    assert_eq!(following.fake.calls("GetAffiliate"), 2);
    assert_eq!(following.asked(), 1);
    following.tell(Some(Kind::AffiliateChanged(AffiliateChanged::default()))).await;
    following.affiliate(with("gone", SUSPENDED)).await;
    assert_eq!(following.fake.calls("GetAffiliate"), 3);
}
