//! The journeys that are played.

use tagalong_proto::v1;

use super::{
    browser::Browser,
    campaign::{Campaign, Product},
    hop::{Failed, Report},
};
use crate::commands::sale::{carried_word, credit_word};

/// Plays all stories; whether every hop passed.
pub(crate) async fn all(campaign: &Campaign<'_>, report: &Report) -> anyhow::Result<bool> {
    report.line("Each line is a hop and what was seen, which is what was expected; where it is not, it says both.")?;
    let with_cookies = phone_to_pc(campaign, report, Product::Webinar).await?;
    let without_cookies = phone_to_pc(campaign, report, Product::CookielessWebinar).await?;
    let no_sales_page = straight_to_checkout(campaign, report).await?;
    let bare_checkout = bare_checkout(campaign, report).await?;
    let stories = [with_cookies, without_cookies, no_sales_page, bare_checkout];
    Ok(stories.iter().all(Result::is_ok))
}

type Played = anyhow::Result<Result<(), Failed>>;

/// A hop that must pass for the story to go on.
macro_rules! hop {
    ($hop:expr) => {
        if let Err(failed) = $hop? {
            return Ok(Err(failed));
        }
    };
}

async fn phone_to_pc(campaign: &Campaign<'_>, report: &Report, webinar: Product) -> Played {
    let cookies = matches!(webinar, Product::Webinar);
    let (story, registration) = if cookies {
        ("Phone, then PC", "cookies")
    } else {
        ("Phone, then PC, cookies never set", "no-cookies")
    };
    report.story(story)?;
    let hop = |hop: &str, expected: String, seen: String| report.same(story, hop, expected, seen);
    let email = format!("{registration}@journey.example");

    let phone = Browser::phone()?;
    let link = format!("{}/{}/p/max/", campaign.url, campaign.product(webinar));
    let answer = phone.open(&link).await?;
    hop!(hop("phone: Max's affiliate link redirects", "302".into(), answer.status.to_string()));
    let cookie = |set: bool| (if set { "a cookie" } else { "no cookie" }).to_owned();
    hop!(hop("phone: it sets", cookie(cookies), cookie(answer.cookie)));
    let invitation = phone.arrive(&answer.location).await?;
    let page = |page: &str, affiliate: &str| format!("{page} page, affiliate {affiliate}");
    hop!(hop(
        "phone: and leads to the",
        page("invitation", "max"),
        page(&invitation.page, &invitation.affiliate)
    ));

    campaign.register(registration, &email, &invitation).await?;
    let rendered = campaign.purchase_link(registration).await?;
    let course = campaign.product(Product::Course);
    let expected = format!("/{course}/p/max/buy/{}", rendered.token);
    let path = path_of(&rendered.url, &course);
    hop!(hop("webinar tool: stores it; the e-mail's link is", expected, path.to_owned()));

    let pc = Browser::pc()?;
    let answer = pc.open(&format!("{}{path}", campaign.url)).await?;
    hop!(hop("PC: the purchase link redirects", "302".into(), answer.status.to_string()));
    let checkout = pc.arrive(&answer.location).await?;
    hop!(hop(
        "PC: and leads to the",
        page("checkout", "max"),
        page(&checkout.page, &checkout.affiliate)
    ));
    hop!(hop("PC: the checkout gets the token", rendered.token.clone(), checkout.metadata.clone()));

    let buyer = "another-address@journey.example";
    let sale = campaign.sell(registration, buyer, &checkout).await?;
    hop!(hop("platform: credits", "max".into(), credited_by_platform(&sale)));
    let decision = sale.decision.clone().unwrap_or_default();
    hop!(hop(
        "Tagalong: decides",
        decided("max", v1::Credit::Agreed, v1::CarriedBy::Token),
        told(&decision)
    ));
    report.line(&format!("        because {}", decision.reason))?;

    let times = campaign.recorded(webinar, &invitation.click).await?;
    hop(
        "registry: the phone's click is recorded",
        "1 time".into(),
        format!("{times} time{}", if times == 1 { "" } else { "s" }),
    )
}

