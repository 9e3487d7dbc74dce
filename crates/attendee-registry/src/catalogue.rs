//! What operators configure: read from messages, checked as a whole.

use percent_encoding::percent_decode_str;
use tagalong_attribution::{
    decide::Policy,
    id::{AffiliateId, ProductId, ProgrammeId, WebinarId},
    template::{self, Destination},
};
use tagalong_proto::v1;
use url::Url;

use crate::{
    email::Email,
    error::{Error, Result},
    field,
};

const MAX_EXTERNAL_IDS: usize = 100;
const MAX_EMAILS: usize = 16;
const MAX_COUPONS: usize = 100;
const MAX_QUERY_NAMES: usize = 64;
const MAX_WEBINAR_PRODUCTS: usize = 100;
const MAX_ORIGINS: usize = 32;

/// A programme as an operator wants it.
pub(crate) struct Programme {
    pub(crate) id: ProgrammeId,
    pub(crate) platform: String,
    pub(crate) title: String,
    pub(crate) never_names_affiliates: bool,
    pub(crate) ignore_affiliate_case: bool,
    pub(crate) test: bool,
    /// What the operator believes to be stored; 0 for whatever is.
    pub(crate) revision: i64,
}

impl Programme {
    pub(crate) fn read(message: Option<v1::Programme>) -> Result<Self> {
        let message = field::required("programme", message)?;
        Ok(Self {
            id: field::id("programme.id", &message.id)?,
            platform: field::text("programme.platform", &message.platform, field::TITLE)?,
            title: field::text("programme.title", &message.title, field::TITLE)?,
            never_names_affiliates: message.never_names_affiliates,
            ignore_affiliate_case: message.ignore_affiliate_case,
            test: message.test,
            revision: message.revision,
        })
    }
}

/// An affiliate as an operator wants it.
pub(crate) struct Affiliate {
    pub(crate) programme: ProgrammeId,
    pub(crate) id: AffiliateId,
    pub(crate) title: String,
    pub(crate) house: bool,
    pub(crate) confirmed: bool,
    pub(crate) coupons: Vec<String>,
    pub(crate) emails: Vec<Email>,
    pub(crate) revision: i64,
}

impl Affiliate {
    pub(crate) fn read(message: Option<v1::Affiliate>, emails: &[String]) -> Result<Self> {
        let message = field::required("affiliate", message)?;
        at_most("affiliate.coupon_codes", message.coupon_codes.len(), MAX_COUPONS)?;
        at_most("emails", emails.len(), MAX_EMAILS)?;
        let mut coupons = Vec::new();
        for (n, code) in message.coupon_codes.iter().enumerate() {
            let code = coupon_code(&format!("affiliate.coupon_codes[{n}]"), code)?;
            coupons.push(code);
        }
        coupons.sort();
        coupons.dedup();
        let emails = emails
            .iter()
            .enumerate()
            .map(|(n, email)| field::email(&format!("emails[{n}]"), email))
            .collect::<Result<_>>()?;
        Ok(Self {
            programme: field::id("affiliate.programme_id", &message.programme_id)?,
            id: field::id("affiliate.id", &message.id)?,
            title: field::text("affiliate.title", &message.title, field::TITLE)?,
            house: message.house,
            confirmed: message.confirmed,
            coupons,
            emails,
            revision: message.revision,
        })
    }
}

/// Coupon codes are compared without regard to case, as checkouts do.
pub(crate) fn coupon_code(field: &str, code: &str) -> Result<String> {
    Ok(field::required_text(field, code.trim(), 64)?.to_uppercase())
}

/// A product as an operator wants it.
pub(crate) struct Product {
    pub(crate) id: ProductId,
    pub(crate) programme: ProgrammeId,
    pub(crate) title: String,
    pub(crate) sales_page: Option<v1::Destination>,
    pub(crate) checkout: v1::Destination,
    pub(crate) external_ids: Vec<String>,
    pub(crate) policy: StoredPolicy,
    pub(crate) cookie_policy: v1::CookiePolicy,
    pub(crate) query_mode: v1::QueryRuleMode,
    pub(crate) query_names: Vec<String>,
    pub(crate) revision: i64,
}

