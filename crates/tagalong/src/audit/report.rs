//! What came out: sums, per affiliate, per sale, and what could not be told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tagalong_attribution::{
    credit::Credit,
    resolve::{Buyer, CarriedBy},
};

use super::{
    judging::Judged,
    money::Amounts,
    orders::{Orders, shown},
    people::People,
};

/// Some sales together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sum {
    pub(super) sales: u64,
    /// What arrived, less what went back.
    pub(super) amounts: Amounts,
    /// The affiliates' share of it, sale by sale; none where no rate was given.
    pub(super) commission: Option<Amounts>,
}

impl Sum {
    fn add(&mut self, sale: &Sale) {
        self.sales += 1;
        self.amounts.add(&sale.amounts);
        if let Some(commission) = &sale.commission {
            self.commission.get_or_insert_default().add(commission);
        }
    }

    fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.sales += other.sales;
        sum.amounts.add(&other.amounts);
        if let Some(commission) = &other.commission {
            sum.commission.get_or_insert_default().add(commission);
        }
        sum
    }

    /// What is to be paid, as far as it is known: the commission, else what was sold.
    pub(super) fn owed(&self) -> &Amounts {
        self.commission.as_ref().unwrap_or(&self.amounts)
    }
}

/// Sales by how our decision and the platform's relate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Credits {
    /// Both name the same affiliate.
    pub(super) agreed: Sum,
    /// We name one, the platform credited nobody.
    pub(super) owed: Sum,
    /// We name one, the platform credited somebody else.
    pub(super) mismatch: Sum,
    /// We name one, the file does not say whom the platform credited.
    pub(super) unreported: Sum,
    /// Only the platform names one.
    pub(super) platform_only: Sum,
    /// Neither does.
    pub(super) none: Sum,
}

impl Credits {
    fn of(&mut self, credit: Credit) -> &mut Sum {
        match credit {
            Credit::Agreed => &mut self.agreed,
            Credit::Owed => &mut self.owed,
            Credit::Mismatch => &mut self.mismatch,
            Credit::Unreported => &mut self.unreported,
            Credit::PlatformOnly => &mut self.platform_only,
            Credit::None => &mut self.none,
        }
    }

    /// What the platform did not credit to whom it should.
    pub(super) fn missing(&self) -> Sum {
        self.owed.plus(&self.mismatch)
    }

    /// What affiliates brought.
    pub(super) fn due(&self) -> Sum {
        self.missing().plus(&self.agreed).plus(&self.unreported)
    }
}

/// One affiliate's sales.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Affiliate {
    #[serde(rename = "affiliate")]
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) credits: Credits,
    /// What the platform gave this affiliate and others brought.
    pub(super) received_of_others: Sum,
}

/// One sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Sale {
    pub(super) order: String,
    pub(super) item: String,
    pub(super) product: String,
    pub(super) sold_at: Timestamp,
    /// What arrived, less what went back.
    pub(super) amounts: Amounts,
    /// The affiliate's share of it, where a rate was given.
    pub(super) commission: Option<Amounts>,
    /// Everything went back: it is in no sum.
    pub(super) reversed: bool,
    /// Whose it is; none where it is nobody's.
    pub(super) affiliate: Option<String>,
    /// Whom the platform credited: empty for nobody, none where it does not say.
    pub(super) platform_affiliate: Option<String>,
    #[serde(serialize_with = "credit_name")]
    pub(super) credit: Credit,
    pub(super) carried_by: Option<&'static str>,
    /// The buyer is among the registrations.
    pub(super) known: bool,
    pub(super) reason: String,
    /// The line of the orders' file.
    pub(super) line: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "so serde calls it")]
fn credit_name<S: serde::Serializer>(credit: &Credit, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(credit_word(*credit))
}

/// As everywhere on the command line.
pub(super) fn credit_word(credit: Credit) -> &'static str {
    match credit {
        Credit::Agreed => "agreed",
        Credit::Owed => "owed",
        Credit::Mismatch => "mismatch",
        Credit::PlatformOnly => "platform-only",
        Credit::Unreported => "unreported",
        Credit::None => "none",
    }
}

impl Sale {
    /// Somebody has to ask the platform.
    pub(super) fn is_missing(&self) -> bool {
        !self.reversed && matches!(self.credit, Credit::Owed | Credit::Mismatch)
    }
}

/// The whole answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What the platform did not credit to whom it should.
    pub(super) missing: Sum,
    /// The rate, in hundredths of a per cent.
    pub(super) commission_basis_points: Option<i128>,
    pub(super) credits: Credits,
    /// Of buyers who are not among the registrations.
    pub(super) unmatched: Sum,
    /// Sales of which everything went back.
    pub(super) reversed: u64,
    /// Whom most is missing first.
    pub(super) affiliates: Vec<Affiliate>,
    /// What casts doubt on the result.
    pub(super) warnings: Vec<String>,
    /// What is in no sum, and why.
    pub(super) left_out: Vec<String>,
    /// What was assumed.
    pub(super) assumed: Vec<String>,
    /// Where the largest are missing first, then by time.
    pub(super) sales: Vec<Sale>,
}

