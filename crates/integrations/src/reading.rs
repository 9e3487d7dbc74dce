//! What a delivery says, in our words. Nothing here prints an e-mail address.

use jiff::Timestamp;

use crate::{email::Email, money::Money};

mod outline;

/// A delivery, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the platform calls the event; empty where it names none.
    pub event: String,
    /// What it is to us.
    pub kind: EventKind,
    /// By what the platform marks one event however often it sends it; none where it marks none. Two deliveries of one
    /// source with the same ID say the same.
    pub delivery_id: Option<String>,
    /// Made for a test.
    pub test: bool,
    /// What happened; none for [`EventKind::Test`] and [`EventKind::Ignored`].
    pub notice: Option<Notice>,
}

/// What an event is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Somebody registered for a webinar.
    Registration,
    /// Somebody attended a webinar, or watched its replay.
    Attendance,
    /// An order was paid, or its first instalment was.
    Payment,
    /// A later instalment or a renewal was paid.
    Rebill,
    /// An order was placed; the money has not arrived.
    Pending,
    /// An order was placed; its trial is free.
    Trial,
    /// The seller paid back.
    Refund,
    /// The buyer's bank took it back.
    Chargeback,
    /// A disputed payment came back to the seller.
    WonBack,
    /// A registration was cancelled, or a subscription ends: no money moved.
    Cancelled,
    /// The platform tries whether the hook answers.
    Test,
    /// Nothing to us.
    Ignored,
}

impl EventKind {
    /// Its name, as presets spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Attendance => "attendance",
            Self::Payment => "payment",
            Self::Rebill => "rebill",
            Self::Pending => "pending",
            Self::Trial => "trial",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::WonBack => "won_back",
            Self::Cancelled => "cancelled",
            Self::Test => "test",
            Self::Ignored => "ignored",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// [`EventKind::Registration`].
    Registration(Registration),
    /// [`EventKind::Attendance`], of this registration.
    Attendance(Registration),
    /// [`EventKind::Cancelled`] at a webinar tool.
    RegistrationCancelled(Registration),
    /// [`EventKind::Payment`], [`EventKind::Rebill`], and without payments [`EventKind::Pending`] and [`EventKind::Trial`].
    Order(Order),
    /// [`EventKind::Refund`], [`EventKind::Chargeback`] and [`EventKind::WonBack`].
    Reversal(Reversal),
    /// [`EventKind::Cancelled`] at a checkout: of this order.
    OrderCancelled(Cancellation),
}

/// Somebody in a webinar. Texts are the tool's own; there is an `id` or an `email`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registration {
    /// The tool's ID of the webinar; none where it does not say.
    pub webinar: Option<String>,
    /// The tool's ID of the registration.
    pub id: Option<String>,
    /// The tool's ID of the session.
    pub session: Option<String>,
    /// The address registered with.
    pub email: Option<Email>,
    /// The affiliate stored with the registration, as it stands there.
    pub affiliate: Option<String>,
    /// The ID of the click that led here.
    pub click: Option<String>,
    /// When the person registered, or attended; none where the tool does not say, or without a zone.
    pub at: Option<Timestamp>,
}

/// An order, as far as one delivery tells of it. Texts are the platform's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The platform's order ID.
    pub id: String,
    /// The platform's ID of the order that this one follows.
    pub parent: Option<String>,
    /// When the buyer ordered; none where the platform does not say, or without a zone.
    pub ordered_at: Option<Timestamp>,
    /// Who bought.
    pub buyer: Buyer,
    /// At least one; no two with one ID.
    pub items: Vec<Item>,
}

/// What a checkout knows of its buyer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Buyer {
    /// What stands in the checkout's free field: an attendee's token or a click's ID.
    pub reference: Option<String>,
    /// The click's ID, where it has a field of its own.
    pub click: Option<String>,
    /// The buyer's e-mail address.
    pub email: Option<Email>,
    /// The coupon code entered.
    pub coupon: Option<String>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The platform's ID of the line.
    pub id: String,
    /// The platform's product ID.
    pub product: String,
    /// How it came into the order.
    pub kind: ItemKind,
    /// The price of the line.
    pub price: Option<Money>,
    /// Whom the platform says it credits.
    pub affiliate: PlatformAffiliate,
    /// The money that arrived for it, where this delivery tells of some.
    pub payment: Option<Payment>,
}

/// How an item came into an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ItemKind {
    /// What the buyer came for.
    #[default]
    Main,
    /// Bought on a page after it.
    Upsell,
    /// Ticked in the order form beside it.
    Bump,
}

/// Whom a platform says it credits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PlatformAffiliate {
    /// It does not say.
    #[default]
    Unsaid,
    /// It says nobody.
    Nobody,
    /// It names somebody, as its links do.
    Named(String),
}

/// Money that arrived for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The platform's transaction ID, unique for the item.
    pub id: String,
    /// How much.
    pub amount: Money,
    /// When; none where the platform does not say, or without a zone.
    pub at: Option<Timestamp>,
    /// Which of the item's payments this is, from 1.
    pub sequence: Option<u32>,
}

/// Money that went back, or came again after going back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    /// The platform's ID of the order.
    pub order: String,
    /// What happened.
    pub kind: ReversalKind,
    /// At least one; no two of one item.
    pub items: Vec<ReversedItem>,
    /// When; none where the platform does not say, or without a zone.
    pub at: Option<Timestamp>,
}

/// What of an item's money went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReversedItem {
    /// The platform's ID of the line: the [`Item::id`] of the order.
    pub item: String,
    /// The platform's transaction ID, unique for the item.
    pub id: String,
    /// How much, never negative.
    pub amount: Money,
}

/// What happened to money that had arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReversalKind {
    /// The seller paid back.
    Refund,
    /// The buyer's bank took it back.
    Chargeback,
    /// A disputed payment came back to the seller.
    WonBack,
}

/// The end of a subscription or of a payment plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// The platform's ID of the order.
    pub order: String,
    /// The platform's IDs of the lines.
    pub items: Vec<String>,
}

/// Why an authentic delivery could not be read. Names paths of the preset and never what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmapped {
    /// The preset is a draft, or does not say where such a thing stands.
    #[error("the preset is a draft")]
    Draft,
    /// The body is neither JSON nor a form.
    #[error("the body is neither a JSON object nor a form")]
    Body,
    /// The preset does not know the event.
    #[error("{path}: no kind is known for this event")]
    Event {
        /// The paths tried, in order.
        path: String,
    },
    /// Something needed is not there.
    #[error("{key}: nothing at {path}")]
    Missing {
        /// The preset's key.
        key: &'static str,
        /// The paths tried, in order.
        path: String,
    },
    /// Something stands there that cannot be used.
    #[error("{key}: what stands at {path} is not {expected}")]
    Malformed {
        /// The preset's key.
        key: &'static str,
        /// The path.
        path: String,
        /// What would have been.
        expected: &'static str,
    },
}