/// A policy in the units of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredPolicy {
    pub(crate) model: v1::TouchModel,
    pub(crate) window_seconds: i64,
    pub(crate) settle_after_seconds: i64,
    pub(crate) coupon_rank: v1::CouponRank,
}

impl Product {
    pub(crate) fn read(message: Option<v1::Product>) -> Result<Self> {
        let message = field::required("product", message)?;
        let id = field::id("product.id", &message.id)?;
        let checkout = field::required("product.checkout", message.checkout)?;
        destination("product.checkout", &checkout)?;
        if let Some(sales_page) = &message.sales_page {
            destination("product.sales_page", sales_page)?;
            if same_page(sales_page, &checkout) {
                return Err(Error::invalid(
                    "product.checkout",
                    "is the sales page: a buyer would walk in a circle and never pay",
                ));
            }
        }

        at_most("product.external_ids", message.external_ids.len(), MAX_EXTERNAL_IDS)?;
        let mut external_ids = Vec::new();
        for (n, external_id) in message.external_ids.iter().enumerate() {
            external_ids.push(field::required_text(
                &format!("product.external_ids[{n}]"),
                external_id,
                field::FOREIGN_ID,
            )?);
        }
        external_ids.sort();
        external_ids.dedup();

        let rule = message.query_rule.unwrap_or_default();
        at_most("product.query_rule.names", rule.names.len(), MAX_QUERY_NAMES)?;
        for (n, name) in rule.names.iter().enumerate() {
            field::required_text(&format!("product.query_rule.names[{n}]"), name, 64)?;
        }

        let cookie_policy = field::enumeration("product.cookie_policy", message.cookie_policy)?;
        Ok(Self {
            id,
            programme: field::id("product.programme_id", &message.programme_id)?,
            title: field::text("product.title", &message.title, field::TITLE)?,
            sales_page: message.sales_page,
            checkout,
            external_ids,
            policy: policy(message.policy.as_ref())?,
            cookie_policy: match cookie_policy {
                v1::CookiePolicy::Unspecified => v1::CookiePolicy::OnConsent,
                given => given,
            },
            query_mode: match field::enumeration("product.query_rule.mode", rule.mode)? {
                v1::QueryRuleMode::Unspecified => v1::QueryRuleMode::AllExcept,
                given => given,
            },
            query_names: rule.names,
            revision: message.revision,
        })
    }
}

fn policy(message: Option<&v1::Policy>) -> Result<StoredPolicy> {
    let message = message.copied().unwrap_or_default();
    Ok(StoredPolicy {
        model: match field::enumeration("product.policy.model", message.model)? {
            v1::TouchModel::Unspecified => v1::TouchModel::Last,
            given => given,
        },
        window_seconds: field::seconds(
            "product.policy.window",
            message.window.as_ref(),
            Policy::WINDOW.as_secs(),
        )?,
        settle_after_seconds: field::seconds(
            "product.policy.settle_after",
            message.settle_after.as_ref(),
            Policy::SETTLE_AFTER.as_secs(),
        )?,
        coupon_rank: match field::enumeration("product.policy.coupon_rank", message.coupon_rank)? {
            v1::CouponRank::Unspecified => v1::CouponRank::Ignored,
            given => given,
        },
    })
}

fn destination(field: &str, message: &v1::Destination) -> Result<Destination> {
    Destination::parse(&message.with_affiliate, &message.without_affiliate).map_err(|error| {
        Error::invalid(format!("{field}.{}", error.field), error.error.to_string())
    })
}

/// Whether a checkout's template leads to the very page of a sales page's template.
pub(crate) fn same_page(sales_page: &v1::Destination, checkout: &v1::Destination) -> bool {
    // As browsers compare: neither scheme nor spelling makes another page of it.
    let page = |template: &str| {
        let url = Url::parse(template).ok()?;
        let path = percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
        Some((url.host_str()?.to_owned(), url.port(), path.trim_end_matches('/').to_owned()))
    };
    let pages = |destination: &v1::Destination| {
        [page(&destination.with_affiliate), page(&destination.without_affiliate)]
    };
    let sales_pages = pages(sales_page);
    pages(checkout).iter().any(|page| page.is_some() && sales_pages.contains(page))
}