/// Sums up.
pub(super) fn report(
    orders: &Orders,
    people: &People,
    judged: Vec<Vec<Judged>>,
    commission: Option<i128>,
) -> Report {
    let mut sales = Vec::new();
    for (order, judged) in orders.all.iter().zip(judged) {
        for ((name, item), judged) in order.items.iter().zip(judged) {
            sales.push(Sale {
                order: shown(&order.id),
                item: shown(name),
                product: shown(&item.product),
                sold_at: order.sold_at,
                reversed: item.net.is_reversed(),
                commission: commission.map(|rate| item.net.share(rate)),
                amounts: item.net.clone(),
                affiliate: judged.decision.affiliate.map(Into::into),
                platform_affiliate: item.platform.clone(),
                credit: judged.credit,
                carried_by: judged.resolution.carried_by.map(carried_word),
                known: judged.resolution.buyer != Buyer::Unknown,
                reason: judged.reason,
                line: item.line,
            });
        }
    }
    let (mut credits, mut unmatched, mut reversed) = (Credits::default(), Sum::default(), 0);
    let mut affiliates: BTreeMap<String, Affiliate> = BTreeMap::new();
    for sale in &sales {
        if sale.reversed {
            reversed += 1;
            continue;
        }
        credits.of(sale.credit).add(sale);
        if !sale.known {
            unmatched.add(sale);
        }
        if let Some(affiliate) = &sale.affiliate {
            entry(&mut affiliates, affiliate).credits.of(sale.credit).add(sale);
        }
        if let (Credit::Mismatch | Credit::PlatformOnly, Some(theirs)) =
            (sale.credit, &sale.platform_affiliate)
        {
            let theirs = entry(&mut affiliates, theirs);
            match sale.credit {
                Credit::Mismatch => theirs.received_of_others.add(sale),
                _ => theirs.credits.platform_only.add(sale),
            }
        }
    }
    let mut affiliates: Vec<Affiliate> = affiliates.into_values().collect();
    affiliates.sort_by_cached_key(|affiliate| {
        let (missing, due) = (affiliate.credits.missing(), affiliate.credits.due());
        std::cmp::Reverse((missing.amounts.size(), missing.sales, due.amounts.size(), due.sales))
    });
    sales.sort_by_cached_key(|sale| {
        let size = if sale.is_missing() { sale.amounts.size() } else { i128::MIN };
        (std::cmp::Reverse((sale.is_missing(), size)), sale.sold_at, sale.line)
    });
    let missing = credits.missing();
    Report {
        missing,
        commission_basis_points: commission,
        warnings: warnings(&sales, people),
        left_out: left_out(orders, people, reversed),
        credits,
        unmatched,
        reversed,
        affiliates,
        assumed: Vec::new(),
        sales,
    }
}

fn entry<'a>(affiliates: &'a mut BTreeMap<String, Affiliate>, id: &str) -> &'a mut Affiliate {
    affiliates.entry(id.to_owned()).or_insert_with(|| Affiliate {
        id: id.to_owned(),
        credits: Credits::default(),
        received_of_others: Sum::default(),
    })
}

fn carried_word(by: CarriedBy) -> &'static str {
    match by {
        CarriedBy::Token => "token",
        CarriedBy::Order => "order",
        CarriedBy::Registration => "registration",
        CarriedBy::Click => "click",
        CarriedBy::Email => "email",
    }
}

/// `1 sale`, `2 sales`
pub(super) fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {one}{plural}")
}

fn warnings(sales: &[Sale], people: &People) -> Vec<String> {
    let mut warnings = Vec::new();
    if people.with_affiliate == 0 {
        warnings.push(
            "no registration names an affiliate: is the right column mapped (--map-registrations affiliate=COLUMN), \
             and did the webinar tool store the link parameter?"
                .to_owned(),
        );
    }
    let platform: Vec<&str> = sales
        .iter()
        .filter_map(|sale| sale.platform_affiliate.as_deref())
        .filter(|theirs| !theirs.is_empty())
        .collect();
    let known = |theirs: &&str| people.affiliates.contains(*theirs);
    if people.with_affiliate > 0 && !platform.is_empty() && !platform.iter().any(known) {
        warnings.push(
            "no affiliate that the platform credited is one of the registrations': are names compared with IDs \
             (--map-orders affiliate=COLUMN)?"
                .to_owned(),
        );
    }
    let spelling = sales
        .iter()
        .filter(|sale| sale.credit == Credit::Mismatch)
        .filter(|sale| match (&sale.affiliate, &sale.platform_affiliate) {
            (Some(ours), Some(theirs)) => ours.eq_ignore_ascii_case(theirs.trim()),
            _ => false,
        })
        .count();
    if spelling > 0 {
        warnings.push(format!(
            "{}: the platform's affiliate differs from ours in upper and lower case only",
            counted(spelling as u64, "sale")
        ));
    }
    if sales.iter().all(|sale| sale.platform_affiliate.is_none()) && !sales.is_empty() {
        warnings.push(
            "the orders do not say whom the platform credited, so nothing can be said to be missing: \
             map the column with --map-orders affiliate=COLUMN"
                .to_owned(),
        );
    }
    warnings
}

fn left_out(orders: &Orders, people: &People, reversed: u64) -> Vec<String> {
    let counts = [
        (reversed, "sale", "everything that was paid went back"),
        (orders.unpaid, "order row", "nothing was paid: pending, failed, cancelled or in trial"),
        (orders.test, "order row", "tests"),
        (orders.other_products, "order row", "of other products"),
        (orders.repeated, "order row", "stand twice"),
        (orders.reversals_alone, "reversal", "of sales that are not in the file"),
        (people.without_email, "registration", "without an e-mail address to recognise a buyer by"),
        (people.unfilled, "registration", "with a merge tag where the affiliate belongs"),
        (people.malformed, "registration", "with something that is no affiliate ID"),
    ];
    let mut left_out: Vec<String> = counts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, why)| format!("{}: {why}", counted(count, what)))
        .collect();
    for (unreadable, what) in
        [(&orders.unreadable, "order row"), (&people.unreadable, "registration row")]
    {
        if unreadable.count > 0 {
            left_out.push(format!(
                "{} that cannot be read: {unreadable}",
                counted(unreadable.count, what)
            ));
        }
    }
    left_out
}