async fn straight_to_checkout(campaign: &Campaign<'_>, report: &Report) -> Played {
    let story = "Affiliate link of a product without a sales page";
    report.story(story)?;
    let hop = |hop: &str, expected: String, seen: String| report.same(story, hop, expected, seen);

    let pc = Browser::pc()?;
    let link = format!("{}/{}/p/max/", campaign.url, campaign.product(Product::Course));
    let answer = pc.open(&link).await?;
    hop!(hop("PC: Max's affiliate link redirects", "302".into(), answer.status.to_string()));
    let checkout = pc.arrive(&answer.location).await?;
    hop!(hop(
        "PC: and leads to the",
        "checkout page, affiliate max".into(),
        format!("{} page, affiliate {}", checkout.page, checkout.affiliate)
    ));

    let sale = campaign.sell("straight", "nobody-we-know@journey.example", &checkout).await?;
    hop!(hop("platform: credits", "max".into(), credited_by_platform(&sale)));
    // The click may reach the registry after the order; the order is decided again then.
    let decision = campaign.carried(&sale, v1::CarriedBy::Click).await?;
    let expected = decided("max", v1::Credit::Agreed, v1::CarriedBy::Click);
    let passed = hop("Tagalong: decides", expected, told(&decision))?;
    report.line(&format!("        because {}", decision.reason))?;
    Ok(passed)
}

async fn bare_checkout(campaign: &Campaign<'_>, report: &Report) -> Played {
    let story = "A buyer who types in the bare checkout";
    report.story(story)?;
    let hop = |hop: &str, expected: String, seen: String| report.same(story, hop, expected, seen);

    let phone = Browser::phone()?;
    let link = format!("{}/{}/p/max/", campaign.url, campaign.product(Product::Webinar));
    let answer = phone.open(&link).await?;
    let invitation = phone.arrive(&answer.location).await?;
    hop!(hop(
        "phone: Max's affiliate link leads to the",
        "invitation".into(),
        invitation.page.clone()
    ));
    let email = "bare@journey.example";
    campaign.register("bare", email, &invitation).await?;

    let pc = Browser::pc()?;
    let checkout = pc.arrive(&campaign.bare_checkout).await?;
    let sale = campaign.sell("bare", email, &checkout).await?;
    hop!(hop("platform: credits", "nobody".into(), credited_by_platform(&sale)));
    let decision = sale.decision.clone().unwrap_or_default();
    let expected = decided("max", v1::Credit::Owed, v1::CarriedBy::Email);
    let passed = hop("Tagalong: decides", expected, told(&decision))?;
    report.line(&format!("        because {}", decision.reason))?;
    Ok(passed)
}

/// The path of a link, from its product on: a public URL may have a path of its own.
fn path_of<'a>(url: &'a str, product: &str) -> &'a str {
    url.find(&format!("/{product}/")).map_or("", |at| &url[at..])
}

fn credited_by_platform(sale: &v1::Sale) -> String {
    let item = sale.item.clone().unwrap_or_default();
    item.platform_affiliate_id
        .filter(|affiliate| !affiliate.is_empty())
        .unwrap_or_else(|| "nobody".to_owned())
}

fn decided(affiliate: &str, credit: v1::Credit, carried_by: v1::CarriedBy) -> String {
    let carried = match (credit, carried_by) {
        (v1::Credit::Agreed, carried_by) => {
            format!("agreed and carried by {}", carried_word(carried_by))
        }
        (credit, carried_by) => {
            format!("{}, found by {}", credit_word(credit), carried_word(carried_by))
        }
    };
    format!("{affiliate}: {carried}")
}

fn told(decision: &v1::Decision) -> String {
    let affiliate =
        if decision.affiliate_id.is_empty() { "nobody" } else { &decision.affiliate_id };
    decided(affiliate, decision.credit(), decision.carried_by())
}
