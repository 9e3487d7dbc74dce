//! Pages of an operator's own in a real browser, under a strict policy: the snippet, forms, and the link for a whole room.

use axum::{Router, http::header::CONTENT_SECURITY_POLICY, response::Html, routing::get};
use tagalong_proto::v1;

use crate::support::{Chromium, Clients, Composition, Options, System, campaign, until};

/// The operator's site: an invitation page, a page with the form, what comes after it, the room, the checkout.
struct Site {
    url: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Site {
    /// Nothing runs there but what comes from Tagalong, and nothing is sent anywhere else.
    async fn start(tagalong: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let policy = format!(
            "default-src 'none'; script-src {tagalong}; connect-src {tagalong}; \
             form-action {tagalong} {url}; base-uri 'none'; require-trusted-types-for 'script'"
        );
        let invitation = format!(
            "<!doctype html><title>Invitation</title>\
             <script src=\"{tagalong}/-/tagalong.js\" defer data-links data-product=\"live\"></script>\
             <a id=\"register\" href=\"/register\">Register</a>"
        );
        let form = format!(
            "<!doctype html><title>Register</title>\
             <script src=\"{tagalong}/-/tagalong.js\" defer data-field=\"affiliate\"></script>\
             <form method=\"post\" action=\"{tagalong}/-/register/show\">\
             <input type=\"hidden\" name=\"key\" value=\"show-form\">\
             <input type=\"hidden\" name=\"affiliate\"><input type=\"hidden\" name=\"click\">\
             <input type=\"email\" name=\"email\"><button>Register</button></form>"
        );
        let page = |html: String| {
            let policy = policy.clone();
            get(move || async move { ([(CONTENT_SECURITY_POLICY, policy)], Html(html)) })
        };
        let plain = |title: &str| page(format!("<!doctype html><title>{title}</title>{title}"));
        let routes = Router::new()
            .route("/invitation", page(invitation))
            .route("/register", page(form))
            .route("/thanks", plain("Thanks"))
            .route("/room", plain("Room"))
            .route("/checkout", plain("Checkout"));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, server }
    }
}

