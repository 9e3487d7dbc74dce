//! What the redirect knows of products and affiliates: an immutable snapshot, replaced as a whole.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;
use tagalong_attribution::{
    decide::Suspension,
    id::{AffiliateId, ProductId, ProgrammeId, WebinarId},
    template::Destination,
};
use tagalong_chassis::{private::replace_private, status::chain};
use tagalong_proto::v1::{self, CookiePolicy, WatchCatalogueResponse, catalogue_change::Change};

use crate::{error::BadProduct, query::Rule};

/// A product that links can lead to.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) id: ProductId,
    pub(crate) programme: ProgrammeId,
    pub(crate) sales_page: Option<Destination>,
    pub(crate) checkout: Destination,
    pub(crate) cookies: CookiePolicy,
    pub(crate) rule: Rule,
    pub(crate) test: bool,
}

impl TryFrom<&v1::Product> for Product {
    type Error = BadProduct;

    /// The registry has checked all of it; it is checked again because a redirect goes only where an operator
    /// configured, whoever answered for the registry.
    fn try_from(record: &v1::Product) -> Result<Self, BadProduct> {
        let page = |field, page: &v1::Destination| {
            Destination::parse(&page.with_affiliate, &page.without_affiliate)
                .map_err(|source| BadProduct::Page { field, source })
        };
        let id = record.id.parse().map_err(|source| BadProduct::Id { field: "id", source })?;
        let programme = record
            .programme_id
            .parse()
            .map_err(|source| BadProduct::Id { field: "programme_id", source })?;
        let sales_page =
            record.sales_page.as_ref().map(|sales| page("sales_page", sales)).transpose()?;
        let checkout = page("checkout", record.checkout.as_ref().ok_or(BadProduct::NoCheckout)?)?;
        let rule = match &sales_page {
            Some(sales) => Rule::new(record.query_rule.as_ref(), &[sales, &checkout]),
            None => Rule::new(record.query_rule.as_ref(), &[&checkout]),
        };
        Ok(Self {
            id,
            programme,
            sales_page,
            checkout,
            cookies: record.cookie_policy(),
            rule,
            test: record.test,
        })
    }
}

/// What is known of a product. What was saved is read when the first visitor comes for it: a hundred thousand products
/// would hold up the start by a second.
#[derive(Debug)]
struct Entry {
    /// `tagalong.v1.Product`.
    record: Bytes,
    product: OnceLock<Option<Arc<Product>>>,
}

impl Entry {
    fn new(record: &v1::Product) -> Result<Self, BadProduct> {
        let product = Product::try_from(record)?;
        Ok(Self {
            record: record.encode_to_vec().into(),
            product: OnceLock::from(Some(Arc::new(product))),
        })
    }

    fn saved(record: Bytes) -> Self {
        Self { record, product: OnceLock::new() }
    }

    fn product(&self) -> Option<&Arc<Product>> {
        let read = || {
            let record = v1::Product::decode(self.record.clone())
                .inspect_err(|error| tracing::error!(%error, "an unreadable product was saved"))
                .ok()?;
            let product = Product::try_from(&record).inspect_err(|error| {
                tracing::error!(product = record.id, error = chain(error), "unusable product");
            });
            product.map(Arc::new).ok()
        };
        self.product.get_or_init(read).as_ref()
    }
}

/// Where a webinar takes place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Fit for a header.
    pub(crate) url: String,
    /// What is sold there.
    pub(crate) offers: Vec<ProductId>,
}

impl Room {
    /// None where the webinar has none, or, whoever answered for the registry, one that is no web page.
    fn of(record: &v1::Webinar) -> Option<Self> {
        let url = &record.room_url;
        let web = url.starts_with("https://") || url.starts_with("http://");
        if url.is_empty() {
            return None;
        }
        if !web || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            tracing::error!(webinar = record.id, "unusable room");
            return None;
        }
        let offers = record.offers_product_ids.iter().filter_map(|id| id.parse().ok());
        Some(Self { url: url.clone(), offers: offers.collect() })
    }
}

