//! The tables. Times are microseconds since 1970, enums the numbers of `tagalong.v1`, amounts minor units.

macro_rules! table {
    ($(#[$doc:meta])* $module:ident, $table:literal, { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        pub(crate) mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub(crate) struct Model {
                $($(#[$attribute])* pub(crate) $field: $type,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub(crate) enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

table!(programme, "programme", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    platform: String,
    title: String,
    never_names_affiliates: bool,
    test: bool,
    revision: i64,
    created_at: i64,
    ignore_affiliate_case: bool,
});

table!(affiliate, "affiliate", {
    #[sea_orm(primary_key, auto_increment = false)]
    programme: String,
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    title: String,
    house: bool,
    confirmed: bool,
    // 0 until an operator says something about the affiliate.
    revision: i64,
    created_at: i64,
});

table!(affiliate_coupon, "affiliate_coupon", {
    #[sea_orm(primary_key, auto_increment = false)]
    programme: String,
    #[sea_orm(primary_key, auto_increment = false)]
    code: String,
    affiliate: String,
});

table!(affiliate_email, "affiliate_email", {
    #[sea_orm(primary_key, auto_increment = false)]
    programme: String,
    #[sea_orm(primary_key, auto_increment = false)]
    affiliate: String,
    #[sea_orm(primary_key, auto_increment = false)]
    hash: Vec<u8>,
});

table!(suspension, "suspension", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    programme: String,
    affiliate: String,
    starts_at: i64,
    ends_at: Option<i64>,
    reason: String,
    recorded_at: i64,
});

table!(product, "product", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    programme: String,
    title: String,
    sales_page_with: Option<String>,
    sales_page_without: Option<String>,
    checkout_with: String,
    checkout_without: String,
    cookie_policy: i32,
    query_mode: i32,
    // One name a line.
    query_names: String,
    policy_version: i64,
    revision: i64,
    created_at: i64,
});

table!(product_external_id, "product_external_id", {
    #[sea_orm(primary_key, auto_increment = false)]
    programme: String,
    #[sea_orm(primary_key, auto_increment = false)]
    external_id: String,
    product: String,
});

table!(policy, "policy", {
    #[sea_orm(primary_key, auto_increment = false)]
    product: String,
    #[sea_orm(primary_key, auto_increment = false)]
    version: i64,
    model: i32,
    window_seconds: i64,
    settle_after_seconds: i64,
    coupon_rank: i32,
    created_at: i64,
});

table!(webinar, "webinar", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    title: String,
    campaign_ends_at: Option<i64>,
    test: bool,
    revision: i64,
    created_at: i64,
    room_url: String,
    // None where there is no form, and then the rest of it means nothing.
    form_key: Option<String>,
    // One a line.
    form_origins: String,
    form_thank_you_url: String,
    form_programme: Option<String>,
    form_keep_emails: bool,
});

table!(webinar_product, "webinar_product", {
    #[sea_orm(primary_key, auto_increment = false)]
    webinar: String,
    #[sea_orm(primary_key, auto_increment = false)]
    product: String,
    promotes: bool,
    offers: bool,
});

table!(
    /// What was removed, so that redirects hear of it.
    catalogue_removal, "catalogue_removal", {
    #[sea_orm(primary_key, auto_increment = false)]
    revision: i64,
    // `programme`, `product` or `webinar`.
    kind: String,
    key: String,
});

table!(
    /// One row: the last revision given out.
    catalogue_clock, "catalogue_clock", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i32,
    revision: i64,
});

table!(attendee, "attendee", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    webinar: String,
    email_sealed: Option<Vec<u8>>,
    // When the first verified registration was received.
    known_since: Option<i64>,
    test: bool,
    created_at: i64,
    erased_at: Option<i64>,
});

table!(
    /// Request IDs whose answers tell about an attendee.
    attendee_request, "attendee_request", {
    #[sea_orm(primary_key, auto_increment = false)]
    attendee: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    request: String,
});

table!(attendee_email, "attendee_email", {
    #[sea_orm(primary_key, auto_increment = false)]
    webinar: String,
    #[sea_orm(primary_key, auto_increment = false)]
    hash: Vec<u8>,
    attendee: Uuid,
});

table!(registration, "registration", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    attendee: Uuid,
    source: String,
    external_webinar: String,
    external_id: String,
    session: String,
    affiliate: Option<String>,
    // That issued the affiliate's ID.
    programme: Option<String>,
    registered_at: i64,
    received_at: i64,
    verified: bool,
});

table!(touch, "touch", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    // What it was made from; the same origin makes one touch.
    #[sea_orm(unique)]
    origin: String,
    // None for coupons and for the click of a buyer who is no attendee.
    attendee: Option<Uuid>,
    // The order that a coupon was entered in.
    sale_order: Option<Uuid>,
    click: Option<Uuid>,
    kind: i32,
    programme: String,
    affiliate: String,
    product: Option<String>,
    webinar: Option<String>,
    session: String,
    occurred_at: i64,
    received_at: i64,
    verified: bool,
});

table!(click, "click", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    product: String,
    programme: Option<String>,
    affiliate: Option<String>,
    no_affiliate: i32,
    occurred_at: i64,
    received_at: i64,
    class: i32,
    link: i32,
    // One a line.
    sub_ids: String,
    attendee: Option<Uuid>,
    cookie_click: Option<Uuid>,
    test: bool,
});