/// A webinar `show` that sells `live`, on the operator's site.
async fn load(system: &System, site: &Site) -> Clients {
    let clients = campaign::load(system).await;
    let url = &site.url;
    let live = v1::Product {
        checkout: Some(campaign::page(
            &format!("{url}/checkout?affiliate={{affiliate}}&reference={{reference}}"),
            "",
        )),
        ..campaign::product("live")
    };
    campaign::add_product(&clients, live).await;
    let show = v1::Webinar {
        id: "show".to_owned(),
        offers_product_ids: vec!["live".to_owned()],
        room_url: format!("{url}/room"),
        form: Some(v1::RegistrationForm {
            key: "show-form".to_owned(),
            allowed_origins: vec![url.clone()],
            thank_you_url: format!("{url}/thanks"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = v1::CreateWebinarRequest { webinar: Some(show), ..Default::default() };
    clients.catalogue.clone().create_webinar(request).await.unwrap();
    campaign::known(&clients, "live").await;
    clients
}

async fn attendee(clients: &Clients, email: &str) -> Option<v1::Attendee> {
    let email = v1::AttendeeEmail { webinar_id: "show".to_owned(), email: email.to_owned() };
    let reference = Some(v1::attendee_reference::Reference::Email(email));
    let request = v1::GetAttendeeRequest { attendee: Some(v1::AttendeeReference { reference }) };
    clients.attendees.clone().get_attendee(request).await.ok()?.into_inner().attendee
}

/// One Tagalong, one site, and a browser that has seen neither.
async fn set_up() -> (System, Site, Clients, Chromium) {
    let options = Options { decision_deadline_ms: 1000, ..Options::default() };
    let system = System::start_with(Composition::AllInOne, &options).await;
    let site = Site::start(&system.http()).await;
    let clients = load(&system, &site).await;
    (system, site, clients, Chromium::start().await)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium with chromedriver: tests/run provides them"]
async fn the_snippet_carries_the_affiliate_from_the_page_to_the_form() {
    let (system, site, clients, phone) = set_up().await;
    let url = &site.url;
    for (page, email, affiliate) in [
        ("/invitation?aff=max&sub1=mail", "jane@people.example", "max"),
        ("/invitation#/welcome?aff=anna", "john@people.example", "anna"),
    ] {
        phone.open(&format!("{url}{page}")).await;
        phone.click("#register").await;
        let register = phone.at("/register").await;
        assert_eq!(register.query_pairs().next().unwrap(), ("aff".into(), affiliate.into()));
        // Neither the address nor a link says it any more.
        phone.open(&format!("{url}/register")).await;
        assert_eq!(phone.value("[name=affiliate]").await, affiliate);
        let click = until("the landing has an ID", async || {
            phone.open(&format!("{url}/register")).await;
            Some(phone.value("[name=click]").await).filter(|click| !click.is_empty())
        })
        .await;
        phone.write("[name=email]", email).await;
        phone.click("button").await;
        phone.at("/thanks").await;

        let touches = until("the landing is known", async || {
            let touches = attendee(&clients, email).await?.touches;
            (touches.len() == 2).then_some(touches)
        })
        .await;
        assert!(touches.iter().all(|touch| touch.affiliate_id == affiliate && !touch.verified));
        assert!(touches.iter().any(|touch| touch.kind() == v1::TouchKind::Registration));
        let landing = touches.iter().find(|touch| touch.kind() == v1::TouchKind::Landing);
        assert_eq!(landing.unwrap().click_id, click);
    }
    let landings = system.shipped(2).await;
    assert_eq!(landings.len(), 2, "each is reported once: {landings:?}");
    assert_eq!(landings[0].sub_ids, ["mail"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium with chromedriver: tests/run provides them"]
async fn one_link_for_the_room_knows_who_joined_and_asks_who_did_not() {
    let (system, _site, clients, pc) = set_up().await;
    let jane = v1::RegisterAttendeeRequest {
        webinar_id: "show".to_owned(),
        ..campaign::registration("jane", "max")
    };
    campaign::register(&clients, jane).await.unwrap();
    let request = v1::RenderLinkRequest {
        attendee: campaign::by_key("jane"),
        product_id: "live".to_owned(),
        ..Default::default()
    };
    let token = clients.rendering.clone().render_link(request).await.unwrap().into_inner().token;
    let go = format!("{}/live/go", system.http());
    let parameter = async |name: &str| {
        let url = pc.at("/checkout").await;
        url.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
    };

    // Asked: who says who they are, who is nobody we know, who says nothing.
    pc.open(&go).await;
    pc.write("[name=email]", "Jane@people.example").await;
    pc.click("button:not([name])").await;
    assert_eq!(parameter("affiliate").await.as_deref(), Some("max"));
    assert_eq!(parameter("reference").await.as_deref(), Some(token.as_str()));
    pc.open(&go).await;
    pc.write("[name=email]", "nobody@people.example").await;
    pc.click("button:not([name])").await;
    assert_eq!(parameter("affiliate").await, None);
    pc.open(&go).await;
    pc.click("[name=skip]").await;
    assert_eq!(parameter("affiliate").await, None);

    // Joining without consent changes nothing.
    for (consent, asked) in [("", true), ("?consent=1", false)] {
        pc.open(&format!("{}/-/join/show/{token}{consent}", system.http())).await;
        pc.at("/room").await;
        pc.open(&go).await;
        assert_eq!(pc.url().await.path() == "/live/go", asked);
    }
    assert_eq!(parameter("affiliate").await.as_deref(), Some("max"));
    assert_eq!(parameter("reference").await.as_deref(), Some(token.as_str()));
}