/// Everything a link needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    /// The registry's, up to which this is complete.
    pub(crate) revision: i64,
    products: HashMap<ProductId, Arc<Entry>>,
    suspended: HashMap<ProgrammeId, HashMap<AffiliateId, Vec<Suspension>>>,
    rooms: HashMap<WebinarId, Arc<Room>>,
}

impl Catalogue {
    pub(crate) fn product(&self, id: &ProductId) -> Option<&Arc<Product>> {
        self.products.get(id)?.product()
    }

    pub(crate) fn room(&self, webinar: &WebinarId) -> Option<&Arc<Room>> {
        self.rooms.get(webinar)
    }

    pub(crate) fn is_suspended(
        &self,
        programme: &ProgrammeId,
        affiliate: &AffiliateId,
        at: Timestamp,
    ) -> bool {
        let suspensions = self.suspended.get(programme).and_then(|all| all.get(affiliate));
        suspensions.is_some_and(|all| all.iter().any(|suspension| suspension.covers(at)))
    }

    /// Applies one step of the registry's stream. A product that cannot be used stays as it was, here or in what
    /// is `shown` to visitors meanwhile.
    pub(crate) fn apply(&mut self, step: WatchCatalogueResponse, shown: &Self) {
        if step.reset {
            *self = Self::default();
        }
        for change in step.changes {
            match change.change {
                Some(Change::Product(record)) => self.apply_product(&record, shown),
                Some(Change::Affiliate(record)) => self.apply_affiliate(&record),
                Some(Change::Removed(removed)) => {
                    self.products.remove(removed.product_id.as_str());
                    self.suspended.remove(removed.programme_id.as_str());
                    self.rooms.remove(removed.webinar_id.as_str());
                }
                Some(Change::Webinar(record)) => self.apply_webinar(&record),
                Some(Change::Programme(_)) | None => {}
            }
        }
        self.revision = step.revision;
    }

    fn apply_product(&mut self, record: &v1::Product, shown: &Self) {
        let Ok(id) = record.id.parse::<ProductId>() else {
            tracing::error!(product = record.id, "unusable product ID");
            return;
        };
        match Entry::new(record) {
            Ok(entry) => {
                self.products.insert(id, Arc::new(entry));
            }
            Err(error) => {
                let before = self.products.get(&id).or_else(|| shown.products.get(&id)).cloned();
                let error = chain(&error);
                tracing::error!(
                    product = record.id,
                    error,
                    kept = before.is_some(),
                    "unusable product"
                );
                if let Some(before) = before {
                    self.products.insert(id, before);
                }
            }
        }
    }

    fn apply_affiliate(&mut self, record: &v1::Affiliate) {
        let (Ok(programme), Ok(affiliate)) = (record.programme_id.parse(), record.id.parse())
        else {
            tracing::error!(programme = record.programme_id, "unusable affiliate ID");
            return;
        };
        if !record.suspensions.is_empty() {
            let suspensions = record.suspensions.iter().map(suspension).collect();
            self.suspended.entry(programme).or_default().insert(affiliate, suspensions);
        } else if let Some(affiliates) = self.suspended.get_mut(&programme) {
            affiliates.remove(&affiliate);
        }
    }

    fn apply_webinar(&mut self, record: &v1::Webinar) {
        let Ok(id) = record.id.parse::<WebinarId>() else {
            tracing::error!(webinar = record.id, "unusable webinar ID");
            return;
        };
        match Room::of(record) {
            Some(room) => self.rooms.insert(id, Arc::new(room)),
            None => self.rooms.remove(&id),
        };
    }