table!(
    /// How far each redirect's log has been stored.
    click_log, "click_log", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    next_position: i64,
});

table!(
    /// An attendee said to have made a click; either may be known before the other.
    click_claim, "click_claim", {
    #[sea_orm(primary_key, auto_increment = false)]
    click: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    attendee: Uuid,
    // Said by somebody who proved who they are.
    verified: bool,
});

table!(sale_order, "sale_order", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    source: String,
    external_id: String,
    programme: String,
    parent_external_id: Option<String>,
    sold_at: i64,
    received_at: i64,
    token_attendee: Option<Uuid>,
    token_invalid: bool,
    click: Option<Uuid>,
    registration_source: Option<String>,
    registration_external_webinar: Option<String>,
    registration_external_id: Option<String>,
    coupon: Option<String>,
    test: bool,
});

table!(order_email, "order_email", {
    #[sea_orm(primary_key, auto_increment = false)]
    sale_order: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    hash: Vec<u8>,
});

table!(item, "item", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    sale_order: Uuid,
    external_id: String,
    // None until a product names `external_product`.
    product: Option<String>,
    programme: String,
    external_product: String,
    kind: i32,
    price: Option<i64>,
    currency: Option<String>,
    platform_affiliate: Option<String>,
    received_at: i64,
    settles_at: Option<i64>,
    policy_version: Option<i64>,
    test: bool,
    // The newest decision and what lists filter by, repeated from it.
    decision: Option<Uuid>,
    attendee: Option<Uuid>,
    affiliate: Option<String>,
    credit: i32,
    carried_by: i32,
});

table!(payment, "payment", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    source: String,
    order_external_id: String,
    item_external_id: String,
    external_id: String,
    amount: i64,
    currency: String,
    paid_at: i64,
    sequence: i32,
});

table!(reversal, "reversal", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    source: String,
    order_external_id: String,
    item_external_id: String,
    external_id: String,
    kind: i32,
    amount: i64,
    currency: String,
    reversed_at: i64,
});

table!(assignment, "assignment", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    item: Uuid,
    affiliate: Option<String>,
    author: String,
    reason: String,
    assigned_at: i64,
});

table!(decision, "decision", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    item: Uuid,
    version: i32,
    programme: String,
    affiliate: Option<String>,
    basis: i32,
    credit: i32,
    carried_by: i32,
    attendee: Option<Uuid>,
    click: Option<Uuid>,
    policy_version: i64,
    reason: String,
    decided_at: i64,
    settles_at: i64,
    assignment: Option<Uuid>,
    inherited_from: Option<Uuid>,
});

table!(decision_touch, "decision_touch", {
    #[sea_orm(primary_key, auto_increment = false)]
    decision: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    touch: Uuid,
    verdict: i32,
});

table!(decision_conflict, "decision_conflict", {
    #[sea_orm(primary_key, auto_increment = false)]
    decision: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    ordinal: i32,
    reference: i32,
    attendee: Option<Uuid>,
    reason: i32,
});

table!(
    /// The change feed.
    event, "event", {
    #[sea_orm(primary_key)]
    sequence: i64,
    test: bool,
    // An encoded `tagalong.v1.Event`.
    body: Vec<u8>,
});

table!(
    /// Answers given to callers' request IDs.
    request, "request", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    method: String,
    fingerprint: Vec<u8>,
    answer: Vec<u8>,
    answered_at: i64,
});

table!(
    /// What writes add to the counts of `count_total`, which has the same columns.
    count_delta, "count_delta", {
    // sea-orm wants keys; the table has none, and as many rows alike as it takes.
    #[sea_orm(primary_key, auto_increment = false)]
    product: String,
    #[sea_orm(primary_key, auto_increment = false)]
    webinar: String,
    #[sea_orm(primary_key, auto_increment = false)]
    day: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    what: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    programme: String,
    #[sea_orm(primary_key, auto_increment = false)]
    affiliate: String,
    #[sea_orm(primary_key, auto_increment = false)]
    credit: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    carried_by: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    currency: String,
    number: i64,
    value: i64,
});

table!(source, "source", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    preset: String,
    title: String,
    programme: Option<String>,
    keep_emails: bool,
    disabled: bool,
    revision: i64,
    created_at: i64,
    registrant_links: bool,
});

table!(source_webinar, "source_webinar", {
    #[sea_orm(primary_key, auto_increment = false)]
    source: String,
    // Empty for every webinar that is not named otherwise.
    #[sea_orm(primary_key, auto_increment = false)]
    external_id: String,
    webinar: String,
});

table!(
    /// The secrets of sources.
    source_key, "source_key", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    source: String,
    sealed: Vec<u8>,
    created_at: i64,
    expires_at: Option<i64>,
});

table!(
    /// What was posted to sources.
    delivery, "delivery", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    source: String,
    // Keyed: tells the very same body again.
    digest: Vec<u8>,
    received_at: i64,
    copies: i32,
    // None where it was erased with the person it tells about.
    sealed: Option<Vec<u8>>,
    state: i32,
    kind: String,
    // Empty where it is not parked.
    reason: String,
    path: String,
    message: String,
    // What has to be known before it can be mapped.
    waits_for: Option<String>,
    handled_at: Option<i64>,
});

table!(
    /// Whose addresses deliveries hold.
    delivery_email, "delivery_email", {
    #[sea_orm(primary_key, auto_increment = false)]
    delivery: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    hash: Vec<u8>,
});
