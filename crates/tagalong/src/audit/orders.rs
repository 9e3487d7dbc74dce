//! What was sold, whom the platform credited, and what became of the money.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use tagalong_attendee_registry::email::Email;

use super::{Unreadable, money::Amounts};
use crate::sheet::{Field, Kind, Money, Problem, Sale, Sheet};

/// An order with its items.
pub(super) struct Order {
    pub(super) id: String,
    /// The order this one follows, where the file has it.
    pub(super) parent: Option<usize>,
    /// A parent was named, whether or not the file has it.
    pub(super) follows: bool,
    pub(super) sold_at: Timestamp,
    pub(super) emails: Vec<Email>,
    /// The webinar tool's ID of the buyer's registration; empty where the file has none.
    pub(super) registration: String,
    /// In the order of their names.
    pub(super) items: BTreeMap<String, Item>,
    parent_id: String,
}

/// One line of an order.
pub(super) struct Item {
    pub(super) product: String,
    pub(super) kind: Kind,
    /// Whom the platform credited: empty for nobody, none where it does not say.
    pub(super) platform: Option<String>,
    /// What arrived, less what went back.
    pub(super) net: Amounts,
    /// The line of the file in which it first stands.
    pub(super) line: u64,
}

/// What the orders' file holds.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) all: Vec<Order>,
    /// Rows of payments that did not arrive.
    pub(super) unpaid: u64,
    /// Rows of tests.
    pub(super) test: u64,
    /// Rows of products that were not asked for.
    pub(super) other_products: u64,
    /// Rows that stand twice.
    pub(super) repeated: u64,
    /// Money that went back for sales the file does not have.
    pub(super) reversals_alone: u64,
    pub(super) unreadable: Unreadable,
}

/// Reads all orders; only those of `products`, where any are given.
pub(super) fn read(sheet: &Sheet, products: &[String]) -> anyhow::Result<Orders> {
    let mut read = Orders::default();
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut seen: HashSet<(usize, String, String, bool)> = HashSet::new();
    let mut reversals: Vec<(Sale, i64)> = Vec::new();
    let mut rows = sheet.rows()?;
    while let Some(row) = rows.next()? {
        let sale = match Sale::read(row) {
            Ok(sale) => sale,
            Err(problem) => {
                read.unreadable.add(row.line, problem);
                continue;
            }
        };
        if !products.is_empty() && !products.contains(&sale.product) {
            read.other_products += 1;
            continue;
        }
        let sign = match sale.money {
            Money::Test => {
                read.test += 1;
                continue;
            }
            Money::Unpaid => {
                read.unpaid += 1;
                continue;
            }
            Money::Refund | Money::Chargeback => {
                reversals.push((sale, -1));
                continue;
            }
            Money::WonBack => {
                reversals.push((sale, 1));
                continue;
            }
            Money::Paid => 1,
            Money::PaidBack => 0,
        };
        let Some(sold_at) = sale.sold_at else {
            read.unreadable.add(row.line, Problem { field: Field::SoldAt, problem: "is empty" });
            continue;
        };
        let at = *index.entry(sale.order.clone()).or_insert_with(|| {
            read.all.push(Order::new(&sale, sold_at));
            read.all.len() - 1
        });
        let new = seen.insert((at, sale.item.clone(), sale.transaction.clone(), false));
        read.repeated += u64::from(!new);
        read.all[at].add(&sale, sold_at, row.line, if new { sign } else { 0 });
    }
    // They may stand above what they reverse.
    for (sale, sign) in reversals {
        let at = index.get(&sale.order).copied();
        let item = at.and_then(|at| Some((at, read.all[at].items.get_mut(&sale.item)?)));
        let Some((at, item)) = item else {
            read.reversals_alone += 1;
            continue;
        };
        if seen.insert((at, sale.item, sale.transaction, true)) {
            item.net.add_signed(sale.amount.as_ref(), sign);
        } else {
            read.repeated += 1;
        }
    }
    for order in &mut read.all {
        order.follows = !order.parent_id.is_empty();
        order.parent = index.get(&order.parent_id).copied();
    }
    Ok(read)
}

impl Order {
    fn new(sale: &Sale, sold_at: Timestamp) -> Self {
        Self {
            id: sale.order.clone(),
            parent: None,
            follows: false,
            sold_at,
            emails: Vec::new(),
            registration: String::new(),
            items: BTreeMap::new(),
            parent_id: String::new(),
        }
    }

    /// Adds what one more row says. Where rows contradict each other, content decides, as in the registry: the earlier
    /// time, the smaller ID, and of the platform's answers one that names somebody.
    fn add(&mut self, sale: &Sale, sold_at: Timestamp, line: u64, sign: i64) {
        fn smaller(known: &mut String, new: &str) {
            if !new.is_empty() && (known.is_empty() || new < known.as_str()) {
                new.clone_into(known);
            }
        }
        self.sold_at = self.sold_at.min(sold_at);
        smaller(&mut self.parent_id, &sale.parent);
        smaller(&mut self.registration, &sale.registration);
        if let Ok(email) = Email::parse(&sale.email)
            && !self.emails.contains(&email)
        {
            self.emails.push(email);
        }
        let item = self.items.entry(sale.item.clone()).or_insert_with(|| Item {
            product: sale.product.clone(),
            kind: sale.kind,
            platform: sale.affiliate.as_deref().map(shown),
            net: Amounts::default(),
            line,
        });
        if sale.affiliate.as_ref().is_some_and(|affiliate| !affiliate.is_empty()) {
            item.platform = sale.affiliate.as_deref().map(shown);
        }
        item.net.add_signed(sale.amount.as_ref(), sign);
    }
}

/// A name as it may be shown: some platforms use somebody's address as one.
pub(super) fn shown(name: &str) -> String {
    if name.contains('@') { "(an e-mail address)".to_owned() } else { name.to_owned() }
}