    /// Writes it to disk, whole or not at all.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let products = self
            .products
            .values()
            .map(|entry| Saved { product: Some(entry.record.clone()), ..Saved::default() });
        let affiliates = self.suspended.iter().flat_map(|(programme, affiliates)| {
            affiliates.iter().map(|(id, suspensions)| Saved {
                affiliate: Some(v1::Affiliate {
                    programme_id: programme.to_string(),
                    id: id.to_string(),
                    suspensions: suspensions.iter().map(record).collect(),
                    ..v1::Affiliate::default()
                }),
                ..Saved::default()
            })
        });
        let rooms = self.rooms.iter().map(|(webinar, room)| Saved {
            webinar: Some(v1::Webinar {
                id: webinar.to_string(),
                room_url: room.url.clone(),
                offers_product_ids: room.offers.iter().map(ToString::to_string).collect(),
                ..v1::Webinar::default()
            }),
            ..Saved::default()
        });
        let saved = SavedCatalogue {
            changes: products.chain(affiliates).chain(rooms).collect(),
            revision: self.revision,
            reset: true,
            has_rooms: true,
            checksum: None,
        };
        let mut bytes = saved.encode_to_vec();
        let checksum = Some(crc32fast::hash(&bytes));
        // A message is its fields one after the other: this adds one.
        bytes.extend(SavedCatalogue { checksum, ..SavedCatalogue::default() }.encode_to_vec());
        replace_private(path, &bytes)
    }

    /// Reads it back; none where there is no file or it is not one of ours, which is logged.
    pub(crate) fn load(path: &Path) -> Option<Self> {
        let read = match fs::read(path) {
            Ok(bytes) => Self::decode(&bytes.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error),
        };
        read.inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "cannot read the saved catalogue");
        })
        .ok()
    }

    fn decode(bytes: &Bytes) -> io::Result<Self> {
        let saved = SavedCatalogue::decode(bytes.clone())?;
        // Products are read later, when it would be too late to ask for another catalogue.
        if let Some(checksum) = saved.checksum {
            let behind = SavedCatalogue { checksum: Some(checksum), ..SavedCatalogue::default() };
            let before = &bytes[..bytes.len() - behind.encoded_len()];
            if crc32fast::hash(before) != checksum {
                return Err(io::Error::other("the checksum is wrong"));
            }
        }
        // One that was saved without rooms is not all there is up to its revision: everything is asked for again.
        let revision = if saved.has_rooms { saved.revision } else { 0 };
        let mut catalogue = Self { revision, ..Self::default() };
        catalogue.products.reserve(saved.changes.len());
        for Saved { product, affiliate, webinar } in saved.changes {
            if let Some(record) = product {
                let id = SavedProduct::decode(record.clone())?.id;
                let id = id.try_into().map_err(io::Error::other)?;
                catalogue.products.insert(id, Arc::new(Entry::saved(record)));
            }
            if let Some(affiliate) = affiliate {
                catalogue.apply_affiliate(&affiliate);
            }
            if let Some(webinar) = webinar {
                catalogue.apply_webinar(&webinar);
            }
        }
        Ok(catalogue)
    }
}

/// `tagalong.v1.WatchCatalogueResponse` with its products unread.
#[derive(Clone, PartialEq, prost::Message)]
struct SavedCatalogue {
    #[prost(message, repeated, tag = "1")]
    changes: Vec<Saved>,
    #[prost(int64, tag = "2")]
    revision: i64,
    #[prost(bool, tag = "3")]
    reset: bool,
    /// Rooms are among the changes.
    #[prost(bool, tag = "999")]
    has_rooms: bool,
    /// CRC-32 of everything before it.
    #[prost(fixed32, optional, tag = "1000")]
    checksum: Option<u32>,
}

/// `tagalong.v1.CatalogueChange`, of which the rest is not saved.
#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(message, optional, tag = "2")]
    affiliate: Option<v1::Affiliate>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    product: Option<Bytes>,
    #[prost(message, optional, tag = "4")]
    webinar: Option<v1::Webinar>,
}

/// `tagalong.v1.Product` without the rest of it.
#[derive(Clone, PartialEq, prost::Message)]
struct SavedProduct {
    #[prost(string, tag = "1")]
    id: String,
}

fn suspension(record: &v1::Suspension) -> Suspension {
    let from = record.starts_at.as_ref().and_then(timestamp).unwrap_or(Timestamp::MIN);
    Suspension { from, until: record.ends_at.as_ref().and_then(timestamp), recorded_at: from }
}

