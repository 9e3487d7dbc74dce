//! Rules about evidence: 4, 7 and 10.

use tagalong_proto::v1::{self, Credit, Decision, Verdict};
use tonic::Code;

use crate::support::{Clients, Composition, System, campaign};

/// What can be reported of one sale.
#[derive(Clone, Copy)]
enum Step {
    Registration,
    Order,
    SecondPayment,
    Refund,
}

async fn play(clients: &Clients, step: Step, id: &str) {
    let mut sales = clients.sales.clone();
    match step {
        Step::Registration => {
            campaign::register(clients, campaign::registration(id, "max")).await.unwrap();
        }
        Step::Order => {
            let buyer =
                v1::BuyerReferences { registration: Some(campaign::key(id)), ..Default::default() };
            let again = campaign::order(id, buyer);
            // Bought long after the registration, whichever is reported first.
            let order = again.order.map(|order| v1::Order { ordered_at: at(60), ..order });
            sales.report_order(v1::ReportOrderRequest { order, ..again }).await.unwrap();
        }
        Step::SecondPayment => {
            let payment = v1::Payment { sequence: 2, ..campaign::payment(&format!("{id}-second")) };
            let request = v1::ReportPaymentRequest {
                request_id: format!("{id}-second"),
                item: Some(campaign::item_key(id)),
                payment: Some(payment),
            };
            sales.report_payment(request).await.unwrap();
        }
        Step::Refund => {
            let reversal = v1::Reversal {
                external_id: format!("{id}-refund"),
                kind: v1::ReversalKind::Refund.into(),
                amount: Some(campaign::eur(49_700)),
                ..Default::default()
            };
            let request = v1::ReportReversalRequest {
                request_id: format!("{id}-refund"),
                item: Some(campaign::item_key(id)),
                reversal: Some(reversal),
            };
            sales.report_reversal(request).await.unwrap();
        }
    }
}

/// Minutes from a moment an hour and more ago, so that nothing is in the future.
#[allow(clippy::unnecessary_wraps, reason = "that is what messages have")]
fn at(minutes: i64) -> Option<prost_types::Timestamp> {
    static BEGIN: std::sync::LazyLock<i64> =
        std::sync::LazyLock::new(|| jiff::Timestamp::now().as_second() - 4 * 3600);
    Some(prost_types::Timestamp { seconds: *BEGIN + minutes * 60, nanos: 0 })
}

/// What was acknowledged counts once, in any order, and an authentic report is never refused.
pub(super) async fn rule_04_reports_count_once_in_any_order(composition: Composition) {
    use Step::{Order, Refund, Registration, SecondPayment};

    let system = System::start(composition).await;
    let clients = campaign::load(&system).await;
    let orders = [
        [Registration, Order, SecondPayment, Refund],
        [Order, Registration, SecondPayment, Refund],
        [Refund, Order, SecondPayment, Registration],
        [SecondPayment, Refund, Registration, Order],
        [Refund, SecondPayment, Order, Registration],
    ];
    for (n, steps) in orders.into_iter().enumerate() {
        let id = format!("order-{n}");
        for step in steps {
            let registration = campaign::registration(&id, "max");
            let registered_at = at(0);
            if matches!(step, Registration) {
                let request = v1::RegisterAttendeeRequest { registered_at, ..registration };
                campaign::register(&clients, request).await.unwrap();
            }
            // Everything twice.
            play(&clients, step, &id).await;
            play(&clients, step, &id).await;
        }
        let explained = campaign::explain(&clients, &id).await;
        let sale = explained.sale.unwrap();
        let decision = sale.decision.unwrap();
        assert_eq!(decision.affiliate_id, "max", "{id}: {}", decision.reason);
        assert_eq!(decision.credit(), Credit::Owed, "{id}");
        assert_eq!(sale.payments.len(), 2, "{id}");
        assert_eq!(sale.reversals.len(), 1, "{id}");
        assert!(!sale.reversals[0].exceeds_payments, "{id}: two payments, one refund");
        let request = v1::GetAttendeeRequest { attendee: campaign::by_key(&id) };
        let attendee = clients.attendees.clone().get_attendee(request).await.unwrap().into_inner();
        let attendee = attendee.attendee.unwrap();
        assert_eq!((attendee.registrations.len(), attendee.touches.len()), (1, 1), "{id}");
    }

    // The same request ID: the same answer; with other content: refused, naming it.
    let request = v1::RegisterAttendeeRequest {
        request_id: "once".to_owned(),
        ..campaign::registration("once", "max")
    };
    let first = campaign::register(&clients, request.clone()).await.unwrap();
    let again = campaign::register(&clients, request.clone()).await.unwrap();
    assert_eq!(first.attendee, again.attendee);
    let other = v1::RegisterAttendeeRequest { affiliate_id: "anna".to_owned(), ..request };
    let refused = campaign::register(&clients, other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("once"), "{refused}");

    // What we cannot map is kept, and decided as soon as we can.
    let mut unmapped = campaign::order("unmapped", campaign::email("once@people.example"));
    let item = unmapped.items[0].item.as_mut().unwrap();
    item.product_id = String::new();
    "ext-late".clone_into(&mut item.external_product_id);
    let sale = campaign::report(&clients, unmapped).await;
    assert!(sale.decision.is_none_or(|decision| decision.affiliate_id.is_empty()));
    campaign::add_product(&clients, campaign::product("late")).await;
    let webinar = clients
        .catalogue
        .clone()
        .get_webinar(v1::GetWebinarRequest { id: "launch".to_owned() })
        .await
        .unwrap()
        .into_inner();
    let mut webinar = webinar.webinar.unwrap();
    webinar.offers_product_ids.push("late".to_owned());
    let request = v1::UpdateWebinarRequest { webinar: Some(webinar), ..Default::default() };
    clients.catalogue.clone().update_webinar(request).await.unwrap();
    crate::support::until("the parked item is decided", async || {
        let decision = campaign::explain(&clients, "unmapped").await.sale?.decision?;
        (decision.affiliate_id == "max").then_some(())
    })
    .await;
}