/// A webinar as an operator wants it.
pub(crate) struct Webinar {
    pub(crate) id: WebinarId,
    pub(crate) title: String,
    /// Product, promoted, offered; each product once.
    pub(crate) products: Vec<(ProductId, bool, bool)>,
    pub(crate) campaign_ends_at: Option<i64>,
    pub(crate) room_url: String,
    pub(crate) form: Option<RegistrationForm>,
    pub(crate) test: bool,
    pub(crate) revision: i64,
}

/// A form that registers attendees, as an operator wants it.
pub(crate) struct RegistrationForm {
    pub(crate) key: String,
    /// As browsers name them, at least one.
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) thank_you_url: String,
    pub(crate) programme: Option<ProgrammeId>,
    pub(crate) keep_emails: bool,
}

impl RegistrationForm {
    fn read(message: v1::RegistrationForm) -> Result<Self> {
        let own = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-');
        if !(8..=128).contains(&message.key.len()) || !message.key.chars().all(own) {
            let problem = "must be 8 to 128 characters of A-Za-z0-9._~-";
            return Err(Error::invalid("webinar.form.key", problem));
        }
        let origins = &message.allowed_origins;
        if origins.is_empty() {
            return Err(Error::invalid("webinar.form.allowed_origins", "must name at least one"));
        }
        at_most("webinar.form.allowed_origins", origins.len(), MAX_ORIGINS)?;
        let origin = |(n, text): (usize, &String)| {
            origin(text).ok_or_else(|| {
                let field = format!("webinar.form.allowed_origins[{n}]");
                Error::invalid(field, "must be as https://www.example.com")
            })
        };
        Ok(Self {
            allowed_origins: origins.iter().enumerate().map(origin).collect::<Result<_>>()?,
            thank_you_url: web_page("webinar.form.thank_you_url", &message.thank_you_url)?,
            programme: field::optional_id("webinar.form.programme_id", &message.programme_id)?,
            key: message.key,
            keep_emails: message.keep_emails,
        })
    }
}

/// A page of somebody's, or nothing.
fn web_page(field: &str, text: &str) -> Result<String> {
    let web = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    };
    let valid = text.len() <= template::MAX_LEN
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && Url::parse(text).is_ok_and(|url| web(&url));
    if text.is_empty() || valid {
        return Ok(text.to_owned());
    }
    let problem =
        "must be a URL with http or https, at most 2048 characters, others percent-encoded";
    Err(Error::invalid(field, problem))
}

/// An origin as browsers name it in `Origin`.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let named = url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && bare && named)
        .then(|| url.origin().ascii_serialization())
}

impl Webinar {
    pub(crate) fn read(message: Option<v1::Webinar>) -> Result<Self> {
        let message = field::required("webinar", message)?;
        let mut products: Vec<(ProductId, bool, bool)> = Vec::new();
        let promotes = message.promotes_product_ids.iter().map(|id| (id, true));
        let offers = message.offers_product_ids.iter().map(|id| (id, false));
        for (id, promoted) in promotes.chain(offers) {
            let name = if promoted {
                "webinar.promotes_product_ids"
            } else {
                "webinar.offers_product_ids"
            };
            let id: ProductId = field::id(name, id)?;
            match products.iter_mut().find(|(known, ..)| *known == id) {
                Some(known) => {
                    known.1 |= promoted;
                    known.2 |= !promoted;
                }
                None => products.push((id, promoted, !promoted)),
            }
        }
        at_most("webinar.offers_product_ids", products.len(), MAX_WEBINAR_PRODUCTS)?;
        Ok(Self {
            id: field::id("webinar.id", &message.id)?,
            title: field::text("webinar.title", &message.title, field::TITLE)?,
            products,
            campaign_ends_at: crate::time::read(
                "webinar.campaign_ends_at",
                message.campaign_ends_at.as_ref(),
            )?,
            room_url: web_page("webinar.room_url", &message.room_url)?,
            form: message.form.map(RegistrationForm::read).transpose()?,
            test: message.test,
            revision: message.revision,
        })
    }
}

fn at_most(field: &str, count: usize, max: usize) -> Result<()> {
    if count > max {
        return Err(Error::invalid(field, format!("must be at most {max}")));
    }
    Ok(())
}