fn record(suspension: &Suspension) -> v1::Suspension {
    v1::Suspension {
        starts_at: Some(to_proto(suspension.from)),
        ends_at: suspension.until.map(to_proto),
        reason: String::new(),
    }
}

fn timestamp(proto: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(proto.seconds, proto.nanos).ok()
}

pub(crate) fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

#[cfg(test)]
pub(crate) mod tests {
    use tagalong_proto::v1::CatalogueChange;

    use super::*;

    pub(crate) fn step(changes: Vec<Change>, revision: i64) -> WatchCatalogueResponse {
        let changes = changes.into_iter().map(|change| CatalogueChange { change: Some(change) });
        WatchCatalogueResponse { changes: changes.collect(), revision, ..Default::default() }
    }

    pub(crate) fn product(id: &str, checkout: &str) -> v1::Product {
        v1::Product {
            id: id.into(),
            programme_id: "copecart".into(),
            checkout: Some(v1::Destination {
                with_affiliate: checkout.into(),
                without_affiliate: String::new(),
            }),
            ..Default::default()
        }
    }

    pub(crate) fn suspended(id: &str, from: i64, until: Option<i64>) -> Change {
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        Change::Affiliate(v1::Affiliate {
            programme_id: "copecart".into(),
            id: id.into(),
            suspensions: vec![v1::Suspension {
                starts_at: Some(at(from)),
                ends_at: until.map(at),
                reason: String::new(),
            }],
            ..Default::default()
        })
    }

    fn removed(removal: v1::CatalogueRemoval) -> Change {
        Change::Removed(removal)
    }

    fn id(text: &str) -> ProductId {
        text.parse().unwrap()
    }

    const GOOD: &str = "https://c.test/?aff={affiliate}";

    #[test]
    fn a_bad_product_is_left_out_or_stays_as_it_was() {
        let bad = |id| Change::Product(product(id, "javascript:alert({affiliate})"));
        let mut catalogue = Catalogue::default();
        let changes = vec![Change::Product(product("good", GOOD)), bad("new")];
        catalogue.apply(step(changes, 7), &Catalogue::default());
        assert_eq!(catalogue.revision, 7);
        assert!(catalogue.product(&id("good")).is_some());
        assert!(catalogue.product(&id("new")).is_none());

        let shown = catalogue.clone();
        let reset = WatchCatalogueResponse { reset: true, ..step(vec![bad("good")], 1) };
        for step in [step(vec![bad("good")], 8), reset] {
            catalogue.apply(step, &shown);
            let kept = catalogue.products[&id("good")].record.clone();
            assert_eq!(v1::Product::decode(kept).unwrap(), product("good", GOOD));
        }
        let without = v1::Product { checkout: None, ..product("other", GOOD) };
        catalogue.apply(step(vec![Change::Product(without)], 9), &shown);
        assert!(catalogue.product(&id("other")).is_none());
    }

    #[test]
    fn suspensions_have_their_time() {
        let mut catalogue = Catalogue::default();
        let changes = vec![suspended("max", 100, Some(200)), suspended("eva", 100, None)];
        catalogue.apply(step(changes, 1), &Catalogue::default());
        let is = |programme: &str, affiliate: &str, second| {
            let at = Timestamp::from_second(second).unwrap();
            catalogue.is_suspended(&programme.parse().unwrap(), &affiliate.parse().unwrap(), at)
        };
        assert_eq!(
            [99, 100, 199, 200].map(|at| is("copecart", "max", at)),
            [false, true, true, false]
        );
        assert!(is("copecart", "eva", 1 << 33));
        assert!(!is("digistore24", "eva", 150));
    }