/// What a decision says, whoever it is about and whenever it was made.
fn essence(decision: &v1::Decision) -> impl PartialEq + std::fmt::Debug + use<> {
    let touches = decision.touches.iter().map(|considered| {
        let touch = considered.touch.as_ref().unwrap();
        (touch.affiliate_id.clone(), touch.kind, considered.verdict)
    });
    let mut touches: Vec<_> = touches.collect();
    touches.sort();
    let Decision { affiliate_id, basis, credit, carried_by, .. } = decision;
    (affiliate_id.clone(), *basis, *credit, *carried_by, touches)
}

/// The same evidence gives the same decision in any order of arrival, and every decision can be explained.
pub(super) async fn rule_07_the_same_evidence_gives_the_same_decision(composition: Composition) {
    let system = System::start(composition).await;
    let clients = campaign::load(&system).await;
    let mut decisions = Vec::new();
    let orders =
        [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2], [3, 0, 1, 2], [2, 3, 1, 0]];
    for (n, order) in orders.into_iter().enumerate() {
        let who = format!("who-{n}");
        let click = system.phone().open("/ticket/p/ads/").await.parameter("click").unwrap();
        let registration = |id: &str, affiliate: &str, minutes: i64, session: &str, click: &str| {
            v1::RegisterAttendeeRequest {
                key: Some(campaign::key(&format!("{who}-{id}"))),
                email: format!("{who}@people.example"),
                registered_at: at(minutes),
                session_id: session.to_owned(),
                click_id: click.to_owned(),
                ..campaign::registration(&who, affiliate)
            }
        };
        let registrations = [
            registration("a", "max", 0, "monday", &click),
            registration("b", "anna", 10, "tuesday", ""),
            // The same session: the first registration locks it.
            registration("c", "max", 20, "tuesday", ""),
        ];
        for step in order {
            if let Some(registration) = registrations.get(step) {
                campaign::register(&clients, registration.clone()).await.unwrap();
            } else {
                let buyer = campaign::email(&format!("{who}@people.example"));
                let mut request = campaign::order(&who, buyer);
                request.order.as_mut().unwrap().ordered_at = at(60);
                campaign::report(&clients, request).await;
            }
        }
        decisions.push(who);
    }
    // Clicks come in their own time, after the registrations that name them too. They were made after the sale.
    system.shipped(decisions.len()).await;

    let mut essences = Vec::new();
    for who in &decisions {
        let explained = crate::support::until(&format!("{who} has the click"), async || {
            let explained = campaign::explain(&clients, who).await;
            let touches = explained.sale.as_ref()?.decision.as_ref()?.touches.len();
            (touches == 4).then_some(explained)
        })
        .await;
        let sale = explained.sale.unwrap();
        let decision = sale.decision.unwrap();
        assert_eq!(explained.decisions[0].id, decision.id, "newest first");
        for (n, decision) in explained.decisions.iter().enumerate() {
            assert_eq!(usize::try_from(decision.version).unwrap(), explained.decisions.len() - n);
            assert_eq!(decision.policy_version, 1);
            assert!(!decision.reason.is_empty());
            assert!(decision.touches.iter().all(|t| t.verdict() != Verdict::Unspecified));
            let won = decision.touches.iter().filter(|t| t.verdict() == Verdict::Won).count();
            assert_eq!(won, usize::from(!decision.affiliate_id.is_empty()), "{decision:?}");
        }
        assert_eq!(decision.affiliate_id, "anna", "{}", decision.reason);
        assert_eq!(decision.touches[0].verdict(), Verdict::Won);
        essences.push(essence(&decision));
    }
    assert!(essences.iter().all(|essence| *essence == essences[0]), "{essences:#?}");
}

