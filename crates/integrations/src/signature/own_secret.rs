//! A secret of ours, for platforms that sign nothing: in the hook's path, as a bearer token, or as the query's
//! `token`. It proves who sent the body, not that nobody changed it.

use http::header::AUTHORIZATION;

use super::{Authentic, fitting, header, same};
use crate::delivery::{Delivery, Refusal};

pub(crate) fn verify<'a>(
    secrets: &[&str],
    delivery: &Delivery<'a>,
) -> Result<Authentic<'a>, Refusal> {
    let bearer = match header(delivery.headers, &AUTHORIZATION) {
        Ok(value) => value
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.to_owned()),
        Err(Refusal::Unsigned) => None,
        Err(refusal) => return Err(refusal),
    };
    let token = form_urlencoded::parse(delivery.query.as_bytes())
        .find(|(name, _)| name == "token")
        .map(|(_, value)| value.into_owned());
    let given: Vec<String> =
        [delivery.path_secret.map(str::to_owned), bearer, token].into_iter().flatten().collect();
    if given.is_empty() {
        return Err(Refusal::Unsigned);
    }
    let secret = fitting(secrets, |secret| {
        given.iter().fold(false, |found, given| found | same(given, secret))
    })?;
    Ok(Authentic::whole(delivery, secret))
}