    #[test]
    fn removals_and_resets_are_obeyed() {
        let mut catalogue = Catalogue::default();
        let all = || {
            vec![
                Change::Product(product("a", GOOD)),
                Change::Product(product("b", GOOD)),
                suspended("max", 100, None),
            ]
        };
        catalogue.apply(step(all(), 3), &Catalogue::default());
        let gone = v1::CatalogueRemoval { product_id: "a".into(), ..Default::default() };
        catalogue.apply(step(vec![removed(gone)], 4), &Catalogue::default());
        assert!(catalogue.product(&id("a")).is_none() && catalogue.product(&id("b")).is_some());
        let gone = v1::CatalogueRemoval { programme_id: "copecart".into(), ..Default::default() };
        catalogue.apply(step(vec![removed(gone)], 5), &Catalogue::default());
        assert!(catalogue.suspended.is_empty());

        let shown = catalogue.clone();
        catalogue.apply(WatchCatalogueResponse { reset: true, ..step(vec![], 1) }, &shown);
        assert!(catalogue.products.is_empty());
    }

    #[test]
    fn saved_it_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalogue.bin");
        assert!(Catalogue::load(&path).is_none());
        let mut catalogue = Catalogue::default();
        let changes =
            vec![Change::Product(product("course", GOOD)), suspended("max", 100, Some(200))];
        catalogue.apply(step(changes, 5), &Catalogue::default());
        catalogue.save(&path).unwrap();
        let loaded = Catalogue::load(&path).unwrap();
        assert_eq!(loaded.revision, 5);
        assert_eq!(loaded.suspended, catalogue.suspended);
        let course = loaded.product(&id("course")).unwrap();
        assert_eq!(course.checkout, catalogue.product(&id("course")).unwrap().checkout);
        assert!(loaded.product(&id("other")).is_none());

        // It is a step of the registry's stream.
        let step = WatchCatalogueResponse::decode(fs::read(&path).unwrap().as_slice()).unwrap();
        assert!(step.reset);
        let mut applied = Catalogue::default();
        applied.apply(step, &Catalogue::default());
        assert_eq!(applied.suspended, catalogue.suspended);
        assert!(applied.product(&id("course")).is_some());

        let mut damaged = fs::read(&path).unwrap();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        for bytes in [damaged.as_slice(), b"\xff\xff\xff"] {
            fs::write(&path, bytes).unwrap();
            assert!(Catalogue::load(&path).is_none());
        }
    }

    #[test]
    fn rooms_come_go_and_are_saved() {
        let webinar = |id: &str, room_url: &str| {
            let offers_product_ids = vec!["course".to_owned(), "-no ID".to_owned()];
            let record = v1::Webinar {
                id: id.into(),
                room_url: room_url.into(),
                offers_product_ids,
                ..Default::default()
            };
            Change::Webinar(record)
        };
        let room = |catalogue: &Catalogue, id: &str| {
            let id: WebinarId = id.parse().unwrap();
            catalogue.room(&id).map(|room| (room.url.clone(), room.offers.len()))
        };
        let mut catalogue = Catalogue::default();
        let changes = vec![
            webinar("good", "https://room.test/1?a=b"),
            webinar("none", ""),
            webinar("script", "javascript:alert(1)"),
            webinar("split", "https://room.test/\r\nset-cookie:a"),
            webinar("moved", "https://room.test/2"),
            webinar("gone", "http://room.test/3"),
        ];
        catalogue.apply(step(changes, 5), &Catalogue::default());
        let gone = v1::CatalogueRemoval { webinar_id: "gone".into(), ..Default::default() };
        let changes = vec![webinar("moved", ""), removed(gone)];
        catalogue.apply(step(changes, 6), &Catalogue::default());

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalogue.bin");
        catalogue.save(&path).unwrap();
        let loaded = Catalogue::load(&path).unwrap();
        assert_eq!(loaded.revision, 6);
        for catalogue in [&catalogue, &loaded] {
            assert_eq!(room(catalogue, "good"), Some(("https://room.test/1?a=b".to_owned(), 1)));
            for id in ["none", "script", "split", "moved", "gone"] {
                assert_eq!(room(catalogue, id), None, "{id}");
            }
        }

        // One that was saved before there were rooms is shown, and everything is asked for.
        let before = SavedCatalogue { revision: 6, reset: true, ..Default::default() };
        fs::write(&path, before.encode_to_vec()).unwrap();
        assert_eq!(Catalogue::load(&path).unwrap().revision, 0);
    }
}