/// An unverified touch never displaces a verified one, and one received after the first verified registration counts
/// for nothing.
pub(super) async fn rule_10_unverified_touches_displace_nothing(composition: Composition) {
    let system = System::start(composition).await;
    let clients = campaign::load(&system).await;
    let form = |who: &str, affiliate: &str, minutes: i64| v1::RegisterAttendeeRequest {
        key: Some(campaign::key(&format!("{who}-form"))),
        unverified: true,
        registered_at: at(minutes),
        ..campaign::registration(who, affiliate)
    };
    let webhook = |who: &str, affiliate: &str, minutes: i64| v1::RegisterAttendeeRequest {
        registered_at: at(minutes),
        ..campaign::registration(who, affiliate)
    };
    let register = async |request| campaign::register(&clients, request).await.unwrap();

    // Who posts the form after a verified registration changes nothing, whatever moment it claims.
    register(webhook("after", "max", 10)).await;
    register(form("after", "anna", 20)).await;
    register(webhook("backdated", "max", 10)).await;
    register(form("backdated", "anna", 0)).await;
    // The public form takes nothing of anybody who is known, and tells nobody apart.
    register(webhook("known", "max", 10)).await;
    register(webhook("nobodys", "", 10)).await;
    let stranger = campaign::post_form(&system, "stranger@people.example", "max").await;
    assert!(stranger.starts_with("200 "), "{stranger}");
    for who in ["known", "nobodys", "stranger"] {
        let told = campaign::post_form(&system, &format!("{who}@people.example"), "anna").await;
        assert_eq!(told, stranger, "{who}");
    }
    // Before it, the form is evidence, but not enough.
    register(form("before", "anna", 0)).await;
    register(webhook("before", "max", 10)).await;
    register(form("newer", "anna", 20)).await;
    register(webhook("newer", "max", 10)).await;
    // Where there is nothing better, it stands.
    register(form("alone", "anna", 0)).await;
    // A verified registration that names nobody leaves the form's word.
    register(form("nobody", "anna", 0)).await;
    register(webhook("nobody", "", 10)).await;

    for (who, affiliate, verdict) in [
        ("after", "max", Some(Verdict::UnverifiedTooLate)),
        ("backdated", "max", Some(Verdict::UnverifiedTooLate)),
        ("known", "max", None),
        ("nobodys", "", None),
        ("stranger", "max", Some(Verdict::Won)),
        ("before", "max", Some(Verdict::Unverified)),
        ("newer", "max", Some(Verdict::Unverified)),
        ("alone", "anna", Some(Verdict::Won)),
        ("nobody", "anna", Some(Verdict::Won)),
    ] {
        let buyer = campaign::email(&format!("{who}@people.example"));
        let mut request = campaign::order(who, buyer);
        // The form was posted just now.
        if who != "stranger" {
            request.order.as_mut().unwrap().ordered_at = at(60);
        }
        let decision = campaign::report(&clients, request).await.decision.unwrap();
        assert_eq!(decision.affiliate_id, affiliate, "{who}: {}", decision.reason);
        let form = decision.touches.iter().find(|t| !t.touch.as_ref().unwrap().verified);
        assert_eq!(form.map(v1::ConsideredTouch::verdict), verdict, "{who}: {decision:#?}");
    }
}
