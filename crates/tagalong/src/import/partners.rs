//! Who is payable.

use tagalong_attendee_registry::email::Email;
use tagalong_attribution::id::AffiliateId;
use tagalong_proto::v1;
use tonic::{Code, Status};

use super::sending::{Read, Rows, Sent};
use crate::{
    client::Clients,
    sheet::{Field, Problem, Row},
};

/// Partners of one programme.
#[derive(Clone)]
pub(super) struct Partners {
    pub(super) programme: String,
}

/// One partner.
#[derive(Clone)]
pub(super) struct Partner {
    affiliate: v1::Affiliate,
    emails: Vec<String>,
}

impl Rows for Partners {
    type Call = Box<Partner>;

    fn read(&self, row: Row<'_>) -> Result<Read<Self::Call>, Problem> {
        let id = AffiliateId::read(row.text(Field::Affiliate).unwrap_or_default());
        let id =
            id.map_err(|_| Problem { field: Field::Affiliate, problem: "is not an affiliate ID" })?;
        let email = row.text(Field::Email);
        if email.is_some_and(|email| Email::parse(email).is_err()) {
            return Err(Problem { field: Field::Email, problem: "is not an e-mail address" });
        }
        let parts = [Field::FirstName, Field::LastName].map(|field| row.text(field));
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        let name = row.text(Field::Name).map_or_else(|| parts.join(" "), ToOwned::to_owned);
        let call = Partner {
            affiliate: v1::Affiliate {
                programme_id: self.programme.clone(),
                id: id.to_string(),
                title: name,
                confirmed: true,
                coupon_codes: row.text(Field::Coupon).map(ToOwned::to_owned).into_iter().collect(),
                ..Default::default()
            },
            emails: email.map(ToOwned::to_owned).into_iter().collect(),
        };
        Ok(Read::Call { about: id.to_string(), call: Box::new(call) })
    }

    async fn send(clients: &mut Clients, call: Self::Call) -> Result<Sent, Status> {
        let Partner { affiliate, emails } = *call;
        let key = v1::GetAffiliateRequest {
            programme_id: affiliate.programme_id.clone(),
            id: affiliate.id.clone(),
        };
        let known = match clients.catalogue.get_affiliate(key).await {
            Ok(answer) => answer.into_inner().affiliate.unwrap_or_default(),
            Err(status) if status.code() == Code::NotFound => {
                let request = v1::CreateAffiliateRequest {
                    affiliate: Some(affiliate),
                    emails,
                    ..Default::default()
                };
                clients.catalogue.create_affiliate(request).await?;
                return Ok(Sent::New);
            }
            Err(status) => return Err(status),
        };
        // Which addresses are known cannot be asked; that there is one can.
        let emails_known = emails.is_empty() || known.has_email;
        let completed = completed(&known, affiliate);
        if completed == known && emails_known {
            return Ok(Sent::Known);
        }
        let request =
            v1::UpdateAffiliateRequest { affiliate: Some(completed), emails, ..Default::default() };
        clients.catalogue.update_affiliate(request).await?;
        Ok(Sent::New)
    }
}

/// A known affiliate with what the list says more. A name that somebody gave here stands.
fn completed(known: &v1::Affiliate, listed: v1::Affiliate) -> v1::Affiliate {
    let mut affiliate = known.clone();
    affiliate.confirmed = true;
    if affiliate.title.is_empty() {
        affiliate.title = listed.title;
    }
    for code in listed.coupon_codes {
        if !affiliate.coupon_codes.contains(&code) {
            affiliate.coupon_codes.push(code);
        }
    }
    affiliate
}
